"""21 landmarks of a hand in a region, with MediaPipe's hand landmark model."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from tracker.vision.crops import cut, frame_from_crop
from tracker.vision.engines import OpenVinoEngine, Precision
from tracker.vision.model_files import read_model
from tracker.vision.records import Landmarks, Roi

INPUT_PX: Final = 224
_SCREEN, _PRESENCE, _HANDEDNESS, _WORLD = "Identity", "Identity_1", "Identity_2", "Identity_3"


class Landmarker:
    """Landmarks in up to `slots` regions at once."""

    def __init__(
        self,
        *,
        variant: str = "full",
        slots: int = 2,
        threads: int = 2,
        precision: Precision = "auto",
    ) -> None:
        # One hand alone takes all threads; of several each has its own, which a busy machine delays less.
        data = read_model(f"hand_landmark_{variant}.tflite")
        self._alone = OpenVinoEngine(data, threads=threads, precision=precision)
        self._together = (
            OpenVinoEngine(data, slots=slots, threads=threads, precision=precision)
            if slots > 1
            else self._alone
        )
        self._slots = slots

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"], rois: list[Roi]) -> list[Landmarks]:
        """Return one result a region, in order; `presence` says whether a hand was there."""
        results: list[Landmarks] = []
        for first in range(0, len(rois), self._slots):
            batch = rois[first : first + self._slots]
            engine = self._alone if len(batch) == 1 else self._together
            for slot, roi in enumerate(batch):
                cut(rgb, roi, INPUT_PX, out=engine.input(slot))
                engine.start(slot)
            results += [_read(engine.wait(slot), roi) for slot, roi in enumerate(batch)]
        return results


def _read(outputs: Mapping[str, Float32[np.ndarray, "1 n"]], roi: Roi) -> Landmarks:
    """Return the outputs turned back from their region into the frame."""
    affine = frame_from_crop(roi, INPUT_PX)
    screen = outputs[_SCREEN].reshape(21, 3).astype(np.float64)
    world = outputs[_WORLD].reshape(21, 3).astype(np.float64)
    world[:, :2] = world[:, :2] @ (affine[:, :2] * (INPUT_PX / roi.size_px)).T
    return Landmarks(
        uv=screen[:, :2] @ affine[:, :2].T + affine[:, 2],
        xyz=world,
        presence=float(outputs[_PRESENCE][0, 0]),
        right=float(outputs[_HANDEDNESS][0, 0]),
    )
