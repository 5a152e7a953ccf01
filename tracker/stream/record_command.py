"""`python -m tracker.stream record URL FILE`: a live stream into a session file."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tracker.stop_request import StopRequest
from tracker.stream.command_line import NO_HINT, OK, refuse, run_command, say
from tracker.stream.frames import Axes
from tracker.stream.protocol import BINARY, JSON, MAX_HZ, PARTS, Subscription
from tracker.stream.session_recorder import record_session


@dataclass(frozen=True)
class RecordOptions:
    """Record a live stream of hands into a session file, byte for byte.

    Ctrl-C ends the recording; the file holds all that came until then. So does the server's end.

    Type, for example:
      python -m tracker.stream record ws://127.0.0.1:4263/v1/stream waving.hsr
      python -m tracker.stream record ws://127.0.0.1:4263/v1/stream waving.hsr --seconds 10
      python -m tracker.stream record ws://192.168.1.7:4263/v1/stream a.hsr --token SECRET --parts joints verts
    """

    url: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="URL", help_behavior_hint="")]
    """The stream, e.g. ws://127.0.0.1:4263/v1/stream."""
    file: Annotated[
        tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE.hsr", help_behavior_hint="")
    ]
    """The file to write."""
    seconds: float = math.inf
    """How long; until Ctrl-C if not given."""
    parts: tuple[str, ...] = PARTS
    """What to record: joints kp3d kp2d mano verts vel pinch; all of them if not given."""
    frame: Axes = "openxr"
    """Axes of the recording; a replay serves every other frame from any of them."""
    max_hz: float = 0.0
    """Most frames a second; 0 for all."""
    json: bool = False
    """Record JSON instead of binary frames: readable, five times the size."""
    token: Annotated[str | None, NO_HINT] = None
    """The server's token, if it has one."""
    overwrite: bool = False
    """Replace the file if it is there."""


def record(options: RecordOptions) -> int:
    """Record until Ctrl-C, the end of the time or of the stream; returns the exit code."""
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown or not options.parts:
        return refuse(f"--parts: expected some of {', '.join(PARTS)}, found {unknown or 'none'}")
    if not 0 <= options.max_hz <= MAX_HZ or not options.seconds > 0:
        return refuse("--seconds must be above zero, --max-hz between 0 and 1000")
    if options.file.exists() and not options.overwrite:
        return refuse(f"{options.file} is there already; add --overwrite to replace it")
    wanted = Subscription(
        parts=tuple(part for part in PARTS if part in options.parts),
        frame=options.frame,
        max_hz=options.max_hz,
    )
    say(f"recording {options.url} into {options.file}; Ctrl-C ends it")
    with StopRequest() as stop:
        frames = record_session(
            options.url,
            options.file,
            options.seconds,
            token=options.token,
            subscription=wanted,
            encoding=JSON if options.json else BINARY,
            stopped=lambda: stop.made,
        )
    say(f"{frames} frames, {options.file.stat().st_size / 1e6:.1f} MB in {options.file}")
    return OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run_command(RecordOptions, "record", record, arguments)
