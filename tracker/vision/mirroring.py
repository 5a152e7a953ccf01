"""The one place where left hands become right ones, and right ones left again.

Fitter, smoother and network know a right hand only. A left hand is handed to them as its mirror
image, seen by the mirrored camera, and what they return is mirrored back here.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8

from tracker.geometry.camera import Camera
from tracker.geometry.hand_params import HandParams
from tracker.vision.records import Landmarks, Roi, Side

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


def canonical_roi(roi: Roi, camera: Camera, side: Side) -> tuple[Roi, Camera]:
    """Return region and camera as if the hand were a right one; `canonical_crop` fits its pixels."""
    if side == "right":
        return roi, camera
    center = roi.center_uv * np.array([-1.0, 1.0]) + np.array([camera.hw[1], 0.0])
    return replace(roi, center_uv=center, angle_rad=-roi.angle_rad), camera.mirrored()


def canonical_crop(crop: UInt8[np.ndarray, "s s 3"], side: Side) -> UInt8[np.ndarray, "s s 3"]:
    """Return the pixels of a region as if the hand were a right one: flipped left to right, or not."""
    return crop if side == "right" else crop[:, ::-1]


def restore_light(light: Float[np.ndarray, " 11"], side: Side) -> Float[np.ndarray, " 11"]:
    """Return the light as it is: gains and colours, then the direction in the camera frame."""
    return light if side == "right" else np.concatenate([light[:8], light[8:] * _FLIP])


def restore_params(params: HandParams, side: Side) -> HandParams:
    """Return the parameters of the hand as it is, from those of its right-handed image."""
    return params if side == "right" else params.mirrored()


def restore_points(xyz: Float[np.ndarray, "n 3"], side: Side) -> Float[np.ndarray, "n 3"]:
    """Return camera-frame points of the hand as it is, from those of its right-handed image."""
    return xyz if side == "right" else xyz * _FLIP.astype(xyz.dtype)
