"""A few poses every hand can make, in anatomical angles: for contact sheets and for tests.

The thumb's angles were solved so that its pad meets what it touches in the pose.
"""

import numpy as np
from jaxtyping import Float

from train.open_hand.anthropometry import CHAINS, LONG_FINGERS, template_skeleton
from train.open_hand.joint_angles import hand_pose_from_angles

FingerAngles = tuple[int, int, int, int]
"""Flexion of the three joints, then abduction of the first, in degrees."""
ThumbAngles = tuple[int, int, int, int, int]
"""CMC flexion, abduction and twist, then MCP and IP flexion, in degrees."""

_FIST: tuple[FingerAngles, ...] = (
    (82, 100, 58, -2),
    (86, 102, 60, 0),
    (88, 102, 60, 2),
    (88, 98, 58, 4),
)
NAMED_ANGLES_DEG: dict[str, tuple[ThumbAngles, tuple[FingerAngles, ...]]] = {
    "relaxed": (
        (10, 12, -10, 12, 15),
        ((22, 26, 12, -2), (28, 30, 14, 0), (32, 32, 15, 3), (34, 30, 14, 6)),
    ),
    "fist": ((27, 37, -45, 43, 45), _FIST),
    "pinch": (
        (34, 15, -22, 9, 4),
        ((53, 51, 21, -12), (30, 32, 16, 0), (24, 26, 12, 4), (18, 22, 10, 8)),
    ),
    "point": ((36, 32, -45, 38, 27), ((2, 4, 2, -2), *_FIST[1:])),
    "victory": ((49, 30, -45, 41, 20), ((0, 2, 2, 8), (0, 2, 2, -8), *_FIST[2:])),
    "thumbs-up": ((-8, 14, 0, -4, -8), _FIST),
    "OK": (
        (34, 15, -22, 9, 4),
        ((53, 51, 21, -12), (12, 10, 5, 0), (6, 6, 3, 0), (2, 4, 2, 0)),
    ),
}


def named_poses() -> dict[str, Float[np.ndarray, "15 3"]]:
    """Return the named poses as axis-angle vectors in radians."""
    axes = template_skeleton().axes
    return {
        name: hand_pose_from_angles(axes, _angles(thumb, fingers))
        for name, (thumb, fingers) in NAMED_ANGLES_DEG.items()
    }


def _angles(thumb: ThumbAngles, fingers: tuple[FingerAngles, ...]) -> np.ndarray:
    angles = np.zeros((16, 3))
    first, second, third = CHAINS["thumb"]
    angles[first] = thumb[:3]
    angles[[second, third], 0] = thumb[3:]
    for finger, (mcp, pip, dip, abduction) in zip(LONG_FINGERS, fingers, strict=True):
        first, second, third = CHAINS[finger]
        angles[first, :2] = mcp, abduction
        angles[[second, third], 0] = pip, dip
    return angles[1:]
