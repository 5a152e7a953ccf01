"""Drawn hands as a live source: two moving hands in a room, without an end and without a file."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from apps.demo.backdrop import room
from apps.demo.motion import DURATION_S
from apps.demo.scene import CAMERA, SEED, SIDES, Scene
from tracker.live.sources import SourceInfo
from tracker.view.renderer import Mesh
from tracker.view.software_renderer import SoftwareRenderer
from tracker.vision.records import Frame

_NOISE: Final = 1.3  # deviation of the sensor's noise, of 255
_NOISE_PICTURES: Final = 4


class DrawnHands:
    """The demo's scene, drawn anew at every pass: a source that never ends.

    Each picture takes a few milliseconds, so that it can be drawn while it is tracked: no motion
    blur, no shadows, unlike the clip that ships.
    """

    def __init__(self, *, fps: float = 30.0) -> None:
        self.info = SourceInfo("synthetic", CAMERA.hw, fps, None)
        self.warning: str | None = None
        rng = np.random.default_rng(SEED)
        self._scene = Scene()
        self._renderer = SoftwareRenderer()
        self._room = np.round(255 * room(CAMERA.hw, rng)).astype(np.int16)
        shape = (_NOISE_PICTURES, *self._room.shape)
        self._noise = np.round(rng.normal(0, _NOISE, shape)).astype(np.int16)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the pictures; the motion runs to its end and back again."""
        index = 0
        while True:
            time_s = index / self.info.fps
            yield Frame(self._drawn(_to_and_fro(time_s), index), CAMERA, time_s, index)
            index += 1

    def _drawn(self, scene_s: float, index: int) -> np.ndarray:
        noisy = self._room + self._noise[index % _NOISE_PICTURES]
        picture = np.clip(noisy, 0, 255).astype(np.uint8)
        meshes: list[Mesh] = []
        for side in SIDES:
            hand = self._scene.hand(side, scene_s)
            faces = self._scene.models[side].faces.numpy()
            meshes.append(Mesh(hand.vertices, faces, self._scene.albedo))
        self._renderer.blend_into(picture, meshes, CAMERA)
        return picture


def _to_and_fro(time_s: float) -> float:
    """Return the place in the scene: there and back, so that no hand jumps."""
    lap, rest = divmod(time_s, DURATION_S)
    return rest if int(lap) % 2 == 0 else DURATION_S - rest
