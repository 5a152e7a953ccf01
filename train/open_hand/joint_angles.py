"""Anatomical joint angles and their limits: flexion, abduction, twist of the fifteen finger joints.

A rotation is Flexion x Abduction x Twist about the joint's own axes at rest (Grood & Suntay 1983): flexion
about the proximal axis, twist about the distal bone. Flexion must not stand in the middle, where the
decomposition folds at 90 degrees.

The numpy twin of `tracker.geometry.joint_limits`, for many poses at a time; limits are that module's.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from tracker.geometry.joint_limits import LIMITS_DEG
from tracker.geometry.skeleton import MANO_JOINTS


def limits_deg() -> np.ndarray:
    """Return the limits (16, 3, 2): low and high of flexion, abduction, twist; zeros for the wrist."""
    return np.array([((0, 0),) * 3, *(LIMITS_DEG[name] for name in MANO_JOINTS[1:])], float)


def rotations_from_angles(axes: np.ndarray, angles_deg: np.ndarray) -> np.ndarray:
    """Return rotation matrices (..., 15, 3, 3) of the finger joints.

    Args:
        axes: Anatomical axes (16, 3, 3) at rest, rows flexion, abduction, twist.
        angles_deg: Angles (..., 15, 3) in degrees, wrist excluded.
    """
    vectors = np.radians(angles_deg)[..., None] * axes[1:]
    turns = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape, 3)
    return turns[..., 0, :, :] @ turns[..., 1, :, :] @ turns[..., 2, :, :]


def angles_from_rotations(axes: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Return angles (..., 15, 3) in degrees of rotations (..., 15, 3, 3), the inverse of the above."""
    frames = axes[1:].astype(float)
    local = frames @ rotations @ np.swapaxes(frames, -1, -2)
    flexion = np.arctan2(-local[..., 1, 2], local[..., 2, 2])
    abduction = np.arcsin(np.clip(local[..., 0, 2], -1, 1))
    twist = np.arctan2(-local[..., 0, 1], local[..., 0, 0])
    return np.degrees(np.stack([flexion, abduction, twist], axis=-1))


def hand_pose_from_angles(axes: np.ndarray, angles_deg: np.ndarray) -> np.ndarray:
    """Return axis-angle vectors (..., 15, 3) in radians, see `rotations_from_angles`."""
    rotations = rotations_from_angles(axes, angles_deg)
    vectors = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec()
    return vectors.reshape(angles_deg.shape)


def rotations_from_hand_pose(hand_pose: np.ndarray) -> np.ndarray:
    """Return rotation matrices (..., 15, 3, 3) of axis-angle vectors (..., 15, 3)."""
    matrices = Rotation.from_rotvec(hand_pose.reshape(-1, 3)).as_matrix()
    return matrices.reshape(*hand_pose.shape, 3)
