"""A page of close-ups of a clip's hands: what one looks at first to see whether it went well."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from tracker.view.contact_sheet import contact_sheet
from tracker.vision.records import Frame, TrackedHand
from tracker.whole_file import whole_file

_PICTURES: Final = 12
_TILE_PX: Final = 320
_MARGIN: Final = 1.8
"""Side of a close-up, in sides of the box around the joints: shows the wrist's surroundings too."""
_LEAST: Final = 1 / 3
"""Side of a close-up at least, in shorter sides of the frame: a far hand keeps its surroundings."""


@dataclass(frozen=True)
class _Picture:
    slot: int
    rgb: UInt8[np.ndarray, "h w 3"]
    caption: str
    has_hand: bool


class ClipSheet:
    """About a dozen pictures, evenly spread over a clip whose length is not known in advance.

    The clip is cut into equal slots, and each keeps its first picture with a hand, or else its
    first; when there are too many, neighbouring slots become one.
    """

    def __init__(self) -> None:
        self._frames_per_slot = 1
        self._seen = 0
        self._pictures: list[_Picture] = []

    def offer(
        self, frame: Frame, drawn: UInt8[np.ndarray, "h w 3"], hands: Sequence[TrackedHand]
    ) -> None:
        """Take the picture drawn of this frame if its slot wants it."""
        slot = self._seen // self._frames_per_slot
        self._seen += 1
        shown = [hand for hand in hands if hand.state != "lost"]
        held = self._pictures[-1] if self._pictures else None
        if held is not None and held.slot == slot:
            if held.has_hand or not shown:
                return
            self._pictures.pop()
        words = [f"{hand.side} {hand.track_id}: {hand.score:.2f}" for hand in shown]
        caption = "  ".join([f"{frame.timestamp_s:.2f} s", *words])
        self._pictures.append(_Picture(slot, _close_up(drawn, shown), caption, bool(shown)))
        if len(self._pictures) >= 2 * _PICTURES:
            self._merge()

    def _merge(self) -> None:
        """Make the slots twice as long, and let pictures with a hand win."""
        self._frames_per_slot *= 2
        kept: dict[int, _Picture] = {}
        for old in self._pictures:
            picture = _Picture(old.slot // 2, old.rgb, old.caption, old.has_hand)
            rival = kept.get(picture.slot)
            if rival is None or (picture.has_hand and not rival.has_hand):
                kept[picture.slot] = picture
        self._pictures = list(kept.values())

    def write(self, path: Path) -> Path:
        """Write the page as an image; at least one picture must have been offered.

        Raises:
            OutputError: the file cannot be written.
        """
        count = min(_PICTURES, len(self._pictures))
        chosen = [self._pictures[round(i)] for i in np.linspace(0, len(self._pictures) - 1, count)]
        page = contact_sheet(
            [picture.rgb for picture in chosen],
            [picture.caption for picture in chosen],
            tile_px=_TILE_PX,
        )
        with whole_file(path) as partial:
            Image.fromarray(page).save(partial)
        return path


def _close_up(
    rgb: UInt8[np.ndarray, "h w 3"], hands: Sequence[TrackedHand]
) -> UInt8[np.ndarray, "tile_h tile_w 3"]:
    """Return the part of the picture around all hands, or the whole of it, no larger than a tile."""
    x0, y0, x1, y1 = _box_around(hands, (rgb.shape[0], rgb.shape[1]))
    part = rgb[y0:y1, x0:x1]
    ratio = _TILE_PX / max(part.shape[:2])
    if ratio >= 1:
        return part.copy()
    wh = max(round(part.shape[1] * ratio), 1), max(round(part.shape[0] * ratio), 1)
    return cv2.resize(part, wh, interpolation=cv2.INTER_AREA)


def _box_around(hands: Sequence[TrackedHand], hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the close-up's box: square unless the frame is too small for it, moved into the frame."""
    height, width = hw
    joints = [hand.uv[np.isfinite(hand.uv).all(-1)] for hand in hands]
    uv = np.concatenate([np.empty((0, 2)), *joints])
    inside = uv[((uv >= 0) & (uv <= (width, height))).all(-1)]
    if not len(inside):
        return 0, 0, width, height
    low, high = inside.min(0), inside.max(0)
    side = max(float((high - low).max()) * _MARGIN, min(hw) * _LEAST)
    side_x, side_y = min(round(side), width), min(round(side), height)
    center_x, center_y = (low + high) / 2
    x0 = int(np.clip(center_x - side_x / 2, 0, width - side_x))
    y0 = int(np.clip(center_y - side_y / 2, 0, height - side_y))
    return x0, y0, x0 + side_x, y0 + side_y
