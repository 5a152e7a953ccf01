"""The 21 joints of a hand and their exact derivatives, compiled: the inside of the fitter.

Joints are relative to the wrist, in the hand's own frame, before rotation, scale and translation.
The pose is `axis_angle = mean + axes @ pose`, so `pose` may be any linear coordinates of it.
A fingertip is a vertex: it carries its shape and pose correctives but follows its last bone only,
which is exact for our hand.
"""

import math
from typing import Final, NamedTuple, no_type_check

import numpy as np
from numba import njit

from tracker.geometry.skeleton import FINGERS, JOINTS, MANO_FINGERS, MANO_JOINTS, MANO_PARENTS
from tracker.geometry.skinning import rodrigues

PARENTS: Final = np.array(MANO_PARENTS)
BONE_OF_JOINT: Final = np.array([MANO_JOINTS.index(j) if j in MANO_JOINTS else -1 for j in JOINTS])
"""Row of each of the 21 joints in MANO's 16; -1 for tips."""
BONE_OF_TIP: Final = np.array([3 * MANO_FINGERS.index(finger) + 3 for finger in FINGERS])
"""MANO joint that moves each tip, thumb to pinky."""


class HandTables(NamedTuple):
    """What the kernels need of a hand, float64."""

    axes: np.ndarray
    """(45, n) change of the axis-angles for each pose coordinate, radians."""
    mean: np.ndarray
    """(45,) axis-angles at zero pose coordinates."""
    joints: np.ndarray
    """(16, 3, 11) rest joints, then their change for each unit of `betas`, metres."""
    tips: np.ndarray
    """(5, 3, 11) the same for the fingertips, thumb to pinky."""
    tip_correctives: np.ndarray
    """(5, 3, 135) pose correctives of the fingertips, metres."""
    frames: np.ndarray
    """(15, 3, 3) anatomical frames, see `joint_limits`."""
    limits: np.ndarray
    """(15, 3, 2) lowest and highest angles, radians."""


