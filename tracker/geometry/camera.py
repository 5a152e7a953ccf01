"""A pinhole camera: what turns metres in front of it into pixels, and back."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

ASSUMED_FOV_DEG = 60.0
"""Angle across the longer image side when nothing is known: between a laptop camera and a phone."""


@dataclass(frozen=True)
class Camera:
    """Pinhole intrinsics of one image; the camera looks along +z (OpenCV frame)."""

    K: Float[np.ndarray, "3 3"]
    """Intrinsic matrix in pixels, for (0, 0) at the top-left corner of the image."""
    hw: tuple[int, int]
    """Image height and width in pixels."""
    assumed: bool = False
    """True when the field of view was guessed, so absolute depth is only as good as the guess."""

    def __post_init__(self) -> None:
        height, width = self.hw
        fx, fy = float(self.K[0, 0]), float(self.K[1, 1])
        if height < 1 or width < 1:
            raise ValueError(f"camera image size must be positive, found height, width = {self.hw}")
        if not (np.isfinite(self.K).all() and fx > 0 and fy > 0):
            raise ValueError(
                f"camera K needs finite entries and positive focal lengths, found {self.K.tolist()}"
            )

    @classmethod
    def from_fov(
        cls, hw: tuple[int, int], fov_deg: float = ASSUMED_FOV_DEG, *, assumed: bool = False
    ) -> "Camera":
        """Build a centred camera from the angle (degrees) across the longer image side."""
        if not 1.0 <= fov_deg <= 170.0:
            raise ValueError(f"field of view must lie between 1 and 170 degrees, found {fov_deg}")
        height, width = hw
        focal_px = max(hw) / 2 / math.tan(math.radians(fov_deg) / 2)
        K = np.array([[focal_px, 0, width / 2], [0, focal_px, height / 2], [0, 0, 1]])
        return cls(K, hw, assumed)

    @property
    def fov_deg(self) -> float:
        """Angle across the longer image side in degrees."""
        side = 0 if self.hw[1] >= self.hw[0] else 1
        return math.degrees(2 * math.atan(max(self.hw) / 2 / float(self.K[side, side])))

    def project(self, xyz: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 2"]:
        """Project camera-frame points (m) to pixels; points at or behind the camera become NaN."""
        depth = np.where(xyz[..., 2:] > 0, xyz[..., 2:], np.nan)
        return (xyz @ self.K.T.astype(xyz.dtype))[..., :2] / depth

    def unproject(
        self, uv: Float[np.ndarray, "*b 2"], depth: Float[np.ndarray, "*b"]
    ) -> Float[np.ndarray, "*b 3"]:
        """Return the camera-frame points (m) seen at `uv` with z = `depth` (m)."""
        homogeneous = np.concatenate([uv, np.ones_like(uv[..., :1])], -1)
        return homogeneous @ np.linalg.inv(self.K).T.astype(uv.dtype) * depth[..., None]

    def resized(self, hw: tuple[int, int]) -> "Camera":
        """Return the camera of the same view at another image size."""
        ratio = np.diag([hw[1] / self.hw[1], hw[0] / self.hw[0], 1.0])
        return Camera(ratio @ self.K, hw, self.assumed)

    def mirrored(self) -> "Camera":
        """Return the camera of the image flipped left to right."""
        flip = np.array([[-1.0, 0, self.hw[1]], [0, 1, 0], [0, 0, 1]])
        return Camera(flip @ self.K @ np.diag([-1.0, 1, 1]), self.hw, self.assumed)


def project(xyz: Float[Tensor, "*b n 3"], K: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b n 2"]:
    """Project points (m) with each image's own K, differentiably.

    Points at or behind the camera become NaN: mask them, they have no pixel.
    """
    depth = xyz[..., 2:]
    safe = torch.where(depth > 0, depth, torch.full_like(depth, torch.nan))
    return (xyz @ K.transpose(-1, -2))[..., :2] / safe
