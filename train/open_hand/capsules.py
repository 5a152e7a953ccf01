"""Capsule test for poses: how deep the digits of a posed skeleton sink into each other and into the palm.

Works on many poses at a time and needs no mesh: bones and radii come from the anthropometry.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np

from train.open_hand.anthropometry import (
    CHAINS,
    DIGITS,
    LONG_FINGERS,
    MM,
    finger_stations,
    segment_starts,
    template_scale,
    template_skeleton,
)
from train.open_hand.skinning import forward_kinematics, posed_joints

PALM_RADIUS_MM = 14.0
"""Half the palm's thickness around a metacarpal, for the fingers."""
PALM_RADIUS_THUMB_MM = 9.0
"""The same for the thumb's tip, which presses into the palm's soft parts."""
THUMB_BASE_RADIUS_MM = 15.0
"""Of the thumb's metacarpal within its ball, which only fingertips are tested against."""
FIRST_METACARPAL = len(DIGITS) * 3
"""Capsules 0..14 are the phalanges, digit by digit; then come four metacarpals."""


def penetration_depth(rotations: np.ndarray) -> np.ndarray:
    """Return how deep (n,) the deepest pair of capsules overlaps, in metres; zero if none does.

    Args:
        rotations: Parent-relative rotations (n, 15, 3, 3) of the finger joints.
    """
    starts, ends = _capsule_segments(rotations)
    first, second, reach = _tested_pairs()
    distance = segment_distances(
        starts[:, first], ends[:, first], starts[:, second], ends[:, second]
    )
    return np.maximum((reach - distance).max(1), 0)


def segment_distances(a0: np.ndarray, a1: np.ndarray, b0: np.ndarray, b1: np.ndarray) -> np.ndarray:
    """Return the distance (...) between segments a0-a1 and b0-b1, all of shape (..., 3) (Ericson 2005, 5.1.9)."""
    u, v, w = a1 - a0, b1 - b0, a0 - b0
    uu, vv, uv = (u * u).sum(-1), (v * v).sum(-1), (u * v).sum(-1)
    uw, vw = (u * w).sum(-1), (v * w).sum(-1)
    # Parallel segments have no unique nearest pair; any start on the first one serves.
    determinant = np.maximum(uu * vv - uv**2, 1e-9 * uu * vv)
    s = np.clip((uv * vw - uw * vv) / determinant, 0, 1)
    t = np.clip((uv * s + vw) / vv, 0, 1)
    s = np.clip((uv * t - uw) / uu, 0, 1)
    return np.linalg.norm(w + s[..., None] * u - t[..., None] * v, axis=-1)


@lru_cache(maxsize=1)
def capsule_radii() -> np.ndarray:
    """Return the radius (15,) of each phalanx, digit by digit, in metres: the mean of its profile."""
    radii = []
    for digit in DIGITS:
        stations, starts = finger_stations(digit), segment_starts(digit)
        for begin, end in pairwise(starts):
            s = np.linspace(begin, end, 9)
            sizes = [np.interp(s, stations[:, 0], stations[:, k]) for k in (1, 2, 3)]
            radii.append(np.mean(sizes[0] + (sizes[1] + sizes[2]) / 2) / 2)
    radii[0] = THUMB_BASE_RADIUS_MM * MM
    return np.array(radii) * template_scale()


@lru_cache(maxsize=1)
def _tested_pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the capsule pairs that may collide, as two index arrays, and the sum of the radii of each."""
    radii, pairs = capsule_radii(), []
    for a in range(15):
        for b in range(a + 1, 15):
            digit_a, digit_b = a // 3, b // 3
            bases = a % 3 == 0 and b % 3 == 0
            # Neighbouring bases touch at rest, and so do the thumb's base and all but the fingertips.
            if digit_a != digit_b and not bases and not (a == 0 and b % 3 != 2):
                pairs.append((a, b, radii[a] + radii[b]))
    for a in (2, *(3 * d + k for d in range(1, 5) for k in (1, 2))):
        palm = (PALM_RADIUS_THUMB_MM if a == 2 else PALM_RADIUS_MM) * MM
        pairs += [(a, FIRST_METACARPAL + m, radii[a] + palm) for m in range(len(LONG_FINGERS))]
    first, second, reach = zip(*pairs, strict=True)
    return np.array(first), np.array(second), np.array(reach)


def _capsule_segments(rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends (n, 19, 3) of the capsules; the last phalanx stops a radius before the skin."""
    bones, radii = template_skeleton(), capsule_radii()
    turns, offsets = forward_kinematics(bones.joints, rotations)
    joints = posed_joints(bones.joints, turns, offsets)
    starts, ends = [], []
    for number, digit in enumerate(DIGITS):
        first, second, third = CHAINS[digit]
        end = bones.tips[number] - radii[3 * number + 2] * bones.axes[third, 2]
        tip = turns[:, third] @ end + offsets[:, third]
        starts += [joints[:, first], joints[:, second], joints[:, third]]
        ends += [joints[:, second], joints[:, third], tip]
    for finger in LONG_FINGERS:
        starts.append(joints[:, 0])
        ends.append(joints[:, CHAINS[finger][0]])
    return np.stack(starts, axis=1), np.stack(ends, axis=1)
