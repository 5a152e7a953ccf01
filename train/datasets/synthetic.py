"""Endless made-up hands: any index is a picture, drawn anew each time it is asked for.

Poses come from the hand's own samples, skins from the whole Monk scale, the region from the same
geometry that cuts crops for the tracker. The truth is exact. Everything follows from seed and
index, so nothing is stored; another seed is another data set, for holding out.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.zbuffer import vertex_normals
from train.crop_view import CropView, RoiJitter
from train.datasets.sample import ENDLESS, Sample, Truth
from train.datasets.synthetic_backdrop import Backdrops
from train.datasets.synthetic_keypoints import KeypointNoise
from train.datasets.synthetic_light import MAP_PX, random_lights, seen_from, shade
from train.datasets.synthetic_optics import Optics
from train.datasets.synthetic_raster import draw_layer, project_fine
from train.datasets.synthetic_scene import FRAME_HW, Scene, SceneChances, SceneMaker

_MOST_FACES: Final = 6000
_SQUARE: Final = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
_FRAME: Final = _SQUARE * FRAME_HW[::-1]
_FLESH_M: Final = 0.022
"""A joint lies at most this deep under the skin that shows it."""


@dataclass(frozen=True)
class SyntheticConfig:
    """What made-up pictures look like."""

    size_px: int = 224
    """Side of the picture, which is a region as the tracker cuts it."""
    seed: int = 0
    """Another seed is another data set."""
    count: int | None = None
    """How many samples there are; None for no end."""
    noise: KeypointNoise | None = None
    """Makes the keypoints those of a detector; None gives the exact ones with confidence 1."""
    backgrounds: Path | None = None
    """Folder with photographs to put behind the hands; None paints backgrounds."""
    hand_model: Path | None = None
    """Hand file; None is the open hand."""
    chances: SceneChances = field(default_factory=SceneChances)
    jitter: RoiJitter = field(default_factory=RoiJitter)

    def __post_init__(self) -> None:
        if not 32 <= self.size_px <= 512:
            raise ValueError(f"size_px must lie between 32 and 512, found {self.size_px}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"count must be positive, found {self.count}")


class _Scratch(NamedTuple):
    """Memory of one thread."""

    fine: tuple[np.ndarray, np.ndarray, np.ndarray]
    shadow: tuple[np.ndarray, np.ndarray]
    layer: np.ndarray
    uvw: np.ndarray


class SyntheticHands:
    """Made-up right hands with exact truth.

    Example:
        >>> hands = SyntheticHands(SyntheticConfig(size_px=64))
        >>> hands[7].rgb.shape
        (64, 64, 3)
    """

    def __init__(self, config: SyntheticConfig | None = None) -> None:
        self.config = config = config or SyntheticConfig()
        self.name = f"synthetic-{config.seed}"
        arrays = read_hand_file(config.hand_model)
        self._scenes = SceneMaker(arrays, config.chances, config.jitter, config.seed)
        self._backdrops = Backdrops(config.backgrounds, config.seed)
        self._optics = Optics(config.size_px, config.seed)
        self._memory = threading.local()

    def __len__(self) -> int:
        return self.config.count or ENDLESS

    def __getitem__(self, index: int) -> Sample:
        """Draw the picture with this number."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has samples 0 to {len(self) - 1}, asked for {index}")
        rng = np.random.default_rng([self.config.seed, index])
        scene = self._scenes(self.config.size_px, rng)
        scratch = self._scratch(len(scene.faces))
        mask, hidden, uv = self._draw(scene, scratch, rng)
        outside = _outside(scene.view, self.config.size_px)
        backdrop = self._backdrops(self.config.size_px, rng)
        rgb = self._optics.develop(scratch.layer, backdrop, outside, rng)
        if outside is not None:
            mask &= outside > 0
        hand = scene.arm.vertices[: self._scenes.topology.hand_vertices]
        truth = Truth(scene.arm.joints.astype(np.float64), hand.astype(np.float64), mask, uv)
        seen, confidence = self._detected(scene, uv, hidden, rng)
        return Sample(
            rgb, scene.view.K, seen, confidence, f"{self.name}:{index}", truth, framed=True
        )

    def _scratch(self, faces: int) -> _Scratch:
        found: _Scratch | None = getattr(self._memory, "scratch", None)
        if found is None or len(found.fine[2]) < faces:
            size = self.config.size_px
            found = _Scratch(
                (
                    np.empty((2 * size, 2 * size), np.int32),
                    np.empty((2 * size, 2 * size), np.float32),
                    np.empty((max(faces, _MOST_FACES), 11), np.float32),
                ),
                (np.empty((MAP_PX, MAP_PX), np.int32), np.empty((MAP_PX, MAP_PX), np.float32)),
                np.empty((2, size, size, 3), np.uint8),
                np.empty((max(faces, _MOST_FACES), 3), np.float32),
            )
            self._memory.scratch = found
        return found

    def _draw(
        self, scene: Scene, scratch: _Scratch, rng: np.random.Generator
    ) -> tuple[Bool[np.ndarray, "s s"], Bool[np.ndarray, " 21"], Float[np.ndarray, "21 2"]]:
        """Draw the layer; return the hand's mask, which joints are hidden, and their pixels."""
        size, topology = self.config.size_px, self._scenes.topology
        colors = self._lit(scene, scratch, rng)
        uvw = scratch.uvw[: len(scene.vertices)]
        project_fine(scene.vertices, scene.view.K.astype(np.float32), uvw)
        mask = np.empty((size, size), np.bool_)
        counts = (topology.hand_faces, len(topology.faces))
        grain = self._optics.grain(rng)
        draw_layer(uvw, scene.faces, colors, *counts, grain, scratch.fine, scratch.layer, mask)
        homogeneous = scene.arm.joints.astype(np.float64) @ scene.view.K.T
        uv = homogeneous[:, :2] / homogeneous[:, 2:]
        x, y = (2 * uv).astype(int).clip(0, 2 * size - 1).T
        nearest = 1 / np.maximum(scratch.fine[1][y, x], 1e-3)
        inside = ((uv >= 0) & (uv < size)).all(1)
        hidden = (scene.arm.joints[:, 2] > nearest + _FLESH_M) | ~inside
        return mask, hidden, uv

    def _lit(
        self, scene: Scene, scratch: _Scratch, rng: np.random.Generator
    ) -> Float[np.ndarray, "W 3"]:
        """Return display-encoded colours of the vertices, 0 to 255."""
        lights = random_lights(rng)
        normals = vertex_normals(scene.vertices, scene.faces)
        seen = np.empty((2, len(scene.vertices)), np.float32)
        center = scene.arm.joints.mean(0)
        for row, direction in zip(seen, (lights.lamp_direction, lights.up), strict=True):
            seen_from(scene.vertices, scene.faces, center, direction, *scratch.shadow, row)
        colors = np.empty_like(scene.vertices)
        shade(scene.vertices, normals, scene.albedo, lights, seen[0], seen[1], colors)
        return colors

    def _detected(
        self, scene: Scene, uv: np.ndarray, hidden: np.ndarray, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "21 2"], Float[np.ndarray, " 21"]]:
        if self.config.noise is None:
            return uv, np.ones(21)
        enlarged = float(np.linalg.norm(scene.view.crop_from_frame[:, 0]))
        return self.config.noise(uv, hidden, scene.roi.size_px / 2 * enlarged, rng)


def _outside(view: CropView, size_px: int) -> UInt8[np.ndarray, "s s"] | None:
    """Return 0 where the region reaches beyond the camera's picture and 255 inside; None: nowhere."""
    height, width = FRAME_HW
    corners = view.pixels(_FRAME)
    linear, shift = view.crop_from_frame[:, :2], view.crop_from_frame[:, 2]
    square = size_px * _SQUARE
    # A similarity's inverse is its transpose over its squared scale.
    back = (square - shift) @ linear / (linear[0] @ linear[0])
    if ((back >= 0) & (back <= [width, height])).all():
        return None
    inside = np.zeros((size_px, size_px), np.uint8)
    cv2.fillConvexPoly(inside, np.rint(corners - 0.5).astype(np.int32), 255)
    return inside
