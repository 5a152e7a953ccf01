"""Steadiness in the columns of WiLoR's table 6, on our clips: their numbers are of HO-3D, ours are not.

Jitter is the mean third derivative of the joints in 10 m/s^3, RTE the wrist's path against the true
one in percent of its length. The demo clip's own true motion has a jitter too, which is printed
beside; in the stereo clips no truth is known, so they tell jitter alone.
"""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.demo_clip import truth, with_hands
from benchmarks.metric import Metric
from tracker.geometry.metrics import jerk_m_per_s3, root_translation_error_percent
from tracker.live.sources import open_source
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig

_FPS = 30.0
_SETTLE = 15
_UNIT = 10.0  # m/s^3
_WILOR = "WiLoR on HO-3D, its table 6"
_WILOR_JITTER, _WILOR_RTE = 5.92, 0.07
_STEREO = "stereo_cam0.mp4"


def run(quick: bool) -> list[Metric]:
    """Measure the demo's one-hand part, and a stereo clip where the test data is at hand."""
    shown = with_hands(1)[: 60 if quick else None]
    tracker = HandTracker(HandTrackerConfig(max_hands=1))
    found = [next((h.joints for h in tracker(f) if h.state == "tracked"), None) for f in shown]
    joints = _filled(found)[_SETTLE:]
    rows = {int(frame): row for row, frame in enumerate(truth().frame)}
    true = np.array([truth().joints[rows[f.index]] for f in shown], np.float64)[_SETTLE:]
    seen = np.isfinite(joints).all((1, 2))
    rte = root_translation_error_percent(joints[seen, 0], true[seen, 0])
    metrics = [
        _jitter("demo_jitter", joints, _FPS),
        Metric("demo_true_jitter", jerk_m_per_s3(true, _FPS) / _UNIT, "10 m/s^3, of the truth"),
        Metric("demo_rte_percent", rte, "%", _WILOR, _WILOR_RTE, rte / _WILOR_RTE, "lower"),
    ]
    folder = os.environ.get("HANDLOOM_TEST_DATA")
    if folder:
        metrics.append(_stereo(Path(folder) / "clips" / _STEREO, 60 if quick else 300))
    return metrics


def _stereo(clip: Path, count: int) -> Metric:
    source = open_source(clip)
    tracker = HandTracker(HandTrackerConfig(max_hands=1))
    found = []
    for frame, _ in zip(source, range(count), strict=False):
        found.append(next((h.joints for h in tracker(frame) if h.state == "tracked"), None))
    return _jitter("stereo_jitter", _filled(found)[_SETTLE:], source.info.fps)


def _filled(found: list[np.ndarray | None]) -> Float[np.ndarray, "n 21 3"]:
    """Return joints, NaN in frames without a hand."""
    nothing = np.full((21, 3), np.nan)
    return np.array([nothing if joints is None else joints for joints in found], np.float64)


def _jitter(key: str, joints: Float[np.ndarray, "n 21 3"], fps: float) -> Metric:
    value = jerk_m_per_s3(joints, fps) / _UNIT
    ratio = value / _WILOR_JITTER
    return Metric(key, value, "10 m/s^3", _WILOR, _WILOR_JITTER, ratio, "lower")
