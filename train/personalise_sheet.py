"""The contact sheet: pictures nobody learned from, answered by the network before and after."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from tracker.vision.network import S2HandNetwork
from tracker.whole_file import whole_file
from train.datasets.mixing import ordered_batches
from train.objective import Objective
from train.panels import panel
from train.personalise_clip import PersonClip
from train.personalise_measure import Measured

_ROWS: Final = 6
_HEADER_PX: Final = 56
_GAP_PX: Final = 12
_LEAST_PX: Final = 160
"""Pictures are enlarged to at least this side."""
_WHITE: Final = (255, 255, 255)


def write_sheet(
    path: Path,
    objective: Objective,
    networks: tuple[S2HandNetwork, S2HandNetwork],
    held_out: PersonClip,
    numbers: tuple[Measured, Measured],
) -> None:
    """Draw hands with both networks, side by side, and write the picture as PNG.

    Of each network, from the left: detected joints (yellow) and its own (blue), its render over the
    picture, the render alone, and the hand's colours without light.

    Raises:
        OutputError: the file cannot be written.
    """
    chosen = np.linspace(0, len(held_out) - 1, min(_ROWS, len(held_out))).round().astype(int)
    side = networks[0].config.input_px
    (batch,) = ordered_batches(held_out.part(chosen.tolist()), batch=_ROWS, hw_px=side)
    titles = ("before: the network as it was", "after: made for this person")
    halves = [
        _titled(_enlarged(panel(objective, network, batch), side), title, measured)
        for network, title, measured in zip(networks, titles, numbers, strict=True)
    ]
    gap = np.full((len(halves[0]), _GAP_PX, 3), 255, np.uint8)
    sheet = np.concatenate([halves[0], gap, halves[1]], 1)
    done, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    assert done
    with whole_file(path) as partial:
        partial.write_bytes(png.tobytes())


def _enlarged(picture: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    factor = max(1.0, _LEAST_PX / side)
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def _titled(
    picture: UInt8[np.ndarray, "h w 3"], title: str, measured: Measured
) -> UInt8[np.ndarray, "h2 w 3"]:
    bar = np.full((_HEADER_PX, picture.shape[1], 3), 40, np.uint8)
    words = f"joints {measured.reprojection_percent:.1f} % of the hand off"
    if np.isfinite(measured.texture_l1):
        words += f", colours {255 * measured.texture_l1:.0f} of 255 off"
    for line, text in enumerate((title, words)):
        place, font = (8, 22 + 24 * line), cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(bar, text, place, font, 0.6, _WHITE, 1, cv2.LINE_AA)
    return np.concatenate([bar, picture])
