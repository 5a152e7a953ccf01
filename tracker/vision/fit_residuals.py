"""What a hand should satisfy, compiled: evidence, limits and priors as residuals.

The cost is half the squared norm of `residuals`; every residual is a difference divided by its
standard deviation. The state is a rotation (3, 3), updated from the left, and a vector `values` of
[rotation increment (3, always 0 at rest), wrist (3), pose (n), log scale, betas (10)]. Solving only
its first 6 + n entries locks shape and scale.
"""

import math
from itertools import pairwise
from typing import Final, NamedTuple, no_type_check

import numpy as np
from numba import njit

from tracker.geometry.skeleton import BONES, JOINTS
from tracker.vision.fit_kinematics import forward

KNUCKLES: Final = tuple(JOINTS.index(f"{f}_mcp") for f in ("index", "middle", "ring", "pinky"))
BONE_PAIRS: Final = np.array(BONES)
SPANS: Final = np.array((*BONES, *pairwise(KNUCKLES)))
"""Pairs of joints whose 3D direction is evidence: the bones, and the line of the knuckles, which
fixes the roll of the palm."""
MIDDLE_TIP: Final = 2
MIN_DEPTH: Final = 0.02
MAX_DEPTH: Final = 20.0
"""Metres between which every joint must stay in front of the camera."""
MAX_PIXEL: Final = 1e6
"""Landmarks beyond this count as unseen."""
MIN_SD_PX: Final = 0.25
"""Noise of landmarks on a hand of any size."""

REPROJECTION: Final = 0
BONES_2D: Final = REPROJECTION + 2 * 21
SPANS_3D: Final = BONES_2D + 2 * len(BONE_PAIRS)
LIMITS: Final = SPANS_3D + 3 * len(SPANS)
LENGTH: Final = LIMITS + 3 * 15
PRIORS: Final = LENGTH + 1
"""First row of each block of residuals; the priors and then the anchors take one for each value."""


class Weights(NamedTuple):
    """Inverse standard deviations of the residuals; reprojection has its own, `Target.sd_px`."""

    huber: float
    """Reprojection errors beyond this many deviations count linearly."""
    bones_2d: float
    spans_3d: float
    limits: float
    pose: float
    shape: float
    scale: float
    length: float
    log_length: float
    """Logarithm of the flat hand's known length in metres."""
    anchor_pose: float
    anchor_shape: float
    anchor_scale: float


