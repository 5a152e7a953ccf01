"""Pose correctives: what linear blending lacks against dual quaternion blending, as a linear function of the pose.

For sampled poses the difference between both skins is pulled back to the rest pose and regressed on the entries
of the joints' rotations minus the identity. A vertex listens only to joints in whose transition zone it lies.
"""

import numpy as np

from tracker.geometry.skeleton import MANO_PARENTS
from train.open_hand.skinning import (
    blended_turns,
    dual_quaternion_blend,
    forward_kinematics,
    linear_blend,
)

RIDGE = 2e-3
ZONE = 0.01
"""A joint corrects a vertex whose share w of that joint's subtree has w (1 - w) above this."""


def fit_pose_directions(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, rotations: np.ndarray
) -> np.ndarray:
    """Return the pose directions (v, 3, 135).

    Args:
        vertices: Template vertices (v, 3).
        joints: Template joints (16, 3).
        weights: Skinning weights (v, 16).
        rotations: Parent-relative rotations (n, 15, 3, 3) of the poses to fit.
    """
    features = pose_features(rotations)
    targets = corrective_targets(vertices, joints, weights, rotations)
    zones = joint_zones(weights)
    directions = np.zeros((len(vertices), 3, features.shape[1]))
    patterns, member = np.unique(zones, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        columns = np.flatnonzero(np.repeat(pattern, 9))
        rows = np.flatnonzero(member.ravel() == number)
        x, y = features[:, columns], targets[:, rows].reshape(len(features), -1)
        gram = x.T @ x + RIDGE * len(x) * np.eye(len(columns))
        solution = np.linalg.solve(gram, x.T @ y).reshape(len(columns), len(rows), 3)
        directions[rows[:, None], :, columns] = solution.transpose(1, 0, 2)
    return directions


def pose_features(rotations: np.ndarray) -> np.ndarray:
    """Return the entries (n, 135) of the rotations minus the identity."""
    return (rotations - np.eye(3)).reshape(len(rotations), -1)


def corrective_targets(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, rotations: np.ndarray
) -> np.ndarray:
    """Return the wanted offsets (n, v, 3) of the rest vertices, see the module's description."""
    turns, offsets = forward_kinematics(joints, rotations)
    linear = linear_blend(vertices, weights, turns, offsets)
    wanted = dual_quaternion_blend(vertices, weights, turns, offsets)
    return np.linalg.solve(blended_turns(weights, turns), (wanted - linear)[..., None])[..., 0]


def joint_zones(weights: np.ndarray) -> np.ndarray:
    """Return which finger joints (v, 15) correct each vertex."""
    share = weights.copy()
    for joint in range(15, 0, -1):
        if MANO_PARENTS[joint] > 0:
            share[:, MANO_PARENTS[joint]] += share[:, joint]
    return (share * (1 - share))[:, 1:] > ZONE