class Chain(NamedTuple):
    """Forward kinematics of one pose: what derivatives are made from."""

    axis_angle: np.ndarray
    """(16, 3)."""
    turns: np.ndarray
    """(16, 3, 3) rotation of each joint relative to its parent."""
    frames: np.ndarray
    """(16, 3, 3) rotation of each joint relative to the wrist."""
    rest: np.ndarray
    """(16, 3) rest joints of this shape."""
    places: np.ndarray
    """(16, 3) posed joints relative to the wrist."""
    tip_rest: np.ndarray
    """(5, 3) corrected rest tips relative to their bone's joint."""
    points: np.ndarray
    """(21, 3) posed joints relative to the wrist."""


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def new_chain():
    """Return an empty chain."""
    return Chain(
        np.zeros((16, 3)),
        np.zeros((16, 3, 3)),
        np.zeros((16, 3, 3)),
        np.zeros((16, 3)),
        np.zeros((16, 3)),
        np.zeros((5, 3)),
        np.zeros((21, 3)),
    )


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def multiply(a, b, out):
    """Write the product of two 3x3 matrices into `out`."""
    for r in range(3):
        for c in range(3):
            out[r, c] = a[r, 0] * b[0, c] + a[r, 1] * b[1, c] + a[r, 2] * b[2, c]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def left_jacobian(w, out):
    """Write the left Jacobian of SO(3) at axis-angle `w`: R(w + dw) = exp(J dw) R(w)."""
    x, y, z = w[0], w[1], w[2]
    squared = x * x + y * y + z * z
    angle = math.sqrt(squared)
    if squared < 1e-6:
        a, b = 0.5 - squared / 24, 1 / 6 - squared / 120
    else:
        a, b = (1 - math.cos(angle)) / squared, (angle - math.sin(angle)) / (squared * angle)
    out[0, 0] = 1 - b * (y * y + z * z)
    out[0, 1] = b * x * y - a * z
    out[0, 2] = b * x * z + a * y
    out[1, 0] = b * x * y + a * z
    out[1, 1] = 1 - b * (x * x + z * z)
    out[1, 2] = b * y * z - a * x
    out[2, 0] = b * x * z - a * y
    out[2, 1] = b * y * z + a * x
    out[2, 2] = 1 - b * (x * x + y * y)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _rest_tips(hand, betas, chain):
    """Fill `tip_rest`: template, shape and pose correctives, from the last joint on."""
    for tip in range(5):
        bone = BONE_OF_TIP[tip]
        for r in range(3):
            value = hand.tips[tip, r, 0] - chain.rest[bone, r]
            for k in range(10):
                value += hand.tips[tip, r, 1 + k] * betas[k]
            row = hand.tip_correctives[tip, r]
            for j in range(15):
                for i in range(3):
                    value -= row[9 * j + 4 * i]
                    for c in range(3):
                        value += row[9 * j + 3 * i + c] * chain.turns[j + 1, i, c]
            chain.tip_rest[tip, r] = value


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def forward(hand, pose, betas, chain):
    """Pose the hand: fill every field of `chain`."""
    angles = hand.mean + np.dot(hand.axes, pose)
    for r in range(3):
        chain.frames[0, r, r] = 1
        chain.turns[0, r, r] = 1
    for j in range(16):
        for r in range(3):
            value = hand.joints[j, r, 0]
            for k in range(10):
                value += hand.joints[j, r, 1 + k] * betas[k]
            chain.rest[j, r] = value
    for j in range(1, 16):
        parent = PARENTS[j]
        for r in range(3):
            chain.axis_angle[j, r] = angles[3 * (j - 1) + r]
        w = chain.axis_angle[j]
        rodrigues(w[0], w[1], w[2], chain.turns[j])
        multiply(chain.frames[parent], chain.turns[j], chain.frames[j])
        for r in range(3):
            value = chain.places[parent, r]
            for c in range(3):
                offset = chain.rest[j, c] - chain.rest[parent, c]
                value += chain.frames[parent, r, c] * offset
            chain.places[j, r] = value
    _rest_tips(hand, betas, chain)
    for point in range(21):
        bone = BONE_OF_JOINT[point]
        for r in range(3):
            if bone >= 0:
                chain.points[point, r] = chain.places[bone, r]
            else:
                tip = point // 4 - 1
                last = BONE_OF_TIP[tip]
                value = chain.places[last, r]
                for c in range(3):
                    value += chain.frames[last, r, c] * chain.tip_rest[tip, c]
                chain.points[point, r] = value


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _turning(chain, by_angle):
    """Add to `by_angle` (21, 3, 45) how turning each joint swings the points beyond it."""
    axes = np.empty((16, 3, 3))
    local = np.empty((3, 3))
    for j in range(1, 16):
        left_jacobian(chain.axis_angle[j], local)
        multiply(chain.frames[PARENTS[j]], local, axes[j])
    for point in range(1, 21):
        bone = BONE_OF_JOINT[point]
        joint = PARENTS[bone] if bone >= 0 else BONE_OF_TIP[point // 4 - 1]
        while joint > 0:
            x = chain.points[point, 0] - chain.places[joint, 0]
            y = chain.points[point, 1] - chain.places[joint, 1]
            z = chain.points[point, 2] - chain.places[joint, 2]
            for c in range(3):
                a, b, d = axes[joint, 0, c], axes[joint, 1, c], axes[joint, 2, c]
                column = 3 * (joint - 1) + c
                by_angle[point, 0, column] += b * z - d * y
                by_angle[point, 1, column] += d * x - a * z
                by_angle[point, 2, column] += a * y - b * x
            joint = PARENTS[joint]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _correcting(hand, chain, by_angle):
    """Add to `by_angle` how turning each joint changes the tips' pose correctives."""
    local = np.empty((3, 3))
    change = np.empty(9)
    for j in range(1, 16):
        left_jacobian(chain.axis_angle[j], local)
        turn = chain.turns[j]
        for c in range(3):
            a, b, d = local[0, c], local[1, c], local[2, c]
            for i in range(3):
                change[i] = b * turn[2, i] - d * turn[1, i]
                change[3 + i] = d * turn[0, i] - a * turn[2, i]
                change[6 + i] = a * turn[1, i] - b * turn[0, i]
            for tip in range(5):
                frame = chain.frames[BONE_OF_TIP[tip]]
                for i in range(3):
                    row = hand.tip_correctives[tip, i]
                    moved = 0.0
                    for q in range(9):
                        moved += row[9 * (j - 1) + q] * change[q]
                    for r in range(3):
                        by_angle[4 * tip + 4, r, 3 * (j - 1) + c] += frame[r, i] * moved


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _shaping(hand, chain, by_beta):
    """Fill `by_beta` (21, 3, 10): how the shape moves the points."""
    moved = np.zeros((16, 3, 10))
    for j in range(1, 16):
        parent = PARENTS[j]
        for r in range(3):
            for k in range(10):
                value = moved[parent, r, k]
                for c in range(3):
                    step = hand.joints[j, c, 1 + k] - hand.joints[parent, c, 1 + k]
                    value += chain.frames[parent, r, c] * step
                moved[j, r, k] = value
    for point in range(21):
        bone = BONE_OF_JOINT[point]
        tip = point // 4 - 1
        last = BONE_OF_TIP[tip] if bone < 0 else bone
        for r in range(3):
            for k in range(10):
                value = moved[last, r, k]
                if bone < 0:
                    for c in range(3):
                        step = hand.tips[tip, c, 1 + k] - hand.joints[last, c, 1 + k]
                        value += chain.frames[last, r, c] * step
                by_beta[point, r, k] = value


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def derivatives(hand, chain, with_shape):
    """Return d points / d pose (63, n) and d points / d betas (21, 3, 10; zero if not wanted)."""
    by_angle = np.zeros((21, 3, 45))
    by_beta = np.zeros((21, 3, 10))
    _turning(chain, by_angle)
    _correcting(hand, chain, by_angle)
    if with_shape:
        _shaping(hand, chain, by_beta)
    return np.dot(by_angle.reshape(63, 45), hand.axes), by_beta
