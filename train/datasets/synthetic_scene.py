"""What is in a made-up picture before light falls on it: a posed arm, what surrounds it, the view."""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int

from tracker.errors import HandModelError
from tracker.geometry.camera import Camera
from tracker.geometry.hand_files import HandArrays
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skeleton import JOINTS
from tracker.geometry.skin_tones import MONK_TONES, linear_from_srgb, skin_texture
from tracker.geometry.skinning import RuntimeHand
from tracker.vision.crops import roi_from_landmarks
from tracker.vision.records import Roi
from train.crop_view import CropView, RoiJitter, crop_view
from train.datasets.synthetic_arm import RINGS, ArmTopology
from train.datasets.synthetic_things import Thing, head, held, loose, random_rotation

FRAME_HW: Final = (480, 640)
SKINS: Final = 60
_POSE_NOISE: Final = 0.12
_NEAREST_M: Final = 0.12
_DEPTH_M: Final = (0.3, 1.1)
_FOV_DEG: Final = (45.0, 80.0)
_MIDDLE: Final = JOINTS.index("middle_mcp")
_BLOOD: Final = np.array([1.0, 0.84, 0.74])
_UPRIGHT: Final = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
"""Camera from hand: fingers up, back of the hand to the camera."""


@dataclass(frozen=True)
class SceneChances:
    """How often a picture holds what; the hand itself and its forearm are always there."""

    held: float = 0.28
    """Something in the palm."""
    before: float = 0.12
    """Something between hand and camera."""
    behind: float = 0.12
    """A face behind the hand."""
    second_hand: float = 0.08
    """Another hand, left or right."""
    sleeve: float = 0.4

    def __post_init__(self) -> None:
        for name in ("held", "before", "behind", "second_hand", "sleeve"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a chance from 0 to 1, found {getattr(self, name)}")


class Arm(NamedTuple):
    """A posed hand with its forearm."""

    vertices: Float[np.ndarray, "W 3"]
    joints: Float[np.ndarray, "21 3"]
    orient: Float[np.ndarray, "3 3"]


class Scene(NamedTuple):
    """Surfaces in the frame of the camera that sees the region."""

    arm: Arm
    view: CropView
    roi: Roi
    """The region without jitter; its size measures the hand."""
    vertices: Float[np.ndarray, "W 3"]
    faces: Int[np.ndarray, "F 3"]
    albedo: Float[np.ndarray, "W 3"]


class SceneMaker:
    """Scenes by chance; reads only after it is made, so threads may share it.

    Args:
        arrays: the hand; a right one with pose samples.
        chances: of what surrounds it.
        jitter: between the region the joints ask for and the one that is shown.
        seed: of the skins.
    """

    def __init__(
        self, arrays: HandArrays, chances: SceneChances, jitter: RoiJitter, seed: int
    ) -> None:
        if arrays.side != "right" or len(arrays.hands_coeffs) < 2:
            raise HandModelError(
                f"synthetic hands need a right hand with pose samples (hands_coeffs), found a "
                f"{arrays.side} one with {len(arrays.hands_coeffs)}; use the open hand"
            )
        self.topology = ArmTopology.of_hand(arrays.f, len(arrays.v_template))
        self._hand = RuntimeHand(HandModel.from_arrays(arrays))
        self._arrays, self._chances, self._jitter = arrays, chances, jitter
        self._pose_sd = arrays.hands_coeffs.std(0)
        self._skins = [self._skin(k, np.random.default_rng([seed, 3, k])) for k in range(SKINS)]

    def __call__(self, size_px: int, rng: np.random.Generator) -> Scene:
        """Draw a scene that a picture of `size_px` pixels will show."""
        chances, chance = self._chances, rng.random(5)
        arm, camera = self._placed(rng)
        roi = roi_from_landmarks(camera.project(arm.joints))
        view = crop_view(camera.K, self._jitter(roi, rng), size_px)
        arm = Arm(
            view.points(arm.vertices), view.points(arm.joints), view.crop_from_cam @ arm.orient
        )
        # Blood under the skin, more in some people and on warm days.
        blood = _BLOOD ** (1.6 * rng.random()) * 2 ** rng.normal(-0.05, 0.15)
        skin = self._skins[rng.integers(SKINS)] * blood.astype(np.float32)
        parts = [Thing(arm.vertices, self.topology.faces, self._dressed(skin, chance[4], rng))]
        parts += self._around(arm, view, size_px, chance, rng)
        if chance[3] < chances.second_hand:
            parts.append(self._other_hand(arm, skin, rng))
        return Scene(arm, view, roi, *_joined(parts))

    def _skin(self, k: int, rng: np.random.Generator) -> Float[np.ndarray, "W 3"]:
        tone = 1 + (len(MONK_TONES) - 1) * (k + rng.random()) / SKINS
        texture = linear_from_srgb(skin_texture(self._arrays, tone, rng).astype(np.float64))
        return self.topology.spread(texture).astype(np.float32)

    def _dressed(
        self, skin: Float[np.ndarray, "W 3"], chance: float, rng: np.random.Generator
    ) -> Float[np.ndarray, "W 3"]:
        """Put on a sleeve by chance."""
        if chance >= self._chances.sleeve:
            return skin
        first = int(rng.integers(0, RINGS - 1))
        dressed = skin.copy()
        cloth = rng.uniform(0.05, 0.95, 3) ** 2.2
        dressed[self.topology.hand_vertices + first * len(self.topology.loop) :] = cloth
        return dressed

    def _posed(self, orient: Float[np.ndarray, "3 3"], rng: np.random.Generator) -> Arm:
        """Draw pose, shape and forearm of a hand at the model's own place."""
        arrays = self._arrays
        first, second = arrays.hands_coeffs[rng.integers(len(arrays.hands_coeffs), size=2)]
        share = 0.35 * rng.random() if rng.random() < 0.3 else 0.0
        pose = first + share * (second - first)
        pose = pose + _POSE_NOISE * self._pose_sd * rng.standard_normal(45)
        params = HandParams(
            global_orient=cv2.Rodrigues(orient)[0][:, 0],
            hand_pose=(arrays.hands_mean + pose @ arrays.hands_components).reshape(15, 3),
            betas=np.clip(rng.standard_normal(10), -2.5, 2.5),
            transl=np.zeros(3),
            scale=1.0,
        )
        vertices, joints = self._hand.skin(params)
        bend = np.array([0.2, 0.3, 0.6]) * rng.standard_normal(3)
        arm = self.topology.with_forearm(vertices, orient, np.clip(bend, -1.2, 1.2))
        return Arm(arm, joints, orient)

    def _placed(self, rng: np.random.Generator) -> tuple[Arm, Camera]:
        """Put a hand before a camera, its knuckles somewhere in the picture."""
        arm = self._posed(_orientation(rng), rng)
        camera = Camera.from_fov(FRAME_HW, float(rng.uniform(*_FOV_DEG)))
        depth = _DEPTH_M[0] * (_DEPTH_M[1] / _DEPTH_M[0]) ** rng.random()
        uv = np.array([FRAME_HW[1], FRAME_HW[0]]) * rng.uniform(0.2, 0.8, 2)
        shift = _at_pixel(camera.K, uv, depth) - arm.joints[_MIDDLE]
        # A hand that points at a near camera must not reach through it.
        hand = arm.vertices[: self.topology.hand_vertices]
        shift[2] += max(_NEAREST_M - float(hand[:, 2].min() + shift[2]), 0.0)
        shift = shift.astype(np.float32)
        return Arm(arm.vertices + shift, arm.joints + shift, arm.orient), camera

    def _around(
        self,
        arm: Arm,
        view: CropView,
        size_px: int,
        chance: Float[np.ndarray, " 5"],
        rng: np.random.Generator,
    ) -> list[Thing]:
        """Draw what is held, what stands before the hand and what lies behind it."""
        things: list[Thing] = []
        knuckles = arm.joints[_MIDDLE].astype(np.float64)
        if chance[0] < self._chances.held:
            things.append(held(knuckles, arm.orient, rng))
        if chance[1] < self._chances.before:
            angle, off = rng.uniform(0, 2 * math.pi), rng.uniform(0.22, 0.5)
            uv = size_px * (0.5 + off * np.array([math.cos(angle), math.sin(angle)]))
            depth = float(arm.vertices[: self.topology.hand_vertices, 2].min()) * rng.uniform(
                0.6, 0.9
            )
            half_m = rng.uniform(0.05, 0.14) * size_px * depth / view.K[0, 0]
            things.append(loose(_at_pixel(view.K, uv, depth), half_m, rng))
        if chance[2] < self._chances.behind:
            uv = size_px * rng.uniform(0, 1, 2)
            at = _at_pixel(view.K, uv, float(knuckles[2] + rng.uniform(0.25, 0.6)))
            color = self._skins[rng.integers(SKINS)][self.topology.loop].mean(0)
            things.append(head(at, color, rng))
        return things

    def _other_hand(self, arm: Arm, skin: np.ndarray, rng: np.random.Generator) -> Thing:
        """Draw another hand close by, of the same person."""
        other = self._posed(_orientation(rng), rng)
        aside = rng.standard_normal(3) * [1.0, 1.0, 0.5]
        at = arm.joints[_MIDDLE] + rng.uniform(0.09, 0.17) * aside / np.linalg.norm(aside)
        vertices = other.vertices - other.joints[_MIDDLE]
        faces = self.topology.faces
        if rng.random() < 0.7:  # the left one
            vertices, faces = vertices * np.array([-1, 1, 1], np.float32), faces[:, ::-1]
        return Thing((vertices + at).astype(np.float32), np.ascontiguousarray(faces), skin)


def _at_pixel(
    K: Float[np.ndarray, "3 3"], uv: Float[np.ndarray, " 2"], depth: float
) -> Float[np.ndarray, " 3"]:
    """Return the point seen at a pixel; K is upper triangular."""
    y = (uv[1] - K[1, 2]) / K[1, 1]
    x = (uv[0] - K[0, 2] - K[0, 1] * y) / K[0, 0]
    return np.array([x * depth, y * depth, depth])


def _orientation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Draw a rotation of the hand: mostly upright, seen from all around, sometimes any."""
    if rng.random() < 0.15:
        return random_rotation(rng)
    turns = np.array([0.5, 0, 0.6]) * rng.standard_normal(3)
    pitch, _, roll = (
        cv2.Rodrigues(axis * turn)[0] for axis, turn in zip(np.eye(3), turns, strict=True)
    )
    yaw = cv2.Rodrigues(np.array([0, rng.uniform(-math.pi, math.pi), 0]))[0]
    return roll @ pitch @ yaw @ _UPRIGHT


def _joined(parts: list[Thing]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put surfaces into one list of vertices, faces and colours, in order."""
    if len(parts) == 1:
        return parts[0].vertices, parts[0].faces, parts[0].albedo
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=True)]
    return (
        np.concatenate([part.vertices for part in parts]),
        np.concatenate(faces).astype(np.int32),
        np.concatenate([part.albedo for part in parts]).astype(np.float32),
    )
