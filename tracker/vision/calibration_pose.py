"""Is this an open palm, held still before the camera? If not, what should the person do?"""

from typing import Final

import numpy as np
from jaxtyping import Float

from tracker.geometry.camera import Camera
from tracker.geometry.skeleton import FINGERS, JOINTS
from tracker.vision.records import TrackedHand

_STRAIGHT: Final = {"thumb": 0.90, **dict.fromkeys(FINGERS[1:], 0.89)}
"""Least distance of tip and knuckle as a part of the finger's length. Photographs of open hands show
0.92 and more in nineteen of twenty fingers (the little finger 0.90), a fist 0.4."""
_ALONG_PALM: Final = 0.5
"""Least cosine between a finger and the palm, spread and bend together. Fits of open hands on photographs
show 0.6 in nineteen of twenty, because depth is the weakest part of a fit."""
_FACING: Final = 0.75
"""Least cosine between the palm and the line of sight: 41 degrees."""
_SMALLEST: Final = 0.18
"""Least size of the hand as a part of the picture's shorter side."""
_MIN_SCORE: Final = 0.4
_SPEED: Final = 0.6
"""Hand sizes a second beyond which a hand moves; the landmarks of a resting one wander by 0.1."""
_MARGIN: Final = 0.01

_FINGER_JOINTS: Final = {
    finger: np.array([i for i, name in enumerate(JOINTS) if name.startswith(finger)])
    for finger in FINGERS
}
"""Each finger's four joints, palm to tip."""
_KNUCKLES: Final = np.array([JOINTS.index(f"{finger}_mcp") for finger in FINGERS[1:]])


def complaint(hand: TrackedHand, camera: Camera) -> str | None:
    """Return what is wrong with the pose of a hand, as a thing to do; None for an open palm."""
    if not _is_inside(hand, camera):
        return "keep the whole hand in the picture"
    if size_px(hand) < _SMALLEST * min(camera.hw):
        return "come closer"
    if hand.score < _MIN_SCORE:
        return "the hand is not clear; more light or a plain background helps"
    bent = bent_finger(hand.joints)
    if bent is not None:
        return f"stretch the {bent} finger" if bent != "thumb" else "stretch the thumb"
    if abs(facing(hand.joints)) < _FACING:
        return "turn the palm to the camera"
    return None


def bent_finger(joints: Float[np.ndarray, "21 3"]) -> str | None:
    """Return the name of a finger that is bent or folded away from the palm; None if none is."""
    along = joints[_KNUCKLES].mean(0) - joints[0]
    for finger, chain in _FINGER_JOINTS.items():
        bones = np.diff(joints[chain], axis=0)
        reach = joints[chain[-1]] - joints[chain[0]]
        length = np.linalg.norm(bones, axis=-1).sum()
        if np.linalg.norm(reach) < _STRAIGHT[finger] * length:
            return finger
        if finger != "thumb" and _cosine(reach, along) < _ALONG_PALM:
            return finger
    return None


def facing(joints: Float[np.ndarray, "21 3"]) -> float:
    """Return the cosine between the palm's normal and the line of sight to it."""
    index, pinky = joints[_KNUCKLES[0]], joints[_KNUCKLES[-1]]
    normal = np.cross(index - joints[0], pinky - joints[0])
    return _cosine(normal, joints[_KNUCKLES].mean(0))


def is_moving(before: TrackedHand, now: TrackedHand) -> bool:
    """Tell whether a hand moved between two frames, or is another one."""
    passed_s = now.timestamp_s - before.timestamp_s
    if before.track_id != now.track_id or not 0 < passed_s < 1:
        return True
    moved_px = float(np.linalg.norm(now.uv - before.uv, axis=-1).mean())
    return moved_px > _SPEED * size_px(now) * passed_s


def size_px(hand: TrackedHand) -> float:
    """Return the larger side of the box around a hand's joints, pixels."""
    return float(np.ptp(hand.uv, axis=0).max())


def _is_inside(hand: TrackedHand, camera: Camera) -> bool:
    height, width = camera.hw
    if not np.isfinite(hand.uv).all():
        return False
    margin = _MARGIN * min(camera.hw)
    low, high = hand.uv.min(0), hand.uv.max(0)
    return bool((low >= margin).all() and high[0] <= width - margin and high[1] <= height - margin)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))
