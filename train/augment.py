"""From a sample to what the network sees: a region as the tracker cuts it, moved and coloured by chance.

The region is a rolled camera (`crop_view`), so intrinsics, keypoints and truth move with the pixels
exactly. What is random here is what differs between a training picture and the tracker's crops: the
region's place, the camera's colours and its sharpness.
"""

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tracker.vision.crops import cut
from tracker.vision.records import Roi
from train.crop_view import CropView, RoiJitter, crop_view, roi_from_box, roi_from_seen
from train.datasets.sample import Sample, SampleError, without_unseen

_LUMINANCE: Final = np.array([0.299, 0.587, 0.114])
_MOST_BLUR_PX: Final = 1.8


@dataclass(frozen=True)
class Augmentation:
    """How much samples vary. Samples that come `framed` have all of this in them already."""

    jitter: RoiJitter = field(default_factory=RoiJitter)
    brightness: float = 0.3
    """Deviation of the exposure, in stops."""
    contrast: float = 0.2
    """Deviation of the tone curve's exponent, in powers of two."""
    tint: float = 0.06
    """Deviation of each channel's gain."""
    saturation: float = 0.4
    """Largest part of the colourfulness taken away or added."""
    blur: float = 0.25
    """How many samples are out of focus."""
    noise: float = 0.4
    """How many samples have a noisy sensor."""

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "tint", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, found {getattr(self, name)}")
        for name in ("blur", "noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a chance from 0 to 1, found {getattr(self, name)}")


@dataclass(frozen=True)
class TrainSample:
    """One crop, ready to be put into a batch; unknown truth is NaN, an unknown surface is None."""

    rgb: UInt8[np.ndarray, "s s 3"]
    K: Float[np.ndarray, "3 3"]
    crop_from_cam: Float[np.ndarray, "3 3"]
    """Roll of the crop's camera against the sample's: `xyz_crop = crop_from_cam @ xyz`."""
    uv: Float[np.ndarray, "21 2"]
    """Keypoints in the crop's pixels, always finite."""
    confidence: Float[np.ndarray, " 21"]
    photometric_weight: float
    xyz: Float[np.ndarray, "21 3"]
    uv_true: Float[np.ndarray, "21 2"]
    vertices: Float[np.ndarray, "V 3"] | None
    mask: Bool[np.ndarray, "s s"] | None
    source: str
    clip: tuple[str, int] | None


def crop_sample(
    sample: Sample,
    hw_px: int,
    rng: np.random.Generator | None,
    augmentation: Augmentation | None = None,
) -> TrainSample:
    """Cut a sample's hand out as the tracker would.

    Args:
        sample: of any size; a framed one is only resized.
        hw_px: side of the crop.
        rng: draws the augmentation; None cuts the region itself, in its own colours.
        augmentation: how much varies; the default's if None.

    Raises:
        SampleError: there are too few joints, and no box, to say where the hand is.
    """
    augmentation = augmentation or Augmentation()
    if sample.framed:
        side = sample.rgb.shape[0]
        roi = Roi(np.full(2, side / 2), float(side), 0.0)
        rgb = sample.rgb if side == hw_px else cv2.resize(sample.rgb, (hw_px, hw_px))
        return _moved(sample, rgb, roi, hw_px)
    roi = hand_region(sample)
    if rng is not None:
        roi = augmentation.jitter(roi, rng)
    rgb = cut(sample.rgb, roi, hw_px)
    if rng is not None:
        rgb = recolored(rgb, augmentation, rng)
    return _moved(sample, rgb, roi, hw_px)


def hand_region(sample: Sample) -> Roi:
    """Return where the tracker would look for the sample's hand.

    Raises:
        SampleError: there are too few joints, and no box.
    """
    seen = (sample.confidence > 0) & np.isfinite(sample.uv).all(1)
    roi = roi_from_seen(sample.uv, seen)
    if roi is None and sample.box_xyxy is not None:
        roi = roi_from_box(sample.box_xyxy)
    if roi is None:
        raise SampleError(
            f"{sample.source}: {int(seen.sum())} joints do not say where the hand is, and no box is "
            "given; label the image again or leave it out"
        )
    return roi


def recolored(
    rgb: UInt8[np.ndarray, "s s 3"], augmentation: Augmentation, rng: np.random.Generator
) -> UInt8[np.ndarray, "s s 3"]:
    """Return the picture as another camera in another light would have taken it."""
    stops, curve, *tint = rng.standard_normal(5)
    gain = 2 ** (augmentation.brightness * stops) * (1 + augmentation.tint * np.array(tint))
    ramp = np.linspace(0, 1, 256)[None, :, None]
    tones = 255.5 * (ramp * gain).clip(0, 1) ** 2 ** (augmentation.contrast * curve)
    rgb = cv2.LUT(rgb, tones.astype(np.uint8))
    color = 1 + augmentation.saturation * rng.uniform(-1, 1)
    rgb = cv2.transform(rgb, color * np.eye(3) + (1 - color) * np.tile(_LUMINANCE, (3, 1)))
    chance = rng.random(2)
    if chance[0] < augmentation.blur:
        rgb = cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.3, _MOST_BLUR_PX)))
    if chance[1] < augmentation.noise:
        noise = np.empty(rgb.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        cv2.randn(noise, np.zeros(1), np.array([rng.uniform(1, 8)]))
        rgb = cv2.add(rgb, noise, dtype=cv2.CV_8U)
    return rgb


def _moved(sample: Sample, rgb: np.ndarray, roi: Roi, hw_px: int) -> TrainSample:
    """Take everything but the pixels along to the crop."""
    view, truth = crop_view(sample.K, roi, hw_px), sample.truth
    xyz = None if truth is None else truth.xyz
    uv_true = None if truth is None else truth.uv_true
    vertices = None if truth is None else truth.vertices
    mask = None if truth is None else truth.mask
    return TrainSample(
        rgb=rgb,
        K=view.K,
        crop_from_cam=view.crop_from_cam,
        uv=view.pixels(without_unseen(sample.uv, sample.confidence)),
        confidence=sample.confidence,
        photometric_weight=sample.photometric_weight,
        xyz=np.full((21, 3), np.nan) if xyz is None else view.points(xyz),
        uv_true=np.full((21, 2), np.nan) if uv_true is None else view.pixels(uv_true),
        vertices=None if vertices is None else view.points(vertices),
        mask=None if mask is None else _cut_mask(mask, sample.framed, roi, view, hw_px),
        source=sample.source,
        clip=sample.clip,
    )


def _cut_mask(
    mask: Bool[np.ndarray, "h w"], framed: bool, roi: Roi, view: CropView, hw_px: int
) -> Bool[np.ndarray, "s s"]:
    """Return which pixels of the crop show the hand, by the nearest pixel of the sample."""
    if framed and mask.shape[0] == hw_px:
        return mask
    linear, shift = view.crop_from_frame[:, :2], view.crop_from_frame[:, 2]
    # cv2 puts (0, 0) at the centre of the first pixel, we at its corner.
    centred = np.concatenate([linear, (shift + linear @ [0.5, 0.5] - 0.5)[:, None]], 1)
    flags = cv2.INTER_NEAREST
    return cv2.warpAffine(mask.astype(np.uint8), centred, (hw_px, hw_px), flags=flags) > 0
