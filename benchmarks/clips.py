"""Recorded clips: is every hand followed, on the right side, as one; do two views agree?

Needs the folder of recordings that `labelled.data_folder` finds.
"""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.labelled import data_folder
from benchmarks.metric import Metric
from tracker.geometry.camera import Camera
from tracker.live.sources import open_source
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.records import Frame, TrackedHand

Hands = list[list[TrackedHand]]


def run(quick: bool) -> list[Metric]:
    """Measure on each clip that is there."""
    folder = data_folder()
    if folder is None:
        print("clips: no recordings (set HANDLOOM_TEST_DATA)")
        return []
    limit = 90 if quick else None
    clips = folder / "clips"
    return [*_finger_spelling(clips, limit), *_desk(clips, limit), *_two_views(clips, limit)]


def _track(clip: Path, limit: int | None, camera: Camera | None = None) -> Hands:
    tracker = HandTracker(HandTrackerConfig(texture_every=0))
    frames = (f for f, _ in zip(open_source(clip), range(limit or 1 << 30), strict=False))
    seen = (tracker(Frame(f.rgb, camera, f.timestamp_s, f.index)) for f in frames)
    return [[hand for hand in hands if hand.state != "lost"] for hands in seen]


def _finger_spelling(clips: Path, limit: int | None) -> list[Metric]:
    """One right hand; its 2D reference is MediaPipe's full model."""
    frames = _track(clips / "asl_hand_25fps.mp4", limit)
    reference = json.loads((clips / "asl_hand_25fps.ref.json").read_text())["frames"]
    points = {r["frame"]: np.array(r["kp2d"])[:, :2] for r in reference if r["kp2d"]}
    right = [any(h.side == "right" for h in hands) for hands in frames]
    distance = [
        min(float(np.linalg.norm(h.uv - points[i], axis=-1).mean()) for h in hands)
        / np.ptp(points[i], axis=0).max()
        for i, hands in enumerate(frames)
        if hands and i in points
    ]
    return [
        Metric("asl_right_hand_percent", 100 * float(np.mean(right)), "%", better="higher"),
        Metric("asl_2d_median_percent", 100 * float(np.median(distance)), "% of hand box"),
    ]


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
    first, second = (_view(clips, n, limit) for n in (0, 1))
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
    ]


def _view(clips: Path, number: int, limit: int | None) -> Hands:
    clip = clips / f"stereo_cam{number}.mp4"
    numbers = _numbers((clips / "stereo_camera_parameters" / f"c{number}.dat").read_text())
    camera = Camera(numbers[:9].reshape(3, 3), open_source(clip).info.hw)
    return _track(clip, limit, camera)


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
    samples = json.loads((folder / "gt" / "stereo_temuge" / "annotations.json").read_text())[
        "samples"
    ]
    joints = {(s["view"], s["frame"]): np.array(s["joints3d"]) for s in samples}
    shifts = [
        (joints[1, frame] - joints[0, frame] @ R.T).mean(0)
        for view, frame in joints
        if view == 0 and (1, frame) in joints
    ]
    return float(np.mean(shifts, 0) @ t / (t @ t))
