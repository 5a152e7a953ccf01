"""What a trainer may ever look at of one hand, cut out of its picture."""

import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from tracker.vision.records import Roi
from train.augment import Augmentation, hand_region
from train.crop_view import RoiJitter
from train.datasets.image_files import MIN_SIDE_PX
from train.datasets.keypoint_files import HandLabel
from train.datasets.sample import Sample, SampleError

_BLEND_PX: Final = 2
"""Pixels around the region that enter its interpolation."""
_PARTS: Final = 32
"""Pictures are averaged down to whole parts of these."""


@dataclass(frozen=True)
class HandCrop:
    """A part of a picture and its label: keypoints and camera in the part's own pixels."""

    rgb: UInt8[np.ndarray, "h w 3"]
    label: HandLabel


def crop_hand(
    sample: Sample, label: HandLabel, input_px: int, jitter: RoiJitter | None = None
) -> HandCrop:
    """Cut out what training crops of a hand can show, wherever chance moves them.

    The part is parallel to the picture and its pixels are the picture's own, except where the hand
    has more of them than the network takes in: those are averaged.

    Args:
        sample: the whole picture, as it is stored: left hands not mirrored.
        label: of the hand; its name is kept.
        input_px: side of the crops that the network will see.
        jitter: how far training regions may lie off; the trainer's if None.

    Raises:
        SampleError: there are too few joints to say where the hand is, or it is too small to read.
    """
    roi = hand_region(sample)
    left, top, right, bottom = seen_part(
        roi, jitter or Augmentation().jitter, (sample.rgb.shape[0], sample.rgb.shape[1])
    )
    rgb = sample.rgb[top:bottom, left:right]
    if min(right - left, bottom - top) < MIN_SIDE_PX:
        raise SampleError(
            f"{sample.source}: the hand's part of the picture has {right - left}x{bottom - top} "
            f"pixels, fewer than {MIN_SIDE_PX}x{MIN_SIDE_PX}; leave it out"
        )
    parts = max(1, min(_PARTS, math.ceil(_PARTS * input_px / roi.size_px)))
    if parts < _PARTS:
        rgb = _averaged(rgb, parts)
    ratio = parts / _PARTS
    # Pixels count from the corner, so that scaling them needs no halves.
    K = (
        np.diag([ratio, ratio, 1.0])
        @ np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
        @ sample.K
    )
    uv = (label.uv - [left, top]) * ratio
    return HandCrop(np.ascontiguousarray(rgb), replace(label, uv=uv, K=K))


def _averaged(rgb: UInt8[np.ndarray, "h w 3"], parts: int) -> UInt8[np.ndarray, "p q 3"]:
    """Return a picture of so many `_PARTS` of the size, exactly: black is added where needed.

    Another size would have another scale for each side, and the camera two focal lengths.
    """
    height, width = (math.ceil(side / _PARTS) for side in rgb.shape[:2])
    border = (0, height * _PARTS - rgb.shape[0], 0, width * _PARTS - rgb.shape[1])
    whole = cv2.copyMakeBorder(rgb, *border, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    size = (width * parts, height * parts)
    return cv2.resize(whole, size, interpolation=cv2.INTER_AREA)


def seen_part(roi: Roi, jitter: RoiJitter, hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom pixel borders of all that jittered regions show."""
    reach = roi.size_px * (
        jitter.scale * _half_width(roi.angle_rad, jitter.rotation_rad) + jitter.shift
    )
    low = np.floor(roi.center_uv - reach).astype(int) - _BLEND_PX
    high = np.ceil(roi.center_uv + reach).astype(int) + _BLEND_PX
    left, top = (int(v) for v in np.clip(low, 0, [hw[1] - 1, hw[0] - 1]))
    right, bottom = (int(v) for v in np.clip(high, [left + 1, top + 1], [hw[1], hw[0]]))
    return left, top, right, bottom


def _half_width(angle_rad: float, turn_rad: float) -> float:
    """Return half the width of a unit square's upright box, the largest over turns about an angle."""
    quarter = math.pi / 2
    off = abs((angle_rad % quarter) - quarter / 2)  # from standing on a corner
    return math.cos(max(0.0, off - turn_rad)) / math.sqrt(2)
