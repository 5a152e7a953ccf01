"""Linear blend skinning of one hand at run time: the compiled twin of `hand_model`.

`hand_model` is differentiable and batched; this one turns parameters into vertices some ten times
faster, with the same arithmetic in float32: one matrix-vector product for shape and pose
correctives, forward kinematics, and as many bone influences a vertex as the hand file has.

Compiled functions are marked `no_type_check` because a run-time shape checker cannot wrap them.
Each is called with one set of types only: two processes that compile different versions of one
function at the same time can spoil numba's cache for both.
"""

import math
from typing import Final, NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from tracker.geometry.hand_model import KEYPOINTS_FROM_MANO, HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skeleton import MANO_PARENTS

PARENTS: Final = np.array(MANO_PARENTS)
_KEYPOINTS: Final = np.array(KEYPOINTS_FROM_MANO)


class _Tables(NamedTuple):
    """A hand as float32 arrays in the layout the kernel reads."""

    basis: np.ndarray
    """(3 V, 146) columns: rest vertices, 10 shape directions, 135 pose correctives."""
    joints: np.ndarray
    """(16, 3, 11) rest joints, then their change for each unit of `betas`."""
    influence_ids: np.ndarray
    """(V, k) joints that move each vertex, heaviest first."""
    influences: np.ndarray
    """(V, k) their weights, zero where a vertex has fewer than k."""


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def rodrigues(x, y, z, out):
    """Write the rotation matrix (3, 3) of the axis-angle (x, y, z) into `out`, float64."""
    squared = x * x + y * y + z * z
    angle = math.sqrt(squared)
    if squared < 1e-8:
        a, b = 1 - squared / 6, 0.5 - squared / 24
    else:
        a, b = math.sin(angle) / angle, (1 - math.cos(angle)) / squared
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
def _chain(rotations, rest, scale, transl, moves, places):
    """Turn local rotations (16, 3, 3) into bone transforms (16, 3, 4) and joint positions."""
    turns = np.empty((16, 3, 3), np.float32)
    for j in range(16):
        parent = PARENTS[j]
        for r in range(3):
            if parent < 0:
                places[j, r] = rest[j, r]
            for c in range(3):
                turns[j, r, c] = rotations[j, r, c]
        if parent >= 0:
            for r in range(3):
                row = turns[parent, r]
                places[j, r] = places[parent, r]
                for c in range(3):
                    places[j, r] += row[c] * (rest[j, c] - rest[parent, c])
                    turns[j, r, c] = (
                        row[0] * rotations[j, 0, c]
                        + row[1] * rotations[j, 1, c]
                        + row[2] * rotations[j, 2, c]
                    )
    for j in range(16):
        for r in range(3):
            shift = places[j, r]
            for c in range(3):
                shift -= turns[j, r, c] * rest[j, c]
                moves[j, r, c] = scale * turns[j, r, c]
            moves[j, r, 3] = scale * shift + transl[r]
    for j in range(16):
        for r in range(3):
            places[j, r] = scale * places[j, r] + transl[r]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _blend(rest, moves, influence_ids, influences, vertices):
    """Move each rest vertex by the weighted mean of its bones' transforms."""
    for v in range(vertices.shape[0]):
        x, y, z = rest[3 * v], rest[3 * v + 1], rest[3 * v + 2]
        for r in range(3):
            vertices[v, r] = 0
        for k in range(influences.shape[1]):
            weight = influences[v, k]
            if weight == 0:
                break
            move = moves[influence_ids[v, k]]
            for r in range(3):
                row = move[r]
                vertices[v, r] += weight * (row[0] * x + row[1] * y + row[2] * z + row[3])


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _skin(tables, axis_angle, betas, transl, scale, vertices, places):
    """Skin one hand; `axis_angle` is (16, 3) with the wrist first."""
    coefficients = np.empty(146, np.float32)
    rotations = np.empty((16, 3, 3))
    rest = np.empty((16, 3), np.float32)
    coefficients[0] = 1
    coefficients[1:11] = betas
    for j in range(16):
        rodrigues(axis_angle[j, 0], axis_angle[j, 1], axis_angle[j, 2], rotations[j])
        for r in range(3):
            rest[j, r] = tables.joints[j, r, 0]
            for k in range(10):
                rest[j, r] += tables.joints[j, r, 1 + k] * betas[k]
            if j > 0:
                for c in range(3):
                    bent = rotations[j, r, c] - (1 if r == c else 0)
                    coefficients[11 + 9 * (j - 1) + 3 * r + c] = bent
    moves = np.empty((16, 3, 4), np.float32)
    _chain(rotations, rest, scale, transl, moves, places)
    flat = np.dot(tables.basis, coefficients)
    _blend(flat, moves, tables.influence_ids, tables.influences, vertices)


def _tables(model: HandModel) -> _Tables:
    """Lay out a hand model for the kernel."""
    count = model.v_template.shape[0]
    columns = (model.v_template[..., None], model.shapedirs, model.posedirs)
    basis = np.concatenate([c.cpu().numpy().reshape(3 * count, -1) for c in columns], 1)
    weights = model.lbs_weights.cpu().numpy()
    width = int((weights != 0).sum(1).max())
    order = np.argsort(-weights, axis=1, kind="stable")[:, :width]
    regressor = model.J_regressor.cpu().double().numpy()
    joints = np.einsum("jv,vck->jck", regressor, basis[:, :11].reshape(count, 3, 11))
    return _Tables(
        np.ascontiguousarray(basis, np.float32),
        np.ascontiguousarray(joints, np.float32),
        np.ascontiguousarray(order),
        np.ascontiguousarray(np.take_along_axis(weights, order, 1), np.float32),
    )


class RuntimeHand:
    """One hand model, ready to be skinned frame after frame.

    Example:
        >>> hand = RuntimeHand(HandModel.load())
        >>> vertices, joints = hand.skin(params)
    """

    def __init__(self, model: HandModel) -> None:
        self.model = model
        self._tables = _tables(model)
        self._tips = np.array(model.tip_ids)

    def skin(
        self, params: HandParams
    ) -> tuple[Float[np.ndarray, "V 3"], Float[np.ndarray, "21 3"]]:
        """Return vertices and the 21 joints (float32, metres) in the frame `params` places them in."""
        axis_angle = np.empty((16, 3))
        axis_angle[0] = params.global_orient
        axis_angle[1:] = params.hand_pose
        vertices = np.empty((self._tables.influences.shape[0], 3), np.float32)
        points = np.empty((21, 3), np.float32)
        _skin(
            self._tables,
            axis_angle,
            params.betas.astype(np.float32),
            params.transl.astype(np.float32),
            np.float32(params.scale),
            vertices,
            points[:16],
        )
        points[16:] = vertices[self._tips]
        return vertices, points[_KEYPOINTS]
