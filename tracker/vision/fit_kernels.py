"""Levenberg-Marquardt on the residuals of one hand, compiled: their exact Jacobian and the solver."""

import math
from typing import Final, no_type_check

import numpy as np
from numba import njit

from tracker.geometry.skinning import rodrigues
from tracker.vision.fit_kinematics import derivatives, left_jacobian, multiply, new_chain
from tracker.vision.fit_residuals import (
    BONE_PAIRS,
    BONES_2D,
    LENGTH,
    LIMITS,
    PRIORS,
    REPROJECTION,
    SPANS,
    SPANS_3D,
    angles_of,
    flat_length,
    pulls,
    residuals,
)

ROWS: Final = PRIORS + -PRIORS % 4
"""Rows of the Jacobian: a multiple of four, the last ones zero."""


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _motions(rotation, values, points, by_pose, by_beta, free):
    """Return d camera-frame joints / d state, (21, 3, free)."""
    motions = np.zeros((21, 3, free))
    n = by_pose.shape[1]
    scale = math.exp(values[values.shape[0] - 11])
    for i in range(21):
        x, y, z = points[i, 0] - values[3], points[i, 1] - values[4], points[i, 2] - values[5]
        motions[i, 0, 1], motions[i, 0, 2] = z, -y
        motions[i, 1, 0], motions[i, 1, 2] = -z, x
        motions[i, 2, 0], motions[i, 2, 1] = y, -x
        for r in range(3):
            motions[i, r, 3 + r] = 1
            for c in range(3):
                turn = scale * rotation[r, c]
                for k in range(n):
                    motions[i, r, 6 + k] += turn * by_pose[3 * i + c, k]
                if free > 6 + n:
                    for k in range(10):
                        motions[i, r, 7 + n + k] += turn * by_beta[i, c, k]
        if free > 6 + n:
            motions[i, 0, 6 + n], motions[i, 1, 6 + n], motions[i, 2, 6 + n] = x, y, z
    return motions


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _add(row, motion, x, y, z):
    """Add to a row of the Jacobian a gradient (x, y, z) with respect to one joint."""
    for k in range(row.shape[0]):
        row[k] += x * motion[0, k] + y * motion[1, k] + z * motion[2, k]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _pixel_gradient(K, point, uv, gradient):
    """Fill d uv / d point (2, 3)."""
    inverse = 1 / point[2]
    gradient[0, 0], gradient[0, 1] = K[0, 0] * inverse, K[0, 1] * inverse
    gradient[0, 2] = (K[0, 2] - uv[0]) * inverse
    gradient[1, 0], gradient[1, 1] = 0.0, K[1, 1] * inverse
    gradient[1, 2] = (K[1, 2] - uv[1]) * inverse


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _reprojection_rows(weights, target, points, uv, motions, rows):
    """Fill the derivative of the robust reprojection residuals."""
    gradient = np.empty((2, 3))
    for i in range(21):
        x = (uv[i, 0] - target.uv[i, 0]) / target.sd_px
        y = (uv[i, 1] - target.uv[i, 1]) / target.sd_px
        error = math.sqrt(x * x + y * y)
        factor = math.sqrt(target.confidence[i]) / target.sd_px
        along, across = factor, factor
        if error > weights.huber:
            root = math.sqrt(weights.huber * (2 * error - weights.huber))
            along, across = factor * weights.huber / root, factor * root / error
            x, y = x / error, y / error
        else:
            x, y = 1.0, 0.0
        xx = along * x * x + across * y * y
        xy = (along - across) * x * y
        yy = along * y * y + across * x * x
        _pixel_gradient(target.K, points[i], uv[i], gradient)
        u, v = gradient[0], gradient[1]
        for r in range(2):
            a, b = (xx, xy) if r == 0 else (xy, yy)
            row = rows[REPROJECTION + 2 * i + r]
            _add(row, motions[i], a * u[0] + b * v[0], a * u[1] + b * v[1], a * u[2] + b * v[2])


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _bone_rows(weights, target, points, uv, motions, rows):
    """Fill the derivative of the bone directions in the image: the unit vector only turns."""
    gradient = np.empty((2, 3))
    for b in range(len(BONE_PAIRS)):
        i, j = BONE_PAIRS[b]
        x, y = uv[j, 0] - uv[i, 0], uv[j, 1] - uv[i, 1]
        norm = math.sqrt(x * x + y * y) + 1e-9
        x, y = x / norm, y / norm
        weight = weights.bones_2d * target.bones[b, 2] / norm
        for end in range(2):
            joint, sign = (j, weight) if end == 0 else (i, -weight)
            _pixel_gradient(target.K, points[joint], uv[joint], gradient)
            for r in range(2):
                side = sign * (-y if r == 0 else x)
                _add(
                    rows[BONES_2D + 2 * b + r],
                    motions[joint],
                    side * (x * gradient[1, 0] - y * gradient[0, 0]),
                    side * (x * gradient[1, 1] - y * gradient[0, 1]),
                    side * (x * gradient[1, 2] - y * gradient[0, 2]),
                )


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _span_rows(weights, target, points, motions, rows):
    """Fill the derivative of the directions in space: (I - d d^T) / length."""
    along = np.empty(3)
    for b in range(len(SPANS)):
        i, j = SPANS[b]
        squared = 1e-9
        for r in range(3):
            along[r] = points[j, r] - points[i, r]
            squared += along[r] ** 2
        norm = math.sqrt(squared)
        weight = weights.spans_3d * target.spans[b, 3] / norm
        for r in range(3):
            x = weight * ((r == 0) - along[r] * along[0] / squared)
            y = weight * ((r == 1) - along[r] * along[1] / squared)
            z = weight * ((r == 2) - along[r] * along[2] / squared)
            row = rows[SPANS_3D + 3 * b + r]
            _add(row, motions[j], x, y, z)
            _add(row, motions[i], -x, -y, -z)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _limit_rows(hand, weights, chain, out, rows):
    """Fill the derivative of the angles that lie outside their limits; the others have none.

    A turn w of the joint, seen in its anatomical frame, splits into rates of the three angles.
    """
    left, local, angles = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    seen, rates = np.empty((3, 3)), np.empty((3, 3))
    for joint in range(15):
        first = LIMITS + 3 * joint
        if out[first] == 0.0 and out[first + 1] == 0.0 and out[first + 2] == 0.0:
            continue
        angles_of(hand, chain, joint, local, angles)
        left_jacobian(chain.axis_angle[joint + 1], left)
        multiply(hand.frames[joint], left, seen)
        cosine, sine = math.cos(angles[0]), math.sin(angles[0])
        fold = max(math.cos(angles[1]), 1e-3)
        for c in range(3):
            rates[1, c] = cosine * seen[1, c] + sine * seen[2, c]
            rates[2, c] = (cosine * seen[2, c] - sine * seen[1, c]) / fold
            rates[0, c] = seen[0, c] - rates[2, c] * math.sin(angles[1])
        for k in range(3):
            if out[first + k] != 0.0:
                for i in range(hand.axes.shape[1]):
                    for c in range(3):
                        slope = weights.limits * rates[k, c]
                        rows[first + k, 6 + i] += slope * hand.axes[3 * joint + c, i]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def jacobian(hand, weights, target, rotation, values, free, chain, points, uv, out):
    """Return the derivative (ROWS, free) of the residuals before the priors, at the state of `out`."""
    n = values.shape[0] - 17
    with_shape = free > 6 + n
    by_pose, by_beta = derivatives(hand, chain, with_shape)
    motions = _motions(rotation, values, points, by_pose, by_beta, free)
    rows = np.zeros((ROWS, free))
    _reprojection_rows(weights, target, points, uv, motions, rows)
    _bone_rows(weights, target, points, uv, motions, rows)
    _span_rows(weights, target, points, motions, rows)
    _limit_rows(hand, weights, chain, out, rows)
    if with_shape:
        slope = np.empty(10)
        flat_length(hand, values[7 + n :], slope)
        rows[LENGTH, 6 + n] = weights.length
        for k in range(10):
            rows[LENGTH, 7 + n + k] = weights.length * slope[k]
    return rows


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _accumulate(rows, out, H, g):
    """Add J^T J (lower half) and -J^T r, four rows at a time to spare memory traffic."""
    free = rows.shape[1]
    for k in range(0, rows.shape[0] - 3, 4):
        a, b, c, d = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        for i in range(free):
            e, f, p, q = a[i], b[i], c[i], d[i]
            g[i] -= e * out[k] + f * out[k + 1] + p * out[k + 2] + q * out[k + 3]
            if e != 0 or f != 0 or p != 0 or q != 0:
                for j in range(i + 1):
                    H[i, j] += e * a[j] + f * b[j] + p * c[j] + q * d[j]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _normal_equations(weights, rows, out, count):
    """Return H = J^T J (lower half) and g = -J^T r of all residuals, priors and anchors included."""
    free = rows.shape[1]
    H, g = np.zeros((free, free)), np.zeros(free)
    _accumulate(rows, out, H, g)
    prior, hold = np.empty(count), np.empty(count)
    pulls(weights, count, prior, hold)
    for k in range(free):
        H[k, k] += prior[k] ** 2 + hold[k] ** 2
        g[k] -= prior[k] * out[PRIORS + k] + hold[k] * out[PRIORS + count + k]
    return H, g


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _solve_damped(H, g, damping, factor, step):
    """Solve (H + damping diag H) step = g by Cholesky; return False if it is not positive."""
    n = g.shape[0]
    for i in range(n):
        for j in range(i + 1):
            value = H[i, j] if i != j else H[i, i] * (1 + damping) + 1e-9
            for k in range(j):
                value -= factor[i, k] * factor[j, k]
            if i != j:
                factor[i, j] = value / factor[j, j]
            elif value > 0:
                factor[i, i] = math.sqrt(value)
            else:
                return False
    for i in range(n):
        value = g[i]
        for k in range(i):
            value -= factor[i, k] * step[k]
        step[i] = value / factor[i, i]
    for i in range(n - 1, -1, -1):
        value = step[i]
        for k in range(i + 1, n):
            value -= factor[k, i] * step[k]
        step[i] = value / factor[i, i]
    return True


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def moved(rotation, values, step, turned, shifted):
    """Fill the state after `step`: the rotation turns from the left, the other values add up."""
    turn = np.empty((3, 3))
    rodrigues(step[0], step[1], step[2], turn)
    multiply(turn, rotation, turned)
    shifted[:] = values
    shifted[3 : step.shape[0]] += step[3:]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def solve(hand, weights, target, rotation, values, free, iterations, tolerance):
    """Minimise the cost; return rotation, values, cost, error in pixels and steps taken.

    Anchors stand at the incoming state. A step is kept only if it lowers the cost.
    """
    count = values.shape[0]
    anchor, rotation, values = values.copy(), rotation.copy(), values.copy()
    chain, points, uv = new_chain(), np.empty((21, 3)), np.empty((21, 2))
    out, trial = np.zeros(PRIORS + 2 * count), np.zeros(PRIORS + 2 * count)
    turned, shifted = np.empty((3, 3)), np.empty(count)
    factor, step = np.empty((free, free)), np.empty(free)
    cost = residuals(hand, weights, target, rotation, values, anchor, chain, points, uv, out)
    error_px = reprojection_px(target, uv) if cost < np.inf else np.inf
    damping, taken, going = 1e-3, 0, cost < np.inf
    while going and taken < iterations:
        rows = jacobian(hand, weights, target, rotation, values, free, chain, points, uv, out)
        H, g = _normal_equations(weights, rows, out, count)
        going = False
        for _ in range(6):
            if _solve_damped(H, g, damping, factor, step):
                moved(rotation, values, step, turned, shifted)
                new = residuals(
                    hand, weights, target, turned, shifted, anchor, chain, points, uv, trial
                )
                if new < cost:
                    going = cost - new > tolerance * cost
                    cost, taken, damping = new, taken + 1, max(damping * 0.25, 1e-7)
                    rotation[:], values[:], out[:] = turned, shifted, trial
                    error_px = reprojection_px(target, uv)
                    break
            damping = max(damping * 6, 1e-5)
    return rotation, values, cost, error_px, taken


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def reprojection_px(target, uv):
    """Return the root mean square distance (pixels) of joints and landmarks; inf if none is seen."""
    total, trust = 0.0, 0.0
    for i in range(21):
        trust += target.confidence[i]
        for r in range(2):
            total += target.confidence[i] * (uv[i, r] - target.uv[i, r]) ** 2
    return math.sqrt(total / trust) if trust > 0 else np.inf


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def axis_angle_of(matrix):
    """Return the shortest axis-angle (3,) of a rotation matrix, by its best conditioned quaternion."""
    quaternion = np.empty(4)
    trace = matrix[0, 0] + matrix[1, 1] + matrix[2, 2]
    best, most = 3, trace
    for i in range(3):
        if matrix[i, i] > most:
            best, most = i, matrix[i, i]
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        if best == 3:
            quaternion[i] = matrix[k, j] - matrix[j, k]
        elif i == best:
            quaternion[i] = 1 + 2 * matrix[i, i] - trace
            quaternion[3] = matrix[k, j] - matrix[j, k]
        else:
            quaternion[i] = matrix[best, i] + matrix[i, best]
    if best == 3:
        quaternion[3] = 1 + trace
    if quaternion[3] < 0:
        quaternion = -quaternion
    sine = math.sqrt(quaternion[0] ** 2 + quaternion[1] ** 2 + quaternion[2] ** 2)
    if sine < 1e-9 * quaternion[3]:
        return 2 * quaternion[:3] / quaternion[3]
    return quaternion[:3] * (2 * math.atan2(sine, quaternion[3]) / sine)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def parameters(hand, rotation, values):
    """Return global_orient (3), hand_pose (15, 3), transl (3) and scale of a state."""
    count = values.shape[0]
    scale = math.exp(values[count - 11])
    pose = hand.mean + np.dot(hand.axes, values[6 : count - 11])
    transl = values[3:6].copy()
    for r in range(3):
        transl[r] -= scale * hand.joints[0, r, 0]
        for k in range(10):
            transl[r] -= scale * hand.joints[0, r, 1 + k] * values[count - 10 + k]
    return axis_angle_of(rotation), pose.reshape(15, 3), transl, scale
