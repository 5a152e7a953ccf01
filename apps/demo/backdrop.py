"""A room far out of focus, painted from a few shapes."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float

_WALL_TOP: Final = np.array([0.60, 0.61, 0.62])
_WALL_BOTTOM: Final = np.array([0.42, 0.40, 0.39])
_BOOKS_RGB: Final = ((0.46, 0.24, 0.20), (0.22, 0.32, 0.42), (0.62, 0.52, 0.34), (0.26, 0.36, 0.30))
_BLUR: Final = 0.014  # of the width


def room(hw: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """Return the background in [0, 1], sRGB; the same generator gives the same room."""
    height, width = hw
    down = np.linspace(0, 1, height)[:, None, None]
    picture = np.ascontiguousarray(
        np.broadcast_to(_WALL_TOP + down * (_WALL_BOTTOM - _WALL_TOP), (*hw, 3))
    )
    _box(picture, (0.72, 0.0, 1.0, 0.52), (0.86, 0.90, 0.94))  # the window
    _box(picture, (0.845, 0.0, 0.86, 0.52), (0.55, 0.53, 0.50))
    _box(picture, (0.70, 0.52, 1.0, 0.56), (0.66, 0.63, 0.58))
    _shelf(picture, 0.30, rng)
    _shelf(picture, 0.62, rng)
    _box(picture, (0.0, 0.86, 1.0, 1.0), (0.34, 0.27, 0.22))  # a table
    _plant(picture, rng)
    return np.clip(_glow(cv2.GaussianBlur(picture, (0, 0), _BLUR * width)), 0, 1)


def _box(
    picture: np.ndarray, box: tuple[float, float, float, float], rgb: tuple[float, ...]
) -> None:
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = (round(b * s) for b, s in zip(box, (width, height) * 2, strict=True))
    picture[y0:y1, x0:x1] = rgb


def _shelf(picture: np.ndarray, bottom: float, rng: np.random.Generator) -> None:
    """Paint a board with books of different heights."""
    left = 0.05
    while left < 0.30:
        wide, high = rng.uniform(0.012, 0.028), rng.uniform(0.13, 0.22)
        rgb = np.array(_BOOKS_RGB[rng.integers(len(_BOOKS_RGB))]) * rng.uniform(0.8, 1.25)
        _box(picture, (left, bottom - high, left + wide, bottom), tuple(rgb))
        left += wide + 0.002
    _box(picture, (0.03, bottom, 0.34, bottom + 0.02), (0.48, 0.38, 0.28))


def _plant(picture: np.ndarray, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    for _ in range(26):
        x, y = rng.normal(0.55, 0.03), rng.normal(0.58, 0.07)
        size = (round(0.03 * width), round(0.009 * width))
        rgb = np.array([0.24, 0.36, 0.22]) * rng.uniform(0.7, 1.3)
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(
            picture, (round(x * width), round(y * height)), size, turn, 0, 360, rgb.tolist(), -1
        )
    _box(picture, (0.525, 0.70, 0.575, 0.88), (0.62, 0.44, 0.34))


def _glow(picture: np.ndarray) -> np.ndarray:
    """Let the window spill over, and darken the corners."""
    height, width = picture.shape[:2]
    spill = cv2.GaussianBlur(np.clip(picture - 0.75, 0, None), (0, 0), 0.06 * width)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (picture + 1.2 * spill) * (1 - 0.16 * (x**2 + y**2))[..., None]