class Target(NamedTuple):
    """Evidence prepared for the kernels; weights hold the confidences."""

    K: np.ndarray
    uv: np.ndarray
    confidence: np.ndarray
    sd_px: float
    """Landmark noise in pixels."""
    bones: np.ndarray
    """(20, 3) unit direction in the image and its weight."""
    spans: np.ndarray
    """(23, 4) unit direction in the camera frame and its weight."""


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def prepare(K, uv, confidence, xyz, relative_sd):
    """Build a `Target`; landmarks that are not finite, or absurdly far out, count as unseen."""
    points, trust = np.zeros((21, 2)), np.zeros(21)
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for i in range(21):
        if abs(uv[i, 0]) < MAX_PIXEL and abs(uv[i, 1]) < MAX_PIXEL and confidence[i] > 0:
            trust[i] = min(confidence[i], 1.0)
            for r in range(2):
                points[i, r] = uv[i, r]
                low[r], high[r] = min(low[r], uv[i, r]), max(high[r], uv[i, r])
    size = max(0.0, high[0] - low[0], high[1] - low[1])
    sd_px = max(relative_sd * size, MIN_SD_PX)
    bones, spans = np.zeros((len(BONE_PAIRS), 3)), np.zeros((len(SPANS), 4))
    for b in range(len(BONE_PAIRS)):
        i, j = BONE_PAIRS[b]
        x, y = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
        norm = math.sqrt(x * x + y * y)
        if norm > 1e-9:
            # A bone seen end on has no direction: it counts fully from three deviations on.
            weight = math.sqrt(trust[i] * trust[j] * min(1.0, norm / (3 * sd_px)))
            bones[b, 0], bones[b, 1], bones[b, 2] = x / norm, y / norm, weight
    for b in range(len(SPANS)):
        i, j = SPANS[b]
        span = xyz[j] - xyz[i]
        norm = math.sqrt(span[0] ** 2 + span[1] ** 2 + span[2] ** 2)
        if norm > 1e-6 and norm < np.inf:
            spans[b, :3] = span / norm
            spans[b, 3] = math.sqrt(trust[i] * trust[j])
    return Target(K, points, trust, sd_px, bones, spans)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def place(chain, rotation, values, target, points, uv):
    """Fill camera-frame joints and their pixels; return whether all lie in front of the camera."""
    K = target.K
    scale = math.exp(values[values.shape[0] - 11])
    inside = True
    for i in range(21):
        for r in range(3):
            swung = 0.0
            for c in range(3):
                swung += rotation[r, c] * chain.points[i, c]
            points[i, r] = scale * swung + values[3 + r]
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        inside = inside and z > MIN_DEPTH and z < MAX_DEPTH
        uv[i, 0] = (K[0, 0] * x + K[0, 1] * y) / z + K[0, 2]
        uv[i, 1] = K[1, 1] * y / z + K[1, 2]
    return inside


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _reprojection(weights, target, uv, out):
    """Write c phi(e) e/|e|, whose half square is Huber's loss of the distance e."""
    for i in range(21):
        x = (uv[i, 0] - target.uv[i, 0]) / target.sd_px
        y = (uv[i, 1] - target.uv[i, 1]) / target.sd_px
        error = math.sqrt(x * x + y * y)
        factor = math.sqrt(target.confidence[i])
        if error > weights.huber:
            factor *= math.sqrt(weights.huber * (2 * error - weights.huber)) / error
        out[REPROJECTION + 2 * i] = factor * x
        out[REPROJECTION + 2 * i + 1] = factor * y


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _directions(weights, target, points, uv, out):
    """Write the differences of unit vectors, of bones in the image and of spans in space."""
    for b in range(len(BONE_PAIRS)):
        i, j = BONE_PAIRS[b]
        x, y = uv[j, 0] - uv[i, 0], uv[j, 1] - uv[i, 1]
        norm = math.sqrt(x * x + y * y) + 1e-9
        weight = weights.bones_2d * target.bones[b, 2]
        out[BONES_2D + 2 * b] = weight * (x / norm - target.bones[b, 0])
        out[BONES_2D + 2 * b + 1] = weight * (y / norm - target.bones[b, 1])
    for b in range(len(SPANS)):
        i, j = SPANS[b]
        norm = 1e-9
        for r in range(3):
            norm += (points[j, r] - points[i, r]) ** 2
        norm = math.sqrt(norm)
        weight = weights.spans_3d * target.spans[b, 3]
        for r in range(3):
            along = (points[j, r] - points[i, r]) / norm
            out[SPANS_3D + 3 * b + r] = weight * (along - target.spans[b, r])


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def angles_of(hand, chain, joint, local, angles):
    """Fill a finger joint's rotation in its anatomical frame and its three angles (rad)."""
    frame = hand.frames[joint]
    for r in range(3):
        for c in range(3):
            value = 0.0
            for i in range(3):
                for k in range(3):
                    value += frame[r, i] * chain.turns[joint + 1, i, k] * frame[c, k]
            local[r, c] = value
    angles[0] = math.atan2(-local[1, 2], local[2, 2])
    angles[1] = math.asin(min(max(local[0, 2], -1.0), 1.0))
    angles[2] = math.atan2(-local[0, 1], local[0, 0])


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _violations(hand, weights, chain, out):
    """Write by how much each joint angle lies outside its limits, with a sign."""
    local, angles = np.empty((3, 3)), np.empty(3)
    for joint in range(15):
        angles_of(hand, chain, joint, local, angles)
        for k in range(3):
            low, high = hand.limits[joint, k]
            beyond = max(angles[k] - high, 0.0) + min(angles[k] - low, 0.0)
            out[LIMITS + 3 * joint + k] = weights.limits * beyond


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def flat_length(hand, betas, slope):
    """Return the flat hand's length, wrist to middle tip, at scale 1; fill d log(length)/d betas."""
    reach = np.empty(3)
    squared = 0.0
    for r in range(3):
        reach[r] = hand.tips[MIDDLE_TIP, r, 0] - hand.joints[0, r, 0]
        for k in range(10):
            step = hand.tips[MIDDLE_TIP, r, 1 + k] - hand.joints[0, r, 1 + k]
            reach[r] += step * betas[k]
        squared += reach[r] ** 2
    for k in range(10):
        slope[k] = 0.0
        for r in range(3):
            step = hand.tips[MIDDLE_TIP, r, 1 + k] - hand.joints[0, r, 1 + k]
            slope[k] += reach[r] * step / squared
    return math.sqrt(squared)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def pulls(weights, count, prior, anchor):
    """Fill the weight of the prior and of the anchor on each of `count` state values."""
    n = count - 17
    prior[:] = 0.0
    anchor[:] = 0.0
    prior[6 : 6 + n], anchor[6 : 6 + n] = weights.pose, weights.anchor_pose
    prior[6 + n], anchor[6 + n] = weights.scale, weights.anchor_scale
    prior[7 + n :], anchor[7 + n :] = weights.shape, weights.anchor_shape


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def residuals(hand, weights, target, rotation, values, anchor, chain, points, uv, out):
    """Fill every residual and the geometry behind it; return the cost, infinite if infeasible."""
    count = values.shape[0]
    forward(hand, values[6 : count - 11], values[count - 10 :], chain)
    if not place(chain, rotation, values, target, points, uv):
        return np.inf
    _reprojection(weights, target, uv, out)
    _directions(weights, target, points, uv, out)
    _violations(hand, weights, chain, out)
    length = flat_length(hand, values[count - 10 :], np.empty(10))
    out[LENGTH] = weights.length * (values[count - 11] + math.log(length) - weights.log_length)
    prior, hold = np.empty(count), np.empty(count)
    pulls(weights, count, prior, hold)
    for k in range(count):
        out[PRIORS + k] = prior[k] * values[k]
        out[PRIORS + count + k] = hold[k] * (values[k] - anchor[k])
    return 0.5 * np.dot(out, out)
