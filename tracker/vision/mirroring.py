"""The one place where left hands become right ones, and right ones left again.

Fitter, smoother and network know a right hand only. A left hand is handed to them as its mirror
image, seen by the mirrored camera, and what they return is mirrored back here.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from tracker.geometry.camera import Camera
from tracker.geometry.hand_params import HandParams
from tracker.vision.records import Landmarks, Side

_FLIP = np.array([-1.0, 1.0, 1.0])


def canonical_landmarks(
    landmarks: Landmarks, camera: Camera, side: Side
) -> tuple[Landmarks, Camera]:
    """Return landmarks and camera as if the hand were a right one."""
    if side == "right":
        return landmarks, camera
    uv = landmarks.uv * np.array([-1.0, 1.0]) + np.array([camera.hw[1], 0.0])
    xyz = landmarks.xyz * _FLIP
    return replace(landmarks, uv=uv, xyz=xyz, right=1 - landmarks.right), camera.mirrored()


def restore_params(params: HandParams, side: Side) -> HandParams:
    """Return the parameters of the hand as it is, from those of its right-handed image."""
    return params if side == "right" else params.mirrored()


def restore_points(xyz: Float[np.ndarray, "n 3"], side: Side) -> Float[np.ndarray, "n 3"]:
    """Return camera-frame points of the hand as it is, from those of its right-handed image."""
    return xyz if side == "right" else xyz * _FLIP.astype(xyz.dtype)
