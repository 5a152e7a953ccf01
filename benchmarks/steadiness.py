"""How still a still hand is and how late a moving one, raw and smoothed, as a curve.

At rest: one frame of the demo clip again and again, each time with fresh sensor noise, so that all
motion of the result is jitter (`metrics.jitter_mm`, joints in the camera frame). In motion: the
demo clip; lag is the shift in frames that best correlates the joints' velocity with the raw fit's.
The raw output is the tracker's own without smoothing. The curve turns all cutoffs together.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from benchmarks.demo_clip import with_hands
from benchmarks.metric import Metric
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.metrics import jitter_mm, jitter_px
from tracker.geometry.skinning import RuntimeHand
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.records import Frame
from tracker.vision.smoothing import HandSmoother, OneEuroConfig, SmoothingConfig

FPS = 30.0
NOISE = 5.0  # grey levels, as of a webcam indoors
_SETTLE = 15  # frames in which the filters and the fit come to rest


def run(quick: bool) -> list[Metric]:
    """Measure the default smoothing and print the curve around it."""
    hand = RuntimeHand(HandModel.load())
    moving = with_hands(1)[: 60 if quick else 150]
    still = _with_noise(moving[len(moving) // 2], 40 if quick else 90)
    rest, motion = _raw(still), _raw(moving)
    raw_mm = jitter_mm(_joints(hand, rest)[_SETTLE:])
    print("steadiness: cutoffs x | jitter at rest, share of raw | lag, frames")
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
        jitter, lag = _judge(hand, rest, motion, _scaled(factor))
        print(f"steadiness: {factor:9.2f} | {jitter / raw_mm:28.2f} | {lag:.2f}")
    jitter, lag = _judge(hand, rest, motion, SmoothingConfig())
    raw = "the same fit without smoothing"
    shown = _joints(hand, _smooth(hand, rest, SmoothingConfig()))[_SETTLE:]
    camera = still[0].camera
    assert camera is not None
    overlay = jitter_px(np.array([camera.project(joints) for joints in shown]))
    return [
        Metric("rest_overlay_jitter_px", overlay, "px at 640 x 480, want at most 1"),
        Metric("rest_jitter_mm", jitter, "mm", raw, raw_mm, jitter / raw_mm, "lower"),
        Metric("smoothing_lag_frames", lag, "frames at 30 fps", better="lower"),
    ]


def _with_noise(frame: Frame, count: int) -> list[Frame]:
    rng = np.random.default_rng(0)
    noisy = (frame.rgb + rng.normal(0, NOISE, frame.rgb.shape) for _ in range(count))
    pictures = (np.clip(picture, 0, 255).astype(np.uint8) for picture in noisy)
    return [Frame(rgb, frame.camera, i / FPS, i) for i, rgb in enumerate(pictures)]


def _raw(frames: Sequence[Frame]) -> list[HandParams]:
    """Return one hand's unsmoothed fit in each frame, as a right hand."""
    tracker = HandTracker(HandTrackerConfig(max_hands=1, smoothing=None, texture_every=0))
    found = [next((h for h in tracker(f) if h.state == "tracked"), None) for f in frames]
    hands = [hand for hand in found if hand is not None]
    return [h.params if h.side == "right" else h.params.mirrored() for h in hands]


def _judge(
    hand: RuntimeHand,
    rest: Sequence[HandParams],
    motion: Sequence[HandParams],
    config: SmoothingConfig,
) -> tuple[float, float]:
    """Return jitter at rest (mm) and lag in motion (frames) with this smoothing."""
    jitter = jitter_mm(_joints(hand, _smooth(hand, rest, config))[_SETTLE:])
    raw, smooth = _joints(hand, motion), _joints(hand, _smooth(hand, motion, config))
    return jitter, lag_frames(raw, smooth)


def _smooth(
    hand: RuntimeHand, params: Sequence[HandParams], config: SmoothingConfig
) -> list[HandParams]:
    wrist = hand.skin(HandParams(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3), 1.0))[1]
    smoother = HandSmoother(config, wrist[0].astype(np.float64))
    return [smoother(p, 1 / FPS) for p in params]


def _joints(hand: RuntimeHand, params: Sequence[HandParams]) -> Float[np.ndarray, "n 21 3"]:
    return np.array([hand.skin(p)[1] for p in params], np.float64)


def lag_frames(
    first: Float[np.ndarray, "n 21 3"], second: Float[np.ndarray, "n 21 3"], reach: int = 6
) -> float:
    """Return by how many frames `second` comes after `first`, to a fraction of a frame."""
    a, b = (np.diff(x.reshape(len(x), -1), axis=0) for x in (first, second))
    middle = slice(reach, len(a) - reach)
    match = [float((a[middle] * np.roll(b, -k, 0)[middle]).sum()) for k in range(-reach, reach + 1)]
    best = int(np.clip(np.argmax(match), 1, 2 * reach - 1))
    left, top, right = match[best - 1 : best + 2]
    return best - reach + 0.5 * (left - right) / (left - 2 * top + right)


def _scaled(factor: float) -> SmoothingConfig:
    """Return the default with every cutoff, at rest and in motion, times `factor`."""
    default = SmoothingConfig()

    def scale(config: OneEuroConfig) -> OneEuroConfig:
        cutoff, beta = config.min_cutoff_hz * factor, config.beta * factor
        return replace(config, min_cutoff_hz=cutoff, beta=beta)

    return SmoothingConfig(
        orientation=scale(default.orientation),
        fingers=scale(default.fingers),
        direction=scale(default.direction),
        depth=scale(default.depth),
    )
