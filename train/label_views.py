"""How sure a keypoint is: looked at several times, in regions turned, shifted, scaled and mirrored.

A landmark model gives no confidence of its own for a joint. But where it has to guess, it guesses
differently each time the picture moves a little; so agreement over views is measured confidence.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from tracker.vision.records import Roi

MOST_VIEWS: Final = 16
HALF_SURE: Final = 0.03
"""Disagreement, in sizes of the hand (half of the region), that leaves half of the confidence."""
OUT_OF_PICTURE: Final = 0.3
"""What is left of the confidence of a joint beyond the picture's edge."""
_TURN_RAD: Final = 0.5
_SHIFT: Final = 0.06
_SCALES: Final = (0.8, 1.3)


@dataclass(frozen=True)
class ViewChange:
    """How a view differs from the region itself."""

    turn_rad: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    """In sizes of the region."""
    scale: float = 1.0
    """Below 1 the crop is tighter than the hand asks for."""
    mirror: bool = False

    def __call__(self, roi: Roi) -> Roi:
        """Return the changed region; mirroring is left to the caller."""
        center = roi.center_uv + np.array(self.shift) * roi.size_px
        return Roi(center, roi.size_px * self.scale, roi.angle_rad + self.turn_rad)


def view_changes(count: int) -> list[ViewChange]:
    """Return the first `count` views: the region itself, then every second one mirrored.

    Raises:
        ValueError: fewer than 3 views say nothing of agreement.
    """
    if not 3 <= count <= MOST_VIEWS:
        raise ValueError(f"views must lie between 3 and {MOST_VIEWS}, found {count}")
    views = [ViewChange()]
    low, high = (math.log(s) for s in _SCALES)
    for k in range(1, count):
        # Evenly spread in four dimensions (Roberts 2018), so that any number of views covers them.
        share = [(0.5 + k * 1.2207440846 ** -(axis + 1)) % 1 for axis in range(4)]
        shift = (_SHIFT * (2 * share[1] - 1), _SHIFT * (2 * share[2] - 1))
        scale = math.exp(low + (high - low) * share[3])
        views.append(ViewChange(_TURN_RAD * (2 * share[0] - 1), shift, scale, k % 2 == 1))
    return views


@dataclass(frozen=True)
class Agreement:
    """What several views say together."""

    uv: Float[np.ndarray, "21 2"]
    confidence: Float[np.ndarray, " 21"]


def agree(
    views: Float[np.ndarray, "n 21 2"],
    presence: Float[np.ndarray, " n"],
    size_px: float,
    hw: tuple[int, int],
) -> Agreement:
    """Return where the views put each joint, and how far they agree.

    Args:
        views: joints in the picture's pixels.
        presence: probability that each view shows a hand; weighs it.
        size_px: of the hand, half of its region.
        hw: of the picture.
    """
    middle = np.median(views, 0)
    far = np.linalg.norm(views - middle, axis=-1) / size_px
    weight = presence[:, None] / (1 + (far / HALF_SURE) ** 2)
    uv = (weight[..., None] * views).sum(0) / np.maximum(weight.sum(0), 1e-9)[:, None]
    spread = np.sqrt((presence[:, None] * np.minimum(far, 1) ** 2).sum(0) / presence.sum())
    confidence = presence.mean() / (1 + (spread / HALF_SURE) ** 2)
    inside = ((uv >= 0) & (uv <= [hw[1], hw[0]])).all(1)
    confidence = np.where(inside, confidence, OUT_OF_PICTURE * confidence)
    return Agreement(uv, np.clip(confidence, 0, 1))
