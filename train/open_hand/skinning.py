"""Skinning in numpy for the builder, many poses at a time: linear blending and dual quaternions.

Transforms are relative to the rest pose: they take a point of the template to where its joint carries it.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from tracker.geometry.skeleton import MANO_PARENTS


def forward_kinematics(joints: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rotations (n, 16, 3, 3) and offsets (n, 16, 3) of the joints in the hand's frame.

    Args:
        joints: Rest joints (16, 3) or (n, 16, 3).
        rotations: Parent-relative rotations (n, 15, 3, 3) of the finger joints; the wrist stays.
    """
    n = len(rotations)
    joints = np.broadcast_to(joints, (n, 16, 3))
    turns = np.tile(np.eye(3), (n, 16, 1, 1))
    offsets = np.zeros((n, 16, 3))
    for joint in range(1, 16):
        parent = MANO_PARENTS[joint]
        turns[:, joint] = turns[:, parent] @ rotations[:, joint - 1]
        pivot = joints[:, joint]
        moved = np.einsum("nij,nj->ni", turns[:, parent], pivot) + offsets[:, parent]
        offsets[:, joint] = moved - np.einsum("nij,nj->ni", turns[:, joint], pivot)
    return turns, offsets


def posed_joints(joints: np.ndarray, turns: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the joints (n, 16, 3) carried by the transforms of `forward_kinematics`."""
    return (turns @ joints[..., None])[..., 0] + offsets


def linear_blend(
    vertices: np.ndarray, weights: np.ndarray, turns: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Return vertices (n, v, 3) moved by the weighted mean of the joints' transforms.

    Args:
        vertices: Rest vertices (v, 3) or (n, v, 3).
        weights: Skinning weights (v, 16).
        turns: Rotations (n, 16, 3, 3) from `forward_kinematics`.
        offsets: Translations (n, 16, 3) from `forward_kinematics`.
    """
    blended = blended_turns(weights, turns)
    return (blended @ vertices[..., None])[..., 0] + weights @ offsets


def blended_turns(weights: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Return the weighted mean (n, v, 3, 3) of the joints' rotations at each vertex."""
    n = len(turns)
    return (weights @ turns.reshape(n, 16, 9)).reshape(n, len(weights), 3, 3)


def dual_quaternion_blend(
    vertices: np.ndarray, weights: np.ndarray, turns: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Return vertices (n, v, 3) moved by blended dual quaternions (Kavan et al. 2007), which keep volume."""
    real = _quaternions(turns)
    dual = 0.5 * _multiply(
        np.concatenate([np.zeros((*offsets.shape[:2], 1)), offsets], axis=-1), real
    )
    # Quaternions of one vertex must lie in one half-sphere; its heaviest joint decides which.
    pivot = real[:, weights.argmax(1)]
    sign = np.where(np.einsum("nva,nja->nvj", pivot, real) < 0, -1.0, 1.0)
    signed = weights * sign
    real, dual = signed @ real, signed @ dual
    norm = np.linalg.norm(real, axis=-1, keepdims=True)
    real, dual = real / norm, dual / norm
    w, axis = real[..., :1], real[..., 1:]
    turned = vertices + 2 * np.cross(axis, np.cross(axis, vertices) + w * vertices)
    shift = w * dual[..., 1:] - dual[..., :1] * axis + np.cross(axis, dual[..., 1:])
    return turned + 2 * shift


def _quaternions(turns: np.ndarray) -> np.ndarray:
    """Return quaternions (n, 16, 4), scalar first."""
    xyzw = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_quat()
    return np.roll(xyzw, 1, axis=1).reshape(*turns.shape[:2], 4)


def _multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    scalar = a[..., :1] * b[..., :1] - (a[..., 1:] * b[..., 1:]).sum(-1, keepdims=True)
    vector = a[..., :1] * b[..., 1:] + b[..., :1] * a[..., 1:] + np.cross(a[..., 1:], b[..., 1:])
    return np.concatenate([scalar, vector], axis=-1)
