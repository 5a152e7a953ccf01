"""From a drawn layer and a background to what a camera delivers: blur, exposure, noise, JPEG."""

from typing import Final, no_type_check

import cv2
import numpy as np
from jaxtyping import UInt8
from numba import njit

_TABLE_PX: Final = 512
_GRAINS: Final = 8
_SIGMAS: Final = 9.0 * (np.arange(1, 11) / 10) ** 2
"""Deviations of the sensor's noise, of 255."""


class Optics:
    """The tables behind the camera; reads only, so threads may share it.

    Args:
        size_px: side of the pictures.
        seed: of the noise.
    """

    def __init__(self, size_px: int, seed: int) -> None:
        rng = np.random.default_rng([seed, 2])
        self._size = size_px
        side = max(_TABLE_PX, size_px + 64)
        noise = rng.standard_normal((side, 3 * side)).astype(np.float32)
        self._noise = [np.rint(sigma * noise).clip(-127, 127).astype(np.int8) for sigma in _SIGMAS]
        self._grains = [_grain(side, rng) for _ in range(_GRAINS)]

    def grain(self, rng: np.random.Generator) -> np.ndarray:
        """Return a view of (h, w) float32 factors near 1: the fine structure of skin."""
        grain = self._grains[rng.integers(_GRAINS)]
        y, x = rng.integers(0, len(grain) - self._size, 2)
        return grain[y : y + self._size, x : x + self._size]

    def develop(
        self,
        layer: UInt8[np.ndarray, "2 s s 3"],
        backdrop: UInt8[np.ndarray, "s s 3"],
        outside: UInt8[np.ndarray, "s s"] | None,
        rng: np.random.Generator,
    ) -> UInt8[np.ndarray, "s s 3"]:
        """Return the finished picture.

        Args:
            layer: colour times coverage, and coverage in each channel.
            backdrop: what shows where the coverage is less than full.
            outside: 0 where the region reaches beyond the camera's picture, which stays black.
            rng: draws what the camera does.
        """
        chance = rng.random(5)
        if chance[0] < 0.15:
            path, anchor = _motion(rng)
            layer = np.stack([cv2.filter2D(part, -1, path, anchor=anchor) for part in layer])
        if chance[1] < 0.25:
            backdrop = cv2.blur(backdrop, (int(rng.integers(2, 9)),) * 2)
        picture = _composed(layer, backdrop, rng)
        if chance[2] < 0.2:
            picture = _soft(picture, rng)
        if outside is not None:
            picture = cv2.bitwise_and(picture, picture, mask=outside)
        if chance[3] < 0.85:
            noise = self._noise[int(rng.random() ** 1.3 * len(self._noise))]
            y, x = rng.integers(0, len(noise) - self._size, 2)
            rows = picture.reshape(len(picture), -1)
            _add_noise(rows, noise[y : y + self._size, 3 * x : 3 * x + rows.shape[1]])
        return _compressed(picture, rng) if chance[4] < 0.25 else picture


def _composed(layer: np.ndarray, backdrop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put the layer over the backdrop, in a light of its own."""
    gain = rng.uniform(0.45, 1.25) * (1 + 0.1 * rng.standard_normal(3))
    gains = np.tile((256 * gain.clip(0.2, 1.6)).astype(np.int32), layer.shape[2])
    picture = np.empty(layer.shape[1:], np.uint8)
    side = len(picture)
    color, alpha = layer.reshape(2, side, -1)
    _composite(color, alpha, backdrop.reshape(side, -1), gains, picture.reshape(side, -1))
    return picture


def _grain(side: int, rng: np.random.Generator) -> np.ndarray:
    fine = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), 0.9)
    coarse = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), 5.0)
    strength = rng.uniform(0.005, 0.035)
    return 1 + strength * (fine / fine.std() + coarse / coarse.std())


def _motion(rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the path of a moving hand while the shutter is open, and its middle, where the truth is.

    The path has no empty border, or OpenCV would take a slow way for large ones.
    """
    side = 2 * int(rng.integers(1, 7)) + 1
    kernel = np.zeros((side, side), np.float32)
    angle, middle = rng.uniform(0, np.pi), side // 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    ends = [tuple(int(round(v)) for v in middle + sign * reach) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    x, y, width, height = cv2.boundingRect((kernel > 0).astype(np.uint8))
    return kernel[y : y + height, x : x + width] / kernel.sum(), (middle - x, middle - y)


def _compressed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lose what JPEG loses."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))]
    decoded = cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR)
    assert decoded is not None, "what was just encoded can be decoded"
    return decoded


def _soft(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take the picture from fewer pixels, as of a small hand far away."""
    size = picture.shape[0]
    small = int(size * rng.uniform(0.3, 0.8))
    less = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
    return cv2.resize(less, (size, size), interpolation=cv2.INTER_LINEAR)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _composite(color, alpha, backdrop, gains, picture):
    """Put rows over rows; whole numbers and no branch, because that is fast."""
    top = np.int32(255)
    for y in range(picture.shape[0]):
        for x in range(picture.shape[1]):
            behind = min((np.int32(backdrop[y, x]) * gains[x]) >> 8, top)
            free = top - np.int32(alpha[y, x])
            value = np.int32(color[y, x]) + (
                (free * behind * np.int32(257) + np.int32(32768)) >> 16
            )
            picture[y, x] = np.uint8(min(value, top))


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _add_noise(rows, noise):
    for y in range(rows.shape[0]):
        for x in range(rows.shape[1]):
            value = np.int16(rows[y, x]) + np.int16(noise[y, x])
            rows[y, x] = np.uint8(min(max(value, np.int16(0)), np.int16(255)))
