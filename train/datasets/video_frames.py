"""Frames of a video file, in order and upright."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import av.error
import numpy as np
from av.container import InputContainer
from jaxtyping import UInt8

from train.datasets.sample import DatasetError

VIDEO_SUFFIXES: Final = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
_MOST_DAMAGED: Final = 100


def videos_in(folder: Path) -> list[Path]:
    """Return the videos of a folder and its subfolders, sorted by path.

    Raises:
        DatasetError: it is no folder.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder; name the folder that holds the videos")
    found = (p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
    return sorted(
        p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )


def video_frames(path: Path) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    """Yield number and picture of each frame; frames that cannot be decoded are left out.

    Raises:
        DatasetError: it is no video.
    """
    try:
        with av.open(str(path)) as container:
            yield from _decoded(container)
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as problem:
        raise DatasetError(
            f"{path} cannot be read as video ({problem}); check that it plays, or take it away"
        ) from problem


def _decoded(container: InputContainer) -> Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]]:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    packets = container.demux(stream)
    index, damaged = 0, 0
    while damaged <= _MOST_DAMAGED and (packet := next(packets, None)) is not None:
        try:
            pictures = packet.decode()
        except av.error.FFmpegError:
            damaged += 1
            continue
        for picture in pictures:
            turns = round(picture.rotation / 90) % 4
            rgb = picture.to_ndarray(format="rgb24")
            yield index, np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb
            index += 1
