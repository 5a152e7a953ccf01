"""21 landmarks of a hand in a region, with MediaPipe's hand landmark model."""

from typing import Final

import numpy as np
from jaxtyping import UInt8

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
        data = read_model(f"hand_landmark_{variant}.tflite")
        self._engine = OpenVinoEngine(data, slots=slots, threads=threads, precision=precision)
        self._slots = slots

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"], rois: list[Roi]) -> list[Landmarks]:
        """Return one result a region, in order; `presence` says whether a hand was there."""
        results: list[Landmarks] = []
        for first in range(0, len(rois), self._slots):
            batch = rois[first : first + self._slots]
            for slot, roi in enumerate(batch):
                cut(rgb, roi, INPUT_PX, out=self._engine.input(slot))
                self._engine.start(slot)
            results += [self._read(slot, roi) for slot, roi in enumerate(batch)]
        return results

    def _read(self, slot: int, roi: Roi) -> Landmarks:
        outputs = self._engine.wait(slot)
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
