"""How old hands are when they are published, and how many frames a second the live program tracks.

The source is the demo's two-hand part at 720p. For latency it plays like a webcam: a JPEG comes when
it is due, which is the moment of capture, and is decoded then. Publishing is when the hands were
handed to the stream server, which has one client in another process. For the sustained rate it is an
H.264 file read at full speed. Drawing paints every frame as the window does, with the software
renderer. The reference loop is what people write first: OpenCV reads the same file, MediaPipe
tracks, nothing is drawn.
"""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import cv2
import numpy as np

from benchmarks.live_run import LiveResult, live_run, ready_tracker, two_hand_clip
from benchmarks.mediapipe_reference import NAME, MediaPipeHands
from benchmarks.metric import Metric

_TOO_FAST_FPS = 200.0
"""More than can be tracked: frames must be dropped."""
_QUEST = "Meta Quest 2, measured by others"
_QUEST_MS = 45.0


def run(quick: bool) -> list[Metric]:
    """Measure latency, ageing under overload, the price of drawing, and the sustained rate."""
    seconds = 2.0 if quick else 6.0
    with _as_the_program_runs():
        two_hand_clip()
        ready_tracker()
        paced = live_run(30.0, seconds, served=True)
        sixty = live_run(60.0, seconds)
        flooded = live_run(_TOO_FAST_FPS, seconds)
        plain, drawn, base = _rates(rounds=1 if quick else 3, seconds=seconds / 4)
    for name, result in (("30 fps", paced), ("60 fps", sixty), ("200 fps", flooded)):
        _print(name, result)
    p50, p95 = np.percentile(paced.latency_ms, [50, 95])
    return [
        Metric("capture_to_publish_p50_ms", float(p50), "ms", better="lower"),
        Metric(
            *("capture_to_publish_p95_ms", float(p95), "ms"),
            *(_QUEST, _QUEST_MS, float(p95) / _QUEST_MS, "lower"),
        ),
        Metric("capture_to_publish_growth_ms", _growth_ms(paced), "ms, last third less first"),
        Metric("frame_age_60_fps_max", _oldest(sixty, 60.0), "frame times until tracking begins"),
        Metric("frame_age_200_fps_max", _oldest(flooded, _TOO_FAST_FPS), "frame times"),
        Metric(
            *("fps_with_drawing", drawn, "fps"),
            *("the same without drawing", plain, drawn / plain, "higher"),
        ),
        Metric(
            *("live_fps", drawn, "fps, drawn"),
            *(f"{NAME}, bare loop", base, drawn / base, "higher"),
        ),
    ]


@contextmanager
def _as_the_program_runs() -> Generator[None, None, None]:
    """Set the process up as `apps/webcam.py` does."""
    before = sys.getswitchinterval()
    cv2.setNumThreads(1)
    sys.setswitchinterval(0.001)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _rates(rounds: int, seconds: float) -> tuple[float, float, float]:
    """Return frames a second at full speed, plain and drawn, and of the reference; in turns."""
    plain: list[float] = []
    drawn: list[float] = []
    base: list[float] = []
    for _ in range(rounds):
        plain.append(live_run(30.0, seconds, paced=False).fps)
        drawn.append(live_run(30.0, seconds, paced=False, draw=True).fps)
        base.append(_bare_loop_fps(seconds))
    return float(np.median(plain)), float(np.median(drawn)), float(np.median(base))


def _bare_loop_fps(seconds: float) -> float:
    """Return frames a second of OpenCV and MediaPipe one after the other."""
    frames, began_s = 0, 0.0
    with MediaPipeHands(static=False) as hands:
        while frames == 0 or time.monotonic() - began_s < seconds:
            capture = cv2.VideoCapture(str(two_hand_clip()))
            while True:
                more, bgr = capture.read()
                if not more:
                    break
                hands(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))
                frames += 1
                if frames == 10:  # the palm detector has done its part
                    began_s = time.monotonic()
                elif frames > 10 and time.monotonic() - began_s >= seconds:
                    break
            capture.release()
    return (frames - 10) / (time.monotonic() - began_s)


def _growth_ms(result: LiveResult) -> float:
    """Return by how much the median latency grew from the first third of the run to the last."""
    third = len(result.latency_ms) // 3
    first, last = result.latency_ms[:third], result.latency_ms[-third:]
    return float(np.median(last) - np.median(first))


def _oldest(result: LiveResult, fps: float) -> float:
    """Return the age of the oldest frame that the tracker took up, in frame times."""
    return float((result.started_s - result.captured_s).max() * fps)


def _print(name: str, result: LiveResult) -> None:
    p50, p95, p99 = np.percentile(result.latency_ms, [50, 95, 99])
    print(
        f"latency: {name} source | tracked {result.fps:.1f} fps, dropped {result.dropped} | capture "
        f"to publish {p50:.1f} / {p95:.1f} / {p99:.1f} ms (p50, p95, p99), longest "
        f"{result.latency_ms.max():.0f} | both hands in {result.two_hands:.0%} of frames"
    )
