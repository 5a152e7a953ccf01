"""The pictures that labels are of: files, and frames of videos, each decoded once and in order."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from tracker.errors import HandloomError
from train.datasets.image_files import read_rgb
from train.datasets.keypoint_files import HandLabel
from train.datasets.sample import SampleError
from train.datasets.video_folder import clip_and_frame
from train.datasets.video_frames import video_frames

Picture = UInt8[np.ndarray, "h w 3"]


def labelled_pictures(
    folder: Path, labels: Sequence[HandLabel]
) -> Iterator[tuple[int, Picture | HandloomError]]:
    """Yield the number of each label and its picture, or what is wrong with that; videos come last."""
    clips: dict[str, dict[int, list[int]]] = {}
    for number, label in enumerate(labels):
        if "#" in label.name:
            clip, frame = clip_and_frame(label.name)
            clips.setdefault(clip, {}).setdefault(frame, []).append(number)
            continue
        try:
            yield number, read_rgb(folder / label.name)
        except HandloomError as problem:
            yield number, problem
    for clip, wanted in clips.items():
        yield from _of_clip(folder / clip, wanted)


def _of_clip(
    path: Path, wanted: Mapping[int, Sequence[int]]
) -> Iterator[tuple[int, Picture | HandloomError]]:
    missing = dict(wanted)
    problem: HandloomError = SampleError(f"{path} has fewer frames than its labels say")
    try:
        for index, rgb in video_frames(path):
            for number in missing.pop(index, ()):
                yield number, rgb
            if not missing:
                return
    except HandloomError as found:
        problem = found
    for numbers in missing.values():
        for number in numbers:
            yield number, problem
