"""Many small pictures on one page, for looking at many hands at once."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

_PAPER: Final = (246, 244, 240)
_INK: Final = (60, 60, 66)
_GAP_PX: Final = 6
_CAPTION_PX: Final = 20


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    captions: Sequence[str] = (),
    *,
    columns: int = 4,
    tile_px: int = 240,
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay the pictures out in rows, each fitted into a square tile, with its caption below.

    Args:
        images: RGB pictures of any size; at least one.
        captions: one for each picture, or none at all.
        columns: tiles side by side.
        tile_px: side of a tile.

    Raises:
        ValueError: there is no picture, or the captions do not match.
    """
    if not images or len(captions) not in (0, len(images)) or columns < 1 or tile_px < 1:
        raise ValueError(
            "a contact sheet needs pictures, as many captions or none, and positive columns and "
            f"tile_px; found {len(images)} pictures, {len(captions)} captions, {columns}, {tile_px}"
        )
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    step_x = tile_px + _GAP_PX
    step_y = step_x + (_CAPTION_PX if captions else 0)
    hw = (rows * step_y + _GAP_PX, columns * step_x + _GAP_PX)
    sheet = np.full((*hw, 3), _PAPER, np.uint8)
    for i, image in enumerate(images):
        x, y = _GAP_PX + i % columns * step_x, _GAP_PX + i // columns * step_y
        _paste(sheet, image, x, y, tile_px)
        if captions:
            place = (x + 2, y + tile_px + _CAPTION_PX - 5)
            cv2.putText(
                sheet, captions[i], place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA
            )
    return sheet


def _paste(sheet: np.ndarray, image: np.ndarray, x: int, y: int, tile_px: int) -> None:
    height, width = image.shape[:2]
    ratio = tile_px / max(height, width)
    size = (max(round(width * ratio), 1), max(round(height * ratio), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    left, top = x + (tile_px - size[0]) // 2, y + (tile_px - size[1]) // 2
    sheet[top : top + size[1], left : left + size[0]] = small
