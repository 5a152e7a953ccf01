"""The compiled twin of `OpenXrHand.reference`: the same arithmetic, one joint after the other.

Without `fastmath`: a left hand shall be the mirror of a right one to the last bit. Each function is
called with one set of types only, so that numba's cache holds one version of it.
"""

import math
from typing import Final, NamedTuple, no_type_check

import numpy as np
from numba import njit

from tracker.geometry.skeleton import MANO_PARENTS
from tracker.geometry.skinning import rodrigues
from tracker.stream.openxr_skeleton import (
    DRIVERS,
    FAR,
    INDEX_MCP,
    IS_THUMB,
    IS_TIP,
    LITTLE_MCP,
    METACARPALS,
    MIDDLE_MCP,
    MIDDLE_METACARPAL,
    MIDDLE_PROXIMAL,
    MODELLED,
    NEAR,
    PALM,
    SOURCE,
    WRIST,
)

_PARENTS: Final = np.array(MANO_PARENTS)


class HandConstants(NamedTuple):
    """What is constant of one side of a hand model, float64."""

    keypoints: np.ndarray
    """(21, 3, 11) resting joints, then their change for each unit of `betas`, metres."""
    metacarpals: np.ndarray
    """(4, 3) places of the metacarpals in the palm's axes, relative to wrist-to-middle-MCP."""
    thumb_nail: np.ndarray
    """(3,) where the thumb's back looks, in the palm's axes."""
    rolls: np.ndarray
    """(26, 2) cosine and sine of each joint's turn about its own Z."""
    radii: np.ndarray
    """(26,) of the mean hand, metres."""
    palm_length: float
    """From wrist to middle MCP in the mean hand, metres."""
    sign: float
    """1 for a right hand, -1 for a left one."""


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _normalise(v):
    length = math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
    for i in range(3):
        v[i] /= length


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _cross(a, b, out):
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _axes(back, sideways, rows):
    """Fill the rows of (3, 3): Z along `back`, X as near to `sideways` as it can be."""
    for i in range(3):
        rows[2, i] = back[i]
    _normalise(rows[2])
    along = sideways[0] * rows[2, 0] + sideways[1] * rows[2, 1] + sideways[2] * rows[2, 2]
    for i in range(3):
        rows[0, i] = sideways[i] - along * rows[2, i]
    _normalise(rows[0])
    _cross(rows[2], rows[0], rows[1])


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _rest_keypoints(hand, betas):
    """Return the 21 joints of the flat hand of this shape, (21, 3)."""
    points = np.empty((21, 3))
    for j in range(21):
        for i in range(3):
            value = hand.keypoints[j, i, 0]
            for k in range(10):
                value += hand.keypoints[j, i, 1 + k] * betas[k]
            points[j, i] = value
    return points


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _rest(hand, points, places, axes):
    """Fill the places (26, 3) and axes in rows (26, 3, 3) of the flat hand."""
    across, back, hint, palm = np.empty(3), np.empty(3), np.empty(3), np.empty((3, 3))
    for i in range(3):
        across[i] = hand.sign * (points[LITTLE_MCP, i] - points[INDEX_MCP, i])
        back[i] = points[0, i] - points[MIDDLE_MCP, i]
    length = math.sqrt(back[0] * back[0] + back[1] * back[1] + back[2] * back[2])
    _axes(back, across, palm)
    for n in range(MODELLED.size):
        for i in range(3):
            places[MODELLED[n], i] = points[SOURCE[n], i]
    for n in range(4):
        for i in range(3):
            place = 0.0
            for k in range(3):
                place += hand.metacarpals[n, k] * palm[k, i]
            places[METACARPALS[n], i] = places[WRIST, i] + length * place
    for i in range(3):
        hint[i] = 0.0
        for k in range(3):
            hint[i] += hand.thumb_nail[k] * palm[k, i]
    thumb_side = np.empty(3)
    for j in range(26):
        for i in range(3):
            back[i] = places[NEAR[j], i] - places[FAR[j], i]
        _cross(hint, back, thumb_side)
        _axes(back, thumb_side if IS_THUMB[j] else across, axes[j])
        _roll(axes[j], hand.rolls[j, 0], hand.rolls[j, 1])
    return length


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _roll(rows, c, s):
    """Turn axes in rows about their own Z."""
    for i in range(3):
        x, y = rows[0, i], rows[1, i]
        rows[0, i] = c * x + s * y
        rows[1, i] = c * y - s * x


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _bone_rotations(orient, pose):
    """Return the rotations (16, 3, 3) of MANO's joints in the camera frame."""
    turns, local = np.empty((16, 3, 3)), np.empty((3, 3))
    rodrigues(orient[0], orient[1], orient[2], turns[0])
    for j in range(1, 16):
        rodrigues(pose[j - 1, 0], pose[j - 1, 1], pose[j - 1, 2], local)
        above = turns[_PARENTS[j]]
        for r in range(3):
            for c in range(3):
                turns[j, r, c] = (
                    above[r, 0] * local[0, c]
                    + above[r, 1] * local[1, c]
                    + above[r, 2] * local[2, c]
                )
    return turns


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _place(joints, wrist_turn, scale, rest, places):
    """Fill the places (26, 3) of the posed hand in the camera frame."""
    for n in range(MODELLED.size):
        for i in range(3):
            places[MODELLED[n], i] = joints[SOURCE[n], i]
    for n in range(4):
        for i in range(3):
            moved = 0.0
            for k in range(3):
                moved += (rest[METACARPALS[n], k] - rest[WRIST, k]) * wrist_turn[i, k]
            places[METACARPALS[n], i] = places[WRIST, i] + scale * moved
    for i in range(3):
        places[PALM, i] = 0.5 * (places[MIDDLE_METACARPAL, i] + places[MIDDLE_PROXIMAL, i])


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _reflect(rows, normal):
    """Mirror axes in rows at the plane with this unit normal."""
    for k in range(3):
        along = rows[k, 0] * normal[0] + rows[k, 1] * normal[1] + rows[k, 2] * normal[2]
        for i in range(3):
            rows[k, i] -= 2 * along * normal[i]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _point_along_bone(rows, back):
    """Swing axes in rows by the shortest turn that lays Z along `back`."""
    z, halfway = rows[2].copy(), back.copy()
    _normalise(halfway)
    for i in range(3):
        halfway[i] += z[i]
    _normalise(halfway)
    _reflect(rows, z)
    _reflect(rows, halfway)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _quaternion(rows, out):
    """Write x, y, z, w with w >= 0 of axes in rows: the largest of four equal forms."""
    xx, yy, zz = rows[0, 0], rows[1, 1], rows[2, 2]
    best, largest = 0, 1 + xx - yy - zz
    for k, size in ((1, 1 - xx + yy - zz), (2, 1 - xx - yy + zz), (3, 1 + xx + yy + zz)):
        if size > largest:
            best, largest = k, size
    out[best] = largest
    if best == 3:
        out[0] = rows[1, 2] - rows[2, 1]
        out[1] = rows[2, 0] - rows[0, 2]
        out[2] = rows[0, 1] - rows[1, 0]
    else:
        j, k = (best + 1) % 3, (best + 2) % 3
        out[j] = rows[best, j] + rows[j, best]
        out[k] = rows[best, k] + rows[k, best]
        out[3] = rows[j, k] - rows[k, j]
    length = math.sqrt(out[0] * out[0] + out[1] * out[1] + out[2] * out[2] + out[3] * out[3])
    if out[3] < 0:
        length = -length
    for i in range(4):
        out[i] /= length


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def openxr_joints(hand, orient, pose, betas, scale, joints, positions, orientations, radii):
    """Fill positions (26, 3), orientations (26, 4) and radii (26,) in OpenXR's frame.

    Args:
        hand: `HandConstants`.
        orient: (3,) axis-angle of the hand.
        pose: (15, 3) axis-angles of the fingers.
        betas: (10,) shape.
        scale: size of the hand.
        joints: (21, 3) posed joints in the camera frame, metres.
        positions: to be filled.
        orientations: to be filled.
        radii: to be filled.
    """
    rest, rest_axes = np.empty((26, 3)), np.empty((26, 3, 3))
    length = _rest(hand, _rest_keypoints(hand, betas), rest, rest_axes)
    turns = _bone_rotations(orient, pose)
    _place(joints, turns[0], scale, rest, positions)
    rows, back = np.empty((3, 3)), np.empty(3)
    for j in range(26):
        radii[j] = hand.radii[j] * scale * length / hand.palm_length
        if IS_TIP[j]:
            orientations[j] = orientations[j - 1]
            continue
        turn = turns[DRIVERS[j]]
        for k in range(3):
            for i in range(3):
                axis = rest_axes[j, k]
                rows[k, i] = turn[i, 0] * axis[0] + turn[i, 1] * axis[1] + turn[i, 2] * axis[2]
        if IS_TIP[min(j + 1, 25)]:
            for i in range(3):
                back[i] = positions[j, i] - positions[j + 1, i]
            _point_along_bone(rows, back)
        for k in range(3):  # from the camera's frame to OpenXR's
            rows[k, 1], rows[k, 2] = -rows[k, 1], -rows[k, 2]
        _quaternion(rows, orientations[j])
    for j in range(26):
        positions[j, 1], positions[j, 2] = -positions[j, 1], -positions[j, 2]
