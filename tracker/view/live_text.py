"""Words over a picture, readable on any background: bright letters on a darkened panel."""

from collections.abc import Sequence
from functools import lru_cache
from textwrap import wrap
from typing import Final, Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

Rgb = tuple[int, int, int]
Place = Literal["top left", "bottom", "right"]

WHITE: Final[Rgb] = (255, 255, 255)
AMBER: Final[Rgb] = (255, 214, 102)
_SMALLEST_PX: Final = 13
"""Of letters on the screen."""
_FEWEST_LETTERS: Final = 22
"""Letters grow no larger than lets so many of their heights stand side by side."""
_LETTER_WIDTH: Final = 0.56
"""Of a letter on average and a little more, in heights."""
_DARKER_BITS: Final = 2
"""The panel is this many halvings darker: at most 63 of 255, nine to one against white."""


def text_size_px(hw: tuple[int, int], window_hw: tuple[int, int] | None = None) -> int:
    """Return the height of letters for a picture: a fortieth of it, and never too small to read.

    Args:
        hw: size of the picture.
        window_hw: size of the window it will be shown in, which may shrink it.
    """
    shown = 1.0 if window_hw is None else min(window_hw[0] / hw[0], window_hw[1] / hw[1], 1.0)
    size = max(min(hw[0], 0.75 * hw[1]) / 40, _SMALLEST_PX / shown)
    return max(round(min(size, hw[1] / _FEWEST_LETTERS)), 8)


def wrapped(text: str, width_px: int, size_px: int) -> list[str]:
    """Return the text in lines that fit into a width; words too long for it are broken."""
    letters = max(int(width_px / (_LETTER_WIDTH * size_px)), 8)
    return [line for part in text.splitlines() for line in wrap(part, letters)]


def draw_panel(
    rgb: UInt8[np.ndarray, "h w 3"],
    lines: Sequence[str | tuple[str, str]],
    *,
    place: Place,
    size_px: int,
    color: Rgb = WHITE,
) -> None:
    """Write lines into the picture; pairs are set in two columns. What does not fit is cut off."""
    rows = [(line,) if isinstance(line, str) else line for line in lines]
    if not rows:
        return
    masks = [[_letters(word, size_px) for word in row] for row in rows]
    first = max((m[0].shape[1] for m in masks if len(m) > 1), default=0) + size_px
    widths = [m[0].shape[1] if len(m) == 1 else first + m[1].shape[1] for m in masks]
    pitch, edge = round(1.45 * size_px), round(0.5 * size_px)
    box_h, box_w = pitch * len(rows) + edge, max(widths) + 2 * edge
    x0, y0 = _corner(rgb.shape[:2], (box_h, box_w), place, edge)
    panel = rgb[y0 : y0 + box_h, x0 : x0 + box_w]
    np.right_shift(panel, _DARKER_BITS, out=panel)
    for n, row in enumerate(masks):
        for column, mask in enumerate(row):
            _print(panel, mask, edge + column * first, edge // 2 + n * pitch, color)


def draw_caption(
    rgb: UInt8[np.ndarray, "h w 3"], text: str, uv: tuple[float, float], size_px: int, color: Rgb
) -> None:
    """Write a word with its middle above a pixel, moved into the picture where it would leave it."""
    mask = _letters(text, size_px)
    height, width = mask.shape
    edge = size_px // 4
    box_h, box_w = height + 2 * edge, width + 2 * edge
    x0 = int(np.clip(uv[0] - box_w / 2, 0, max(rgb.shape[1] - box_w, 0)))
    y0 = int(np.clip(uv[1] - box_h, 0, max(rgb.shape[0] - box_h, 0)))
    panel = rgb[y0 : y0 + box_h, x0 : x0 + box_w]
    np.right_shift(panel, _DARKER_BITS, out=panel)
    _print(panel, mask, edge, edge, color)


def _corner(
    hw: tuple[int, int], box_hw: tuple[int, int], place: Place, edge: int
) -> tuple[int, int]:
    """Return the top left pixel of a panel."""
    (height, width), (box_h, box_w) = hw, box_hw
    x = {"top left": edge, "right": width - box_w - edge}.get(place, (width - box_w) // 2)
    y = {"top left": edge, "bottom": height - box_h - edge}.get(place, (height - box_h) // 2)
    return max(x, 0), max(y, 0)


def _print(panel: np.ndarray, mask: np.ndarray, x: int, y: int, color: Rgb) -> None:
    part = panel[y : y + mask.shape[0], x : x + mask.shape[1]]
    if part.size:
        cut = mask[: part.shape[0], : part.shape[1], None]
        ink = (cut * (np.array(color, np.uint16)) // 255).astype(np.uint8)
        part[:] = cv2.max(np.ascontiguousarray(part), ink)


@lru_cache(256)
def _letters(text: str, size_px: int) -> UInt8[np.ndarray, "h w"]:
    """Return how much of each pixel is letter, 0 to 255."""
    font = _font(size_px)
    width = max(round(font.getlength(text)), 1)
    picture = Image.new("L", (width + 1, round(1.3 * size_px)))
    ImageDraw.Draw(picture).text((0, 0), text, fill=255, font=font)
    return np.asarray(picture)


@lru_cache(8)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
