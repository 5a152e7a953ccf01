"""Open palms before a camera, made from the hand model: what calibrations are shown."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skinning import RuntimeHand
from tracker.vision.records import TrackedHand

CAMERA = Camera.from_fov((720, 1280), 65.0)


@cache
def model() -> HandModel:
    return HandModel.load()


@cache
def _skinner() -> RuntimeHand:
    return RuntimeHand(model())


@dataclass(frozen=True)
class Palm:
    """An open palm; every field may be spoilt."""

    betas: tuple[float, ...] = (0.0,) * 10
    scale: float = 1.0
    orient: tuple[float, float, float] = (np.pi / 2, 0.0, 0.0)
    bent: tuple[int, float] = (1, 0.0)
    """Which joint of MANO's order is bent, and by how much about z (radians)."""
    at: tuple[float, float, float] = (0.1, 0.0, 0.5)
    score: float = 0.9
    track_id: int = 0

    def seen(self, time_s: float = 0.0, *, state: str = "tracked") -> TrackedHand:
        pose = np.zeros((15, 3))
        pose[self.bent[0], 2] = self.bent[1]
        params = HandParams(
            np.array(self.orient), pose, np.array(self.betas), np.array(self.at), self.scale
        )
        vertices, joints = _skinner().skin(params)
        uv = CAMERA.project(joints)
        colors = np.full((len(vertices), 3), 0.6, np.float32)
        faces = model().faces.numpy()
        return TrackedHand(
            *(
                self.track_id,
                "right",
                state,
                self.score,
                joints,
                uv,
                vertices,
                faces,
                colors,
                params,
            ),
            timestamp_s=time_s,
        )
