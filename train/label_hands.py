"""Detect the hands of one picture, slowly and well: search harder than a tracker, look several times."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import UInt8

from tracker.vision.crops import roi_from_landmarks, roi_from_palm
from tracker.vision.identities import same_hand
from tracker.vision.landmarker import Landmarker
from tracker.vision.palm_detector import PalmDetector
from tracker.vision.records import Detection, Landmarks, Roi
from train.datasets.keypoint_files import HandLabel, Side, no_hand
from train.label_views import agree, view_changes

_TILED_PX: Final = 480
_TILE: Final = 0.6  # side of a tile, in sides of the picture: they overlap by a fifth
_SURE_PRESENCE: Final = 0.8
"""A hand found without a detected palm must be this sure."""


@dataclass(frozen=True)
class LabelConfig:
    """How pictures are labelled."""

    views: int = 6
    """How often each hand is looked at; agreement is the confidence."""
    max_hands: int = 2
    min_presence: float = 0.5
    """Least probability of a hand, on average over the views."""

    def __post_init__(self) -> None:
        view_changes(self.views)
        if not 1 <= self.max_hands <= 16:
            raise ValueError(f"max_hands must lie between 1 and 16, found {self.max_hands}")


class HandLabeller:
    """Keypoints with measured confidence; one instance serves one thread."""

    def __init__(self, config: LabelConfig | None = None, *, threads: int = 1) -> None:
        self.config = config = config or LabelConfig()
        self._changes = view_changes(config.views)
        self._detector = PalmDetector(threads=threads)
        self._landmarker = Landmarker(slots=4, threads=threads)

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"], name: str) -> list[HandLabel]:
        """Return the hands of a picture, best first; one label that says none where there is none."""
        labels: list[HandLabel] = []
        mirrored = np.ascontiguousarray(rgb[:, ::-1])
        for found in self._find(rgb):
            label = self.look(rgb, mirrored, roi_from_landmarks(found.uv), name)
            if label is not None and not any(same_hand(label.uv, other.uv) for other in labels):
                labels.append(label)
            if len(labels) == self.config.max_hands:
                break
        return labels or [no_hand(name)]

    def _find(self, rgb: UInt8[np.ndarray, "h w 3"]) -> Iterator[Landmarks]:
        """Yield hands, from the ordinary way of finding them to the desperate ones."""
        found = False
        for palms in (self._detector(rgb), self._palms_in_tiles(rgb)):
            for palm in palms:
                landmarks = self._settled(rgb, roi_from_palm(palm), self.config.min_presence)
                if landmarks is not None:
                    found = True
                    yield landmarks
            if found:
                return
        # A hand that fills the picture is too large for the detector.
        height, width = rgb.shape[:2]
        middle, side = np.array([width / 2, height / 2]), float(max(height, width))
        for turn in range(4):
            landmarks = self._settled(rgb, Roi(middle, side, turn * math.pi / 2), _SURE_PRESENCE)
            if landmarks is not None:
                yield landmarks
                return

    def _palms_in_tiles(self, rgb: UInt8[np.ndarray, "h w 3"]) -> Iterator[Detection]:
        """Yield the palms of four overlapping parts: small hands of a large picture."""
        height, width = rgb.shape[:2]
        if min(height, width) < _TILED_PX:
            return
        tall, wide = int(_TILE * height), int(_TILE * width)
        for y in (0, height - tall):
            for x in (0, width - wide):
                for palm in self._detector(np.ascontiguousarray(rgb[y : y + tall, x : x + wide])):
                    corner = np.array([x, y], np.float64)
                    yield Detection(
                        palm.box_xyxy + np.tile(corner, 2), palm.keypoints_uv + corner, palm.score
                    )

    def _settled(
        self, rgb: UInt8[np.ndarray, "h w 3"], roi: Roi, min_presence: float
    ) -> Landmarks | None:
        """Look twice, because the first region is only rough."""
        first = self._landmarker(rgb, [roi])[0]
        if first.presence < min_presence:
            return None
        second = self._landmarker(rgb, [roi_from_landmarks(first.uv)])[0]
        return second if second.presence >= min_presence else None

    def look(
        self,
        rgb: UInt8[np.ndarray, "h w 3"],
        mirrored: UInt8[np.ndarray, "h w 3"],
        roi: Roi,
        name: str,
    ) -> HandLabel | None:
        """Return what all views of a region say together; None if they see no hand."""
        height, width = rgb.shape[:2]
        plain = [change(roi) for change in self._changes if not change.mirror]
        flipped = [_mirrored(change(roi), width) for change in self._changes if change.mirror]
        seen = self._landmarker(rgb, plain)
        seen_flipped = self._landmarker(mirrored, flipped)
        uv = [s.uv for s in seen] + [s.uv * [-1, 1] + [width, 0] for s in seen_flipped]
        presence = np.array([s.presence for s in seen + seen_flipped])
        right = np.array([s.right for s in seen] + [1 - s.right for s in seen_flipped])
        if presence.mean() < self.config.min_presence:
            return None
        together = agree(np.stack(uv), presence, roi.size_px / 2, (height, width))
        side: Side = "right" if np.average(right, weights=presence) >= 0.5 else "left"
        score = float(presence.mean())
        return HandLabel(name, side, together.uv, together.confidence, score)


def _mirrored(roi: Roi, width: int) -> Roi:
    center = np.array([width - roi.center_uv[0], roi.center_uv[1]])
    return Roi(center, roi.size_px, -roi.angle_rad)
