"""How far off the joints are, on labelled pictures and on the demo clip, beside MediaPipe's.

Alignment and joints: PA-MPJPE is Procrustes-aligned (rotation, translation, scale) over the 21
joints; 2D errors are pixels as a percentage of the labelled hand box's longer side. Our joints are
the fitted mesh's (16 regressed, 5 tip vertices), projected for 2D. Only pictures in which both
systems found the hand are compared, and how many each found is printed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks import demo_clip
from benchmarks.labelled import LabelledImage, data_folder, labelled_images
from benchmarks.mediapipe_reference import NAME, MediaPipeHands
from benchmarks.metric import Metric
from benchmarks.network import network_file
from tracker.export.recording import ClipInfo, Recording
from tracker.export.truth import score_against
from tracker.geometry.metrics import pa_mpjpe_mm
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.network_guide import Mode
from tracker.vision.records import Frame, TrackedHand

MODES: tuple[Mode, ...] = ("landmarks", "network", "fused")


@dataclass(frozen=True)
class Found:
    """What one system says of a labelled hand."""

    uv: Float[np.ndarray, "21 2"]
    xyz: Float[np.ndarray, "21 3"]


def run(quick: bool) -> list[Metric]:
    """Measure on every set that is at hand."""
    metrics = _demo(quick)
    folder = data_folder()
    if folder is None:
        print(
            "accuracy: no labelled pictures (set HANDLOOM_TEST_DATA); only the demo clip is measured"
        )
        return metrics
    network = network_file()
    if network is None:
        print("accuracy: no trained network (set HANDLOOM_NETWORK); the fit is measured alone")
    modes: tuple[Mode, ...] = ("landmarks",) if network is None else MODES
    for name in ("stereo_temuge", "consensus2d", "handpose_x"):
        for mode in modes:
            every = 4 if quick and name != "handpose_x" else 1
            metrics += _compare(name, folder, every, mode, network)
    return metrics


def _compare(name: str, folder: Path, every: int, mode: Mode, network: Path | None) -> list[Metric]:
    """Run both systems over one set; keys of a mode with the network end with its name."""
    images = labelled_images(folder, name)[::every]
    tracker = HandTracker(
        HandTrackerConfig(
            static=True,
            texture_every=0,
            mode=mode,
            network=None if network is None else str(network),
        )
    )
    ours = [nearest(image, _ours(tracker, image)) for image in images]
    with MediaPipeHands(static=True) as reference:
        theirs = [nearest(image, _theirs(reference, image)) for image in images]
    counts = [sum(f is not None for f in found) for found in (ours, theirs)]
    print(
        f"accuracy: {name}, {mode}: found {counts[0]} (ours) and {counts[1]} (MediaPipe) of {len(images)} hands"
    )
    both = [(i, a, b) for i, a, b in zip(images, ours, theirs, strict=True) if a and b]
    short = name.partition("_")[0]
    end = "" if mode == "landmarks" else f"_{mode}"
    metrics = [_pair(f"{short}_2d_error_percent{end}", both, error_2d, "% of hand box")]
    if all(i.joints is not None for i in images):
        metrics.append(_pair(f"{short}_pa_mpjpe{end}", both, pa_error, "mm"))
    return metrics


def _ours(tracker: HandTracker, image: LabelledImage) -> list[Found]:
    return found_in(tracker(Frame(image.rgb(), image.camera)))


def found_in(hands: Sequence[TrackedHand]) -> list[Found]:
    """Return tracked hands as what was found."""
    return [Found(hand.uv.astype(np.float64), hand.joints.astype(np.float64)) for hand in hands]


def _theirs(reference: MediaPipeHands, image: LabelledImage) -> list[Found]:
    return [Found(hand.uv, hand.xyz) for hand in reference(image.rgb())]


def nearest(image: LabelledImage, hands: Sequence[Found]) -> Found | None:
    """Return the hand that lies on the labelled one (within half its size), if any."""
    near = [(error_2d(image, hand), hand) for hand in hands]
    near = [(error, hand) for error, hand in near if error < 50]
    return min(near, key=lambda pair: pair[0])[1] if near else None


def error_2d(image: LabelledImage, hand: Found) -> float:
    """Return the mean distance of labelled joints in percent of their box."""
    distance = np.linalg.norm(hand.uv - image.uv, axis=-1)[image.visible]
    return float(100 * distance.mean() / image.size_px)


def pa_error(image: LabelledImage, hand: Found) -> float:
    """Return PA-MPJPE in mm, for a picture with labelled joints in space."""
    assert image.joints is not None
    return pa_mpjpe_mm(hand.xyz[None], image.joints[None])


def _pair(
    key: str,
    both: Sequence[tuple[LabelledImage, Found, Found]],
    error: Callable[[LabelledImage, Found], float],
    unit: str,
) -> Metric:
    """Return our mean error beside MediaPipe's on the same pictures."""
    ours = float(np.mean([error(image, a) for image, a, _ in both]))
    theirs = float(np.mean([error(image, b) for image, _, b in both]))
    return Metric(key, ours, unit, NAME, theirs, ours / theirs, "lower")


def _demo(quick: bool) -> list[Metric]:
    """Track the demo clip as a user would and compare with what it was drawn from."""
    clip = demo_clip.frames()[: 60 if quick else None]
    camera = clip[0].camera
    assert camera is not None
    tracker = HandTracker()
    recording = Recording(ClipInfo(str(demo_clip.CLIP), camera, 30.0), tracker.model)
    for frame in clip:
        recording.append(frame.index, frame.timestamp_s, tracker(frame))
    score = score_against(recording, demo_clip.TRUTH)
    in_sight = demo_clip.truth().frame[demo_clip.truth().state == "tracked"]
    share = 100 * score.found / int((in_sight < len(clip)).sum())
    return [
        Metric("demo_pa_mpjpe", score.pa_mpjpe_mm, "mm"),
        Metric("demo_wrist_mm", score.wrist_mm, "mm"),
        Metric("demo_2d_px", score.uv_px, "px"),
        Metric("demo_found_percent", share, "%", better="higher"),
    ]
