"""Where a training sample looks: the regions a tracker would cut, and how far they may be off."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from tracker.vision.crop_camera import CropView as CropView
from tracker.vision.crop_camera import crop_view as crop_view
from tracker.vision.crops import roi_from_landmarks
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
