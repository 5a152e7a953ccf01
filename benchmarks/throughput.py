"""Frames a second of the whole two-hand loop, beside MediaPipe's, alternating on one clip.

Ours does crop, landmarks, fit, smoothing, mesh, texture and overlay, in mode `landmarks` with both
landmark models and in the default mode (`network` measures every mode); MediaPipe gives landmarks
only. Both see the same frames from memory, one after the other, in passes A B A B; each pass starts
afresh and its first frames, where hands are detected, are left out. Decoding and encoding are not
in it for either.
"""

import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from benchmarks.demo_clip import with_hands
from benchmarks.mediapipe_reference import NAME, MediaPipeHands
from benchmarks.metric import Metric
from tracker.view.overlay import overlay_in_place
from tracker.view.software_renderer import SoftwareRenderer
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.records import Frame

_WARM_UP = 10


def run(quick: bool) -> list[Metric]:
    """Measure frames a second of landmarks with both models, and of the default."""
    cv2.setNumThreads(1)
    clip = with_hands(2)[: 40 if quick else 120]
    renderer = SoftwareRenderer()
    configs = (
        HandTrackerConfig(mode="landmarks"),
        HandTrackerConfig(mode="landmarks", landmark_model="lite"),
        HandTrackerConfig(),
    )
    ours = [loop(HandTracker(config), renderer) for config in configs]
    with MediaPipeHands(static=False) as reference:
        theirs = lambda frame: len(reference(frame.rgb))  # noqa: E731
        times = alternate([*ours, theirs], clip, passes=2 if quick else 6)
    full, lite, default, base = (1000 / float(np.median(t)) for t in times)
    return [
        Metric("two_hand_loop_fps", full, "fps", NAME, base, full / base, "higher"),
        Metric("two_hand_loop_lite_fps", lite, "fps", NAME, base, lite / base, "higher"),
        Metric("two_hand_loop_default_fps", default, "fps", NAME, base, default / base, "higher"),
        Metric("two_hand_loop_p95_ms", float(np.percentile(times[0], 95)), "ms", better="lower"),
    ]


def loop(tracker: HandTracker, renderer: SoftwareRenderer) -> Callable[[Frame], int]:
    """Return what happens to one frame in a live loop; it gives the number of hands drawn."""

    def step(frame: Frame) -> int:
        hands = tracker(frame)
        assert frame.camera is not None
        overlay_in_place(frame.rgb, hands, frame.camera, renderer)
        return len(hands)

    return step


def alternate(
    steps: Sequence[Callable[[Frame], int]], clip: Sequence[Frame], passes: int
) -> list[list[float]]:
    """Return each system's time for each frame in ms, over all passes."""
    times: list[list[float]] = [[] for _ in steps]
    for number in range(passes):
        for step, record in zip(steps, times, strict=True):
            # The clip's clock goes on from pass to pass, as a camera's would.
            for count, frame in enumerate(clip):
                stamp = frame.timestamp_s + 1000.0 * number
                picture = Frame(frame.rgb.copy(), frame.camera, stamp, frame.index)
                began = time.perf_counter()
                hands = step(picture)
                if count >= _WARM_UP and hands == 2:
                    record.append(1000 * (time.perf_counter() - began))
    shares = [len(r) / (passes * (len(clip) - _WARM_UP)) for r in times]
    print(
        "throughput: both hands were found in", ", ".join(f"{s:.0%}" for s in shares), "of frames"
    )
    return times
