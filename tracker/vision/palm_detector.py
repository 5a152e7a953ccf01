"""Find palms in a whole frame with MediaPipe's palm model (a single-shot detector)."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracker.vision.engines import OpenVinoEngine, Precision
from tracker.vision.model_files import read_model
from tracker.vision.records import Detection

INPUT_PX: Final = 192
_OVERLAP: Final = 0.3  # MediaPipe's non-maximum suppression threshold


def _anchors() -> Float[np.ndarray, "2016 2"]:
    """Return the detector's anchor centres in [0, 1]: a 24-cell grid twice, a 12-cell grid six times."""
    grids: list[np.ndarray] = []
    for cells, repeats in ((24, 2), (12, 6)):
        v, u = np.mgrid[0:cells, 0:cells]
        centres = (np.stack([u, v], -1).reshape(-1, 2) + 0.5) / cells
        grids.append(np.repeat(centres, repeats, 0))
    return np.concatenate(grids)


class PalmDetector:
    """Palms of both hands, at most about two metres away."""

    def __init__(
        self,
        *,
        variant: str = "full",
        min_score: float = 0.5,
        threads: int = 2,
        precision: Precision = "auto",
    ) -> None:
        data = read_model(f"palm_detection_{variant}.tflite")
        self._engine = OpenVinoEngine(data, threads=threads, precision=precision)
        self._anchors = _anchors()
        self._min_logit = float(np.log(min_score / (1 - min_score)))

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Return the palms in the frame, best first."""
        scale, offset = self._letterbox(rgb)
        self._engine.start()
        boxes, logits = self._engine.wait().values()
        logits = logits[0, :, 0]
        keep = np.flatnonzero(logits > self._min_logit)
        raw = boxes[0, keep].astype(np.float64) / INPUT_PX
        raw[:, :2] += self._anchors[keep]
        raw[:, 4:] += np.tile(self._anchors[keep], 7)
        scores = 1 / (1 + np.exp(-logits[keep].astype(np.float64)))
        return [self._to_frame(row, score, scale, offset) for row, score in _merge(raw, scores)]

    def _letterbox(self, rgb: UInt8[np.ndarray, "h w 3"]) -> tuple[float, Float[np.ndarray, " 2"]]:
        """Fill the input with the frame, centred on black; return pixels a unit and the margin."""
        height, width = rgb.shape[:2]
        side = max(height, width)
        small_wh = (max(1, round(width * INPUT_PX / side)), max(1, round(height * INPUT_PX / side)))
        left, top = ((INPUT_PX - n) // 2 for n in small_wh)
        target = self._engine.input()
        target[:] = 0
        part = target[top : top + small_wh[1], left : left + small_wh[0]]
        part[:] = cv2.resize(rgb, small_wh, interpolation=cv2.INTER_LINEAR)
        return float(side), np.array([left, top]) / INPUT_PX

    @staticmethod
    def _to_frame(
        row: Float[np.ndarray, " 18"], score: float, scale: float, offset: Float[np.ndarray, " 2"]
    ) -> Detection:
        center, half = row[:2] - offset, row[2:4] / 2
        box = np.concatenate([center - half, center + half]) * scale
        return Detection(box, (row[4:].reshape(7, 2) - offset) * scale, float(score))


def _merge(
    rows: Float[np.ndarray, "n 18"], scores: Float[np.ndarray, " n"]
) -> list[tuple[Float[np.ndarray, " 18"], float]]:
    """Weighted non-maximum suppression: each cluster becomes its score-weighted mean."""
    low, high = rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2
    area = np.prod(high - low, -1)
    left = np.argsort(-scores)
    merged: list[tuple[np.ndarray, float]] = []
    while len(left):
        best = left[0]
        size = np.minimum(high[best], high[left]) - np.maximum(low[best], low[left])
        common = np.prod(np.clip(size, 0, None), -1)
        same = common > _OVERLAP * (area[best] + area[left] - common)
        same[0] = True
        members = left[same]
        merged.append((np.average(rows[members], 0, scores[members]), float(scores[best])))
        left = left[~same]
    return merged
