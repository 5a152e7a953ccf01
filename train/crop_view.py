"""The camera that sees a region: cutting a turned square out of a picture, told as geometry.

Cutting is a similarity A of pixels, and A K = K' R with R the turn of the region about the camera's
axis and K' upper triangular again. So the crop is an ordinary picture, taken by the same camera
rolled by R: points of the camera frame become R xyz, pixels A uv, exactly.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from tracker.vision.crops import frame_from_crop, roi_from_landmarks
from tracker.vision.records import Roi

_FEWEST_SEEN: Final = 6
_BOX_SCALE: Final = 1.6  # a box around all of the hand, tips included, is this much smaller


@dataclass(frozen=True)
class RoiJitter:
    """How far a region may lie from the one the joints ask for, each uniformly.

    The defaults cover what a tracker meets: regions from the last frame, or from a palm.
    """

    rotation_rad: float = 0.3
    """Largest turn to either side; pi shows hands in every direction."""
    shift: float = 0.06
    """Largest shift along each side, in sizes of the region."""
    scale: float = 1.2
    """Largest factor by which the region grows or shrinks, evenly in its logarithm."""

    def __post_init__(self) -> None:
        if not (0 <= self.rotation_rad <= math.pi and 0 <= self.shift < 0.5 and self.scale >= 1):
            raise ValueError(
                "jitter needs 0 <= rotation_rad <= pi, 0 <= shift < 0.5 and scale >= 1, found "
                f"{self.rotation_rad}, {self.shift}, {self.scale}"
            )

    def __call__(self, roi: Roi, rng: np.random.Generator) -> Roi:
        """Return the region moved at random."""
        turn, du, dv, size = rng.uniform(-1, 1, 4)
        shift = np.array([du, dv]) * (self.shift * roi.size_px)
        return Roi(
            roi.center_uv + shift,
            roi.size_px * self.scale**size,
            roi.angle_rad + turn * self.rotation_rad,
        )


@dataclass(frozen=True)
class CropView:
    """A region as the picture of a rolled camera."""

    K: Float[np.ndarray, "3 3"]
    """Upper triangular, pixels of the crop."""
    crop_from_cam: Float[np.ndarray, "3 3"]
    """Rotation of points in the camera frame."""
    crop_from_frame: Float[np.ndarray, "2 3"]
    """Similarity of pixels."""

    def pixels(self, uv: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Return the crop's pixels for pixels of the frame."""
        return uv @ self.crop_from_frame[:, :2].T + self.crop_from_frame[:, 2]

    def points(self, xyz: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Return camera-frame points in the rolled camera's frame."""
        return xyz @ self.crop_from_cam.T.astype(xyz.dtype)


def crop_view(K: Float[np.ndarray, "3 3"], roi: Roi, size_px: int) -> CropView:
    """Return the camera that sees `roi` as a picture of `size_px` pixels."""
    frame = frame_from_crop(roi, size_px)
    # A similarity's inverse is its transpose over its squared scale.
    linear = frame[:, :2].T / (frame[0, :2] @ frame[0, :2])
    similarity = np.concatenate([linear, -linear @ frame[:, 2:]], 1)
    cut = np.concatenate([similarity, [[0, 0, 1]]]) @ K
    # The 2x2 part as (upper triangular) times (turn): the turn takes its lower left entry to zero.
    length = math.hypot(cut[1, 0], cut[1, 1])
    sin, cos = cut[1, 0] / length, cut[1, 1] / length
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    upper = cut @ turn.T
    upper[1, 0] = 0
    return CropView(upper, turn, similarity)


def roi_from_seen(uv: Float[np.ndarray, "21 2"], seen: np.ndarray) -> Roi | None:
    """Return the region the tracker would look in; None with too few joints to tell.

    With some joints missing, the region is upright around those that are there.
    """
    if seen.all():
        return roi_from_landmarks(uv)
    if seen.sum() < _FEWEST_SEEN:
        return None
    return roi_from_box(np.concatenate([uv[seen].min(0), uv[seen].max(0)]))


def roi_from_box(box_xyxy: Float[np.ndarray, " 4"]) -> Roi:
    """Return the upright region for a box around the whole hand."""
    low, high = box_xyxy[:2], box_xyxy[2:]
    return Roi((low + high) / 2, max(float((high - low).max()), 1.0) * _BOX_SCALE, 0.0)
