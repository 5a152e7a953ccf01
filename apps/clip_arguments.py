"""The command line of `video_to_mesh`, read by tyro; what cannot be read is said in one line."""

import contextlib
import io
import re
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from apps.clip_options import ClipOptions

DESCRIPTION = """Turn clips of hands into textured 3D meshes, joints and an overlay video.

Each clip gets a folder under --out. Look at overlay.mp4 and contact_sheet.png first. hands.npz holds
everything as arrays, hands.glb opens in Blender and three.js, meshes/ has one mesh a frame,
joints.csv and joints.jsonl are tables, *.bvh are for animation, summary.json says how it went.

Distances are metric if --fov (or --intrinsics) and --hand-length-mm are right; else they are guesses
of the right order, while the shape and the pose of the hands hardly depend on them.

Ctrl-C finishes the files of what was tracked so far; a second one stops at once.
The exit code is 0 if all went well, 2 if a clip or an option is no good, 130 after Ctrl-C.

examples:
  python apps/video_to_mesh.py clip.mp4
  python apps/video_to_mesh.py a.mp4 b.mov frames/ --out results --export glb,csv
  python apps/video_to_mesh.py clip.mp4 --fov 68 --hand-length-mm 188   (metric distances)
  python apps/video_to_mesh.py clip.mp4 --side-by-side --skeleton       (see more)
  python apps/video_to_mesh.py photos/ --static                         (each image on its own)
  python apps/video_to_mesh.py clip.mp4 --serve                         (joints over a socket)
"""

_BOX = re.compile(r"[─-╿]+|-{5,}")  # Unicode's box drawing characters, or where there are none


@dataclass(frozen=True)
class Arguments:
    """What the command line says."""

    clips: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="CLIP [CLIP ...]", help_behavior_hint=""),
    ] = ()
    """Video files, images, or folders of images."""
    options: Annotated[ClipOptions, tyro.conf.arg(name="")] = field(default_factory=ClipOptions)


def parse_arguments(words: Sequence[str] | None = None) -> Arguments:
    """Read the command line (default: the program's own).

    Raises:
        SystemExit: 0 after `--help`; 2 after one line on standard error for what makes no sense.
    """
    config = (tyro.conf.OmitArgPrefixes,)
    with errors_on_one_line():
        return tyro.cli(Arguments, args=words, description=DESCRIPTION, config=config)


@contextlib.contextmanager
def errors_on_one_line() -> Generator[None, None, None]:
    """Replace the boxes that tyro draws around its complaints by `error: ...`."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    finally:
        lines = [_BOX.sub("", line).strip() for line in said.getvalue().splitlines()]
        # The first line is the title of the box.
        text = " ".join(line for line in lines[1:] if line)
        if text:
            print("error:", text, file=sys.stderr)
