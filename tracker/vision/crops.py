"""Turned square regions of a frame: where they come from, and the pixels they hold.

The regions follow MediaPipe's hand graphs (Apache-2.0), because its landmark model was trained on
them: `modules/hand_landmark/calculators/hand_landmarks_to_rect_calculator.cc` and the
`palm_detection_detection_to_roi` and `hand_landmark_landmarks_to_roi` graphs.
"""

import math
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracker.geometry.skeleton import JOINTS
from tracker.vision.records import Detection, Roi

_PALM_SHIFT: Final = 0.5
_PALM_SCALE: Final = 2.6
_HAND_SHIFT: Final = 0.1
_HAND_SCALE: Final = 2.0
_STABLE: Final = [
    i
    for i, name in enumerate(JOINTS)
    if name == "wrist" or name[-3:] in ("cmc", "mcp", "pip", "_ip")
]
"""Joints that outline the hand whatever the fingertips do."""
_WRIST, _INDEX, _MIDDLE, _RING = (
    JOINTS.index(name) for name in ("wrist", "index_mcp", "middle_mcp", "ring_mcp")
)


def _turn(angle_rad: float) -> Float[np.ndarray, "2 2"]:
    """Return the matrix that turns image vectors clockwise (u right, v down)."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[cos, -sin], [sin, cos]])


def _upright_angle(direction: Float[np.ndarray, " 2"]) -> float:
    """Return the clockwise turn that takes "up" to `direction`."""
    return math.atan2(float(direction[0]), float(-direction[1]))


def roi_from_palm(detection: Detection) -> Roi:
    """Return the hand's region for a detected palm."""
    box, keypoints = detection.box_xyxy, detection.keypoints_uv
    angle = _upright_angle(keypoints[2] - keypoints[0])
    wh = box[2:] - box[:2]
    center = (box[:2] + box[2:]) / 2 + _turn(angle) @ np.array([0, -_PALM_SHIFT * wh[1]])
    return Roi(center, float(wh.max()) * _PALM_SCALE, angle)


def roi_from_landmarks(uv: Float[np.ndarray, "21 2"]) -> Roi:
    """Return the region to look in next, from where the joints were."""
    knuckles = ((uv[_INDEX] + uv[_RING]) / 2 + uv[_MIDDLE]) / 2
    angle = _upright_angle(knuckles - uv[_WRIST])
    turn = _turn(angle)
    upright = uv[_STABLE] @ turn
    low, high = upright.min(0), upright.max(0)
    wh = high - low
    center = turn @ ((low + high) / 2 + np.array([0, -_HAND_SHIFT * wh[1]]))
    return Roi(center, float(max(wh.max(), 1.0)) * _HAND_SCALE, angle)


def frame_from_crop(roi: Roi, size_px: int) -> Float[np.ndarray, "2 3"]:
    """Return the affine map from crop pixels to frame pixels, corner to corner."""
    linear = _turn(roi.angle_rad) * (roi.size_px / size_px)
    return np.concatenate([linear, (roi.center_uv - linear @ np.full(2, size_px / 2))[:, None]], 1)


def cut(
    rgb: UInt8[np.ndarray, "h w 3"],
    roi: Roi,
    size_px: int,
    out: UInt8[np.ndarray, "s s 3"] | None = None,
) -> UInt8[np.ndarray, "s s 3"]:
    """Return the region's pixels, black outside the frame; written into `out` where it is given."""
    affine = frame_from_crop(roi, size_px)
    # cv2 puts (0, 0) at the centre of the first pixel, we at its corner.
    shift = affine[:, :2] @ np.full(2, 0.5) + affine[:, 2] - 0.5
    matrix = np.concatenate([affine[:, :2], shift[:, None]], 1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(rgb, matrix, (size_px, size_px), out, flags=flags)
