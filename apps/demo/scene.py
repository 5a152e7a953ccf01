"""The demo as a scene: where its hands are in each frame, and how the camera sees them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from scipy.spatial.transform import Rotation

from apps.demo.backdrop import room
from apps.demo.lighting import RoomLight
from apps.demo.motion import DURATION_S, HandMotion, Side
from apps.demo.skin import arm_albedo
from apps.demo.surface import ArmSurface
from tracker.geometry.camera import Camera
from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.hand_model import HandMesh, HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.shading import Light
from tracker.view.renderer import Mesh
from tracker.view.software_renderer import SoftwareRenderer

FPS: Final = 30.0
FRAME_COUNT: Final = round(DURATION_S * FPS)
CAMERA: Final = Camera.from_fov((540, 960))
"""60 degrees across, which is also what the tracker assumes, so that its depth can be judged."""
SEED: Final = 20

_SHUTTER_S: Final = 0.4 / FPS
_SAMPLES: Final = (
    *((1 / 16, -3 / 16), (-1 / 16, 3 / 16), (5 / 16, 1 / 16), (-3 / 16, -5 / 16)),
    *((-5 / 16, 5 / 16), (-7 / 16, -1 / 16), (3 / 16, 7 / 16), (7 / 16, -7 / 16)),
)
"""Pixel offsets of the pictures averaged into one frame, spread over the time the shutter is open:
no two share a row or a column, which smooths upright and level edges best."""
_NOISE: Final = 1.3  # deviation of the sensor's noise, of 255
_AS_COLORED: Final = Light(
    np.ones(3, np.float32), np.zeros(3, np.float32), np.array([0, 0, -1], np.float32)
)
_SHOULDER: Final = np.array([-0.13, 0.60, 0.72])
"""What a right forearm points to, camera frame: the person sits opposite of the camera."""
_MIRROR: Final = np.array([-1.0, 1.0, 1.0])
SIDES: Final[tuple[Side, Side]] = ("right", "left")


@dataclass(frozen=True)
class PlacedHand:
    """One true hand of one frame."""

    side: Side
    params: HandParams
    vertices: Float[np.ndarray, "V 3"]
    joints: Float[np.ndarray, "21 3"]


class Scene:
    """The room, the two hands and the camera; equal scenes draw equal frames."""

    def __init__(self) -> None:
        arrays = read_hand_file()
        right = HandModel.load()
        self.models: dict[Side, HandModel] = {"right": right, "left": right.mirrored()}
        rng = np.random.default_rng(SEED)
        self._background = np.round(255 * room(CAMERA.hw, rng)).astype(np.uint8)
        self._surface = ArmSurface(arrays.f, len(arrays.v_template))
        self._albedo = arm_albedo(arrays, self._surface, rng)
        faces, coarse = self._surface.faces, self._surface.coarse_faces
        self._lights = {
            "right": RoomLight(faces, coarse, len(self._albedo)),
            "left": RoomLight(_flipped(faces), _flipped(coarse), len(self._albedo)),
        }
        self._motions = {side: HandMotion(right, side, rng) for side in SIDES}
        self._renderer = SoftwareRenderer()

    @property
    def albedo(self) -> Float[np.ndarray, "V 3"]:
        """SRGB colours of the model's own vertices, the same for both hands."""
        return self._albedo[: len(self.models["right"].v_template)]

    def hand(self, side: Side, time_s: float) -> PlacedHand:
        """Return one hand at a time."""
        params = self._motions[side].at(time_s)
        mesh = _skinned(self.models[side], params)
        return PlacedHand(side, params, mesh.vertices[0].numpy(), mesh.joints[0].numpy())

    def draw(self, frame: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return a frame as the camera takes it: moving while the shutter is open, with noise."""
        time_s = frame / FPS
        colors: dict[Side, np.ndarray] = {side: self._lit(side, time_s) for side in SIDES}
        total = np.zeros((*CAMERA.hw, 3))
        for k, offset in enumerate(_SAMPLES):
            way = (k + 0.5) / len(_SAMPLES) - 0.5
            total += self._sample(time_s + way * _SHUTTER_S, offset, colors)
        noise = np.random.default_rng([SEED, frame]).normal(0, _NOISE, total.shape)
        return np.clip(total / len(_SAMPLES) + noise + 0.5, 0, 255).astype(np.uint8)

    def _arm(self, side: Side, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Return vertices and faces of one arm."""
        flip = np.ones(3) if side == "right" else _MIRROR
        hand = self.hand(side, time_s)
        params = hand.params if side == "right" else hand.params.mirrored()
        orient = Rotation.from_rotvec(params.global_orient).as_matrix()
        elbow = _SHOULDER - hand.joints[0] * flip
        vertices = self._surface.refined(hand.vertices * flip, orient, elbow) * flip
        faces = self._surface.faces
        return vertices, faces if side == "right" else _flipped(faces)

    def _lit(self, side: Side, time_s: float) -> np.ndarray:
        return self._lights[side].lit(self._arm(side, time_s)[0], self._albedo)

    def _sample(
        self, time_s: float, offset: tuple[float, float], colors: dict[Side, np.ndarray]
    ) -> np.ndarray:
        """Return one of the pictures that are averaged into a frame."""
        meshes = [Mesh(*self._arm(side, time_s), colors[side]) for side in SIDES]
        K = CAMERA.K.copy()
        K[:2, 2] += offset
        picture = self._background.copy()
        self._renderer.blend_into(picture, meshes, Camera(K, CAMERA.hw), light=_AS_COLORED)
        return picture


def _flipped(faces: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F 3"]:
    """Return the triangles of the mirror image."""
    return np.ascontiguousarray(faces[:, ::-1])


def _skinned(model: HandModel, params: HandParams) -> HandMesh:
    def row(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(values, np.float32))[None]

    shaped = model.with_shape(row(params.betas))
    pose = shaped.with_pose(row(params.global_orient), row(params.hand_pose), row(params.transl))
    return pose.skin()
