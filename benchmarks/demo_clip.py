"""The demo clip as benchmarks use it: its frames in memory, its camera and its truth."""

from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.labelled import REPOSITORY
from tracker.export.npz import HandsFile, read_npz
from tracker.geometry.camera import Camera
from tracker.live.sources import open_source
from tracker.vision.records import Frame

CLIP = REPOSITORY / "apps" / "demo" / "demo.mp4"
TRUTH: Path = CLIP.with_suffix(".truth.npz")


@cache
def truth() -> HandsFile:
    """Return what the clip was drawn from."""
    return read_npz(TRUTH)


@cache
def frames() -> list[Frame]:
    """Return the clip's frames with the camera they were drawn for."""
    source = open_source(CLIP)
    camera = Camera(truth().K, source.info.hw)
    return [Frame(f.rgb, camera, f.timestamp_s, f.index) for f in source]


def with_hands(count: int) -> list[Frame]:
    """Return the longest run of frames that show `count` hands, all of them whole.

    A hand that comes in or goes out is left out, because what is seen of it is no whole hand.
    """
    inside = ((truth().uv >= 0) & (truth().uv <= truth().hw[::-1])).all((1, 2))
    shown = np.bincount(truth().frame, minlength=len(frames()))
    whole = np.bincount(truth().frame[inside], minlength=len(frames()))
    best: list[Frame] = []
    run: list[Frame] = []
    for frame in frames():
        run = [*run, frame] if shown[frame.index] == whole[frame.index] == count else []
        best = run if len(run) > len(best) else best
    return best
