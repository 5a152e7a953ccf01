"""Recorded clips: is every hand followed, on the right side, as one; do two views agree?

How exact a hand is while it is followed is measured too, in the default mode beside landmarks alone.
Needs the folder of recordings that `labelled.data_folder` finds.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.accuracy import error_2d, found_in, nearest, pa_error
from benchmarks.labelled import LabelledImage, data_folder, labelled_images
from benchmarks.metric import Metric
from tracker.geometry.camera import Camera
from tracker.live.sources import open_source
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.network_guide import Mode
from tracker.vision.records import Frame, TrackedHand

Hands = list[list[TrackedHand]]
_NAME = "mode landmarks"


def run(quick: bool) -> list[Metric]:
    """Measure on each clip that is there."""
    folder = data_folder()
    if folder is None:
        print("clips: no recordings (set HANDLOOM_TEST_DATA)")
        return []
    limit = 90 if quick else None
    clips = folder / "clips"
    return [*_finger_spelling(clips, limit), *_desk(clips, limit), *_two_views(clips, limit)]


def _track(
    clip: Path, limit: int | None, camera: Camera | None = None, mode: Mode = "auto"
) -> Hands:
    tracker = HandTracker(HandTrackerConfig(mode=mode, texture_every=0))
    frames = (f for f, _ in zip(open_source(clip), range(limit or 1 << 30), strict=False))
    seen = (tracker(Frame(f.rgb, camera, f.timestamp_s, f.index)) for f in frames)
    return [[hand for hand in hands if hand.state != "lost"] for hands in seen]


def _finger_spelling(clips: Path, limit: int | None) -> list[Metric]:
    """One right hand; its 2D reference is MediaPipe's full model."""
    clip = clips / "asl_hand_25fps.mp4"
    frames, plain = (_track(clip, limit, mode=mode) for mode in ("auto", "landmarks"))
    reference = json.loads((clips / "asl_hand_25fps.ref.json").read_text())["frames"]
    points = {r["frame"]: np.array(r["kp2d"])[:, :2] for r in reference if r["kp2d"]}
    right = [any(h.side == "right" for h in hands) for hands in frames]
    ours, theirs = (
        100 * float(np.median([_off(h, points[i]) for i, h in enumerate(run) if h and i in points]))
        for run in (frames, plain)
    )
    return [
        Metric("asl_right_hand_percent", 100 * float(np.mean(right)), "%", better="higher"),
        _beside("asl_2d_median_percent", ours, theirs, "% of hand box"),
    ]


def _off(hands: Sequence[TrackedHand], points: Float[np.ndarray, "21 2"]) -> float:
    """Return the nearest hand's mean distance from points, as a share of their box."""
    near = min(float(np.linalg.norm(h.uv - points, axis=-1).mean()) for h in hands)
    return near / float(np.ptp(points, axis=0).max())


def _beside(key: str, ours: float, theirs: float, unit: str) -> Metric:
    return Metric(key, ours, unit, _NAME, theirs, ours / theirs, "lower")


def _desk(clips: Path, limit: int | None) -> list[Metric]:
    """One hand in sight in all frames, opening and closing over a cluttered desk."""
    frames = _track(clips / "dex_human_hand.mp4", limit)
    one = [len(hands) == 1 for hands in frames]
    names = {(h.track_id, h.side) for hands in frames for h in hands}
    return [
        Metric("dex_one_hand_percent", 100 * float(np.mean(one)), "%", better="higher"),
        Metric("dex_identities", len(names), "hands"),
    ]


def _two_views(clips: Path, limit: int | None) -> list[Metric]:
    """The same hand from two calibrated cameras, fitted in each alone, in one frame."""
    first, second = views = [_view(clips, n, limit) for n in (0, 1)]
    plain = [_view(clips, n, limit, "landmarks") for n in (0, 1)]
    R, t = _pose(clips / "stereo_camera_parameters" / "rot_trans_c1.dat", "cam0 to cam1")
    unit_m = _unit_m(clips.parent, R, t)
    pairs = [(a[0], b[0]) for a, b in zip(first, second, strict=False) if a and b]
    moved = np.array([a.joints @ R.T + t * unit_m for a, _ in pairs])
    there = np.array([b.joints for _, b in pairs])
    apart = 1000 * np.linalg.norm(moved - there, axis=-1)
    hands = 1000 * np.linalg.norm((moved - moved[:, :1]) - (there - there[:, :1]), axis=-1)
    return [
        Metric("stereo_views_apart_mm", float(np.median(apart)), "mm, in camera space"),
        Metric(
            "stereo_views_apart_root_relative_mm", float(np.median(hands)), "mm, wrists together"
        ),
        *_against_labels(clips.parent, views, plain),
    ]


def _against_labels(folder: Path, views: list[Hands], plain: list[Hands]) -> list[Metric]:
    """Compare followed hands with the labelled frames of both views."""
    images = labelled_images(folder, "stereo_temuge")
    rows = [_errors(run, images) for run in (views, plain)]
    print(f"clips: labelled frames with a hand: {len(rows[0])}, with landmarks {len(rows[1])}")
    if not all(rows):
        return []
    ours, theirs = (np.mean(row, 0).tolist() for row in rows)
    return [
        _beside("stereo_followed_pa_mpjpe", ours[0], theirs[0], "mm"),
        _beside("stereo_followed_2d_percent", ours[1], theirs[1], "% of hand box"),
    ]


def _errors(views: list[Hands], images: Sequence[LabelledImage]) -> list[tuple[float, float]]:
    """Return PA-MPJPE (mm) and 2D error (% of the box) where a labelled frame's hand was found."""
    found: list[tuple[float, float]] = []
    for image in images:
        assert image.view is not None
        assert image.frame is not None
        # A quick run ends before the last labels.
        hands = views[image.view][image.frame : image.frame + 1]
        if hands and (hand := nearest(image, found_in(hands[0]))):
            found.append((pa_error(image, hand), error_2d(image, hand)))
    return found


def _view(clips: Path, number: int, limit: int | None, mode: Mode = "auto") -> Hands:
    clip = clips / f"stereo_cam{number}.mp4"
    numbers = _numbers((clips / "stereo_camera_parameters" / f"c{number}.dat").read_text())
    camera = Camera(numbers[:9].reshape(3, 3), open_source(clip).info.hw)
    return _track(clip, limit, camera, mode)


def _pose(path: Path, marker: str) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """Read the rotation and translation that follow `marker`."""
    numbers = _numbers(path.read_text().partition(marker)[2])
    return numbers[:9].reshape(3, 3), numbers[9:12]


def _numbers(text: str) -> Float[np.ndarray, " n"]:
    words = [w for line in text.splitlines() if ":" not in line for w in line.split()]
    return np.array(
        [float(w) for w in words if w.strip("-+.").replace(".", "").replace("e-", "").isdigit()]
    )


def _unit_m(folder: Path, R: Float[np.ndarray, "3 3"], t: Float[np.ndarray, " 3"]) -> float:
    """Return the metres in one unit of the calibration, from the labelled joints of both views."""
    images = labelled_images(folder, "stereo_temuge")
    joints = {(i.view, i.frame): i.joints for i in images if i.joints is not None}
    shifts = [
        (joints[1, frame] - joints[0, frame] @ R.T).mean(0)
        for view, frame in joints
        if view == 0 and (1, frame) in joints
    ]
    return float(np.mean(shifts, 0) @ t / (t @ t))
