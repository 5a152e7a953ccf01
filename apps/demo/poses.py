"""The finger poses of the demo, in anatomical angles (see `tracker.geometry.joint_limits`)."""

from typing import Final

import numpy as np
import torch
from jaxtyping import Float

from tracker.geometry.hand_model import HandModel
from tracker.geometry.joint_limits import joint_frames, rotations_from_angles
from tracker.geometry.rotations import axis_angle_from_matrix
from tracker.geometry.skeleton import FINGERS, MANO_JOINTS

Finger = tuple[float, float, float, float]
"""Flexion of the three joints, then abduction of the first, degrees."""
Thumb = tuple[float, float, float, float, float]
"""CMC flexion, abduction and twist, then MCP and IP flexion, degrees."""

_THUMB_OVER_FIST: Final = (27, 37, -45, 43, 45)
_MIDDLE_FIST: Final = (86, 102, 60, 0)
_RING_FIST: Final = (88, 102, 60, 2)
_PINKY_FIST: Final = (88, 98, 58, 4)

POSES_DEG: Final[dict[str, tuple[Thumb, Finger, Finger, Finger, Finger]]] = {
    "open": ((-4, 8, -2, 2, 2), (4, 6, 4, 3), (3, 6, 4, 0), (4, 7, 4, -3), (5, 8, 5, -6)),
    "spread": ((-14, 14, 0, -4, -6), (-4, 3, 2, 11), (-3, 3, 2, 1), (-3, 3, 2, -8), (-4, 4, 3, -15)),
    "relaxed": ((8, 12, -8, 12, 14), (16, 22, 10, -1), (20, 26, 12, 0), (23, 28, 13, 2), (25, 27, 13, 4)),
    "fist": (_THUMB_OVER_FIST, (82, 100, 58, -2), _MIDDLE_FIST, _RING_FIST, _PINKY_FIST),
    "point": ((36, 32, -45, 38, 27), (2, 5, 3, -2), _MIDDLE_FIST, _RING_FIST, _PINKY_FIST),
    "victory": ((49, 30, -45, 41, 20), (0, 3, 2, 9), (0, 3, 2, -8), _RING_FIST, _PINKY_FIST),
    "pinch": ((34, 15, -22, 9, 4), (53, 51, 21, -12), (30, 32, 16, 0), (24, 26, 12, 4), (18, 22, 10, 8)),
    "unpinch": ((14, 20, -12, 4, 2), (26, 26, 12, -2), (24, 28, 14, 0), (20, 24, 11, 2), (15, 20, 9, 3)),
    "okay": ((34, 15, -22, 9, 4), (53, 51, 21, -12), (12, 12, 6, 0), (6, 8, 4, -2), (2, 6, 3, -6)),
}  # fmt: skip
"""The thumb meets what it touches: its angles were solved on the open hand."""


def pose_angles(name: str) -> Float[np.ndarray, "15 3"]:
    """Return flexion, abduction and twist (rad) of a named pose, in MANO's joint order."""
    angles = np.zeros((15, 3))
    for finger, values in zip(FINGERS, POSES_DEG[name], strict=True):
        thumb = finger == "thumb"
        parts = ("cmc", "mcp", "ip") if thumb else ("mcp", "pip", "dip")
        first, second, third = (MANO_JOINTS.index(f"{finger}_{part}") - 1 for part in parts)
        if thumb:
            angles[first], angles[[second, third], 0] = values[:3], values[3:]
        else:
            angles[[first, second, third], 0], angles[first, 1] = values[:3], values[3]
    return np.radians(angles)


def hand_pose(model: HandModel, angles: Float[np.ndarray, "15 3"]) -> Float[np.ndarray, "15 3"]:
    """Return the axis-angles (rad) of a right hand's finger joints with these angles."""
    turns = rotations_from_angles(torch.from_numpy(angles)[None], joint_frames(model).double())
    return axis_angle_from_matrix(turns)[0].numpy()
