"""Pictures to put behind made-up hands: a folder of the user's, or rooms painted from shapes."""

import logging
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from train.datasets.image_files import images_in, read_rgb
from train.datasets.sample import DatasetError, SampleError

SIDE_PX: Final = 320
PAINTED: Final = 64
_MOST_PHOTOGRAPHS: Final = 1500  # 460 MB
_SMALLEST_CUT: Final = 0.3
_RESIZED: Final = 0.5
"""Part of the pieces that are enlarged or reduced; the others are taken as they are."""
_log = logging.getLogger(__name__)


class Backdrops:
    """Backgrounds by chance.

    Args:
        folder: the user's photographs without hands; None paints some.
        seed: of the painted ones.
    """

    def __init__(self, folder: Path | None, seed: int) -> None:
        if folder is None:
            rng = np.random.default_rng([seed, 1])
            self._pictures = [_painted(rng) for _ in range(PAINTED)]
        else:
            self._pictures = _photographs(folder)

    def __call__(self, size_px: int, rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
        """Return a piece of one of them, flipped by chance."""
        picture = self._pictures[rng.integers(len(self._pictures))]
        height, width = picture.shape[:2]
        share = _SMALLEST_CUT + (1 - _SMALLEST_CUT) * rng.random()
        side = int(min(height, width) * share) if rng.random() < _RESIZED else size_px
        side = min(side, height, width)
        top, left = (int(rng.random() * (n - side + 1)) for n in (height, width))
        piece = picture[top : top + side, left : left + side]
        if side != size_px:
            piece = cv2.resize(piece, (size_px, size_px), interpolation=cv2.INTER_LINEAR)
        return cv2.flip(piece, 1) if rng.random() < 0.5 else np.ascontiguousarray(piece)


def _photographs(folder: Path) -> list[UInt8[np.ndarray, "h w 3"]]:
    pictures: list[np.ndarray] = []
    for path in images_in(folder)[:_MOST_PHOTOGRAPHS]:
        try:
            rgb = read_rgb(path)
        except SampleError as problem:
            _log.warning("background left out: %s", problem)
            continue
        ratio = SIDE_PX / min(rgb.shape[:2])
        wh = (round(rgb.shape[1] * ratio), round(rgb.shape[0] * ratio))
        pictures.append(cv2.resize(rgb, wh, interpolation=cv2.INTER_AREA)[:SIDE_PX, : 2 * SIDE_PX])
    if not pictures:
        raise DatasetError(f"{folder} holds no picture that can be read; name another folder")
    return pictures


def _painted(rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """Paint a wall, its clutter and the grain of things, out of focus by chance."""
    picture = _gradient(rng) + _cloud(rng, int(rng.integers(2, 7)), rng.uniform(0.03, 0.15))
    for _ in range(rng.integers(0, 26)):
        _shape(picture, rng)
    if rng.random() < 0.35:
        _stripes(picture, rng)
    if rng.random() < 0.6:
        picture += _cloud(rng, int(rng.integers(20, 120)), rng.uniform(0.01, 0.07))
    if rng.random() < 0.55:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.8, 7)))
    return (255 * np.clip(picture, 0, 1)).astype(np.uint8)


def _color(rng: np.random.Generator) -> np.ndarray:
    """Return a colour that things have: mostly dull, now and then strong."""
    grey = rng.uniform(0.08, 0.95)
    strength = 0.04 if rng.random() < 0.8 else 0.2
    return np.clip(grey + strength * rng.standard_normal(3), 0.02, 0.98)


def _gradient(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[0 : 1 : SIDE_PX * 1j, 0 : 1 : SIDE_PX * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    way = (0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))[..., None]
    first = _color(rng)
    second = np.clip(first + 0.2 * rng.standard_normal() + 0.05 * rng.standard_normal(3), 0, 1)
    return (first + way * (second - first)).astype(np.float32)


def _cloud(rng: np.random.Generator, cells: int, depth: float) -> np.ndarray:
    coarse = rng.standard_normal((cells, cells, 3)).astype(np.float32)
    if rng.random() < 0.8:
        coarse[..., 1:] = coarse[..., :1]
    return depth * cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)


def _shape(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a box, a disc, a leaf or a bar."""
    color = _color(rng).tolist()
    x, y = (int(v) for v in rng.integers(-30, SIDE_PX + 30, 2))
    half = 10 + int(110 * rng.random() ** 2)
    kind = rng.integers(4)
    if kind == 0:
        points = cv2.boxPoints(
            ((x, y), (2 * half, 2 * half * rng.uniform(0.2, 1.5)), rng.uniform(0, 180))
        )
        cv2.fillPoly(picture, [points.astype(np.int32)], color, cv2.LINE_AA)
    elif kind == 1:
        cv2.circle(picture, (x, y), half, color, -1, cv2.LINE_AA)
    elif kind == 2:
        axes = (half, max(half // 3, 2))
        cv2.ellipse(
            picture, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA
        )
    else:
        x2, y2 = (int(v) for v in rng.integers(0, SIDE_PX, 2))
        cv2.line(picture, (x, y), (x2, y2), color, int(rng.integers(2, 22)), cv2.LINE_AA)


def _stripes(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Lay boards, tiles or cloth over a part."""
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    wave, angle = rng.uniform(4, 40), rng.uniform(0, np.pi)
    phase = (x * np.cos(angle) + y * np.sin(angle)) / wave
    if rng.random() < 0.4:
        phase = np.floor(phase) + np.floor((y * np.cos(angle) - x * np.sin(angle)) / wave)
    pattern = (np.sin(np.pi * phase) > rng.uniform(-0.8, 0.8)).astype(np.float32)
    top = int(rng.integers(0, SIDE_PX // 2))
    picture[top:] += (rng.uniform(-0.25, 0.25) * pattern[..., None])[top:]
