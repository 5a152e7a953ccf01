"""The camera that sees a region: cutting a turned square out of a picture, told as geometry.

Cutting is a similarity A of pixels, and A K = K' R with R the turn of the region about the camera's
axis and K' upper triangular again. So the crop is an ordinary picture, taken by the same camera
rolled by R: points of the camera frame become R xyz, pixels A uv, exactly.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tracker.vision.crops import frame_from_crop
from tracker.vision.records import Roi


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
