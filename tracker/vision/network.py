"""The S2HAND network (Chen et al. 2021): one crop of a right hand in, a textured hand out.

A left hand is shown as its mirror image (`vision.mirroring`). The crop is upright, fingers towards
its top, as `vision.crops` cuts it; its roll belongs to the camera's axes, so K stays triangular.

Two parameterisations share the layers. `NetworkConfig()` is ours: size, place and rotation are
bounded, read in the crop and started from a plausible hand (`network_placement`).
`NetworkConfig.published()` regresses |s|, T in metres and an axis-angle, as published.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tracker.geometry.hand_model import HandMesh, HandModel, PosedHand
from tracker.geometry.hand_params import HandParams
from tracker.geometry.rotations import (
    axis_angle_from_matrix,
    matrix_from_axis_angle,
    matrix_from_rot6d,
)
from tracker.geometry.skeleton import MANO_JOINTS
from tracker.vision.efficientnet import SCALING, EfficientNet, Features
from tracker.vision.mobilenet import MobileNetV4Small
from tracker.vision.network_heads import (
    ROTATION_SIZE,
    SKIN,
    SMALLEST_TAP,
    AppearanceHead,
    GeometryHead,
    MeanAppearance,
    RawAppearance,
    RawGeometry,
    Rotation,
    squash_light,
    squash_texture,
)
from tracker.vision.network_joints import JointHead, SeenJoints
from tracker.vision.network_placement import (
    FACING,
    PAPER_FACING,
    assumed_K,
    hand_size,
    knuckle_in_camera,
    sight,
    transl_about_origin,
    transl_about_wrist,
    turn_to_sight,
)

ENCODERS: Final = (*SCALING, "mobilenetv4_conv_small")
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)

NO_TURN: Final[dict[Rotation, tuple[float, ...]]] = {
    "axis_angle": (0.0, 0.0, 0.0),
    "rot6d": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
}
"""The identity in each form."""

_STRIDE: Final = 32
_MOST_VERTICES: Final = 20_000

Point = tuple[float, float, float]


@dataclass(frozen=True)
class NetworkConfig:
    """What a network is made of; part of its file."""

    encoder: str = "efficientnet_b0"
    """One of `ENCODERS`."""
    input_px: int = 224
    """Side of the crops: a multiple of 32, at least 128."""
    pose_components: int = 30
    """How many principal poses are regressed."""
    vertices: int = 778
    """Vertices of the hand, each with its own colour."""
    texture: bool = True
    """Regress colours and light. Without, every hand has the mean skin in the first light."""
    normalise: bool = True
    """Subtract ImageNet's mean and divide by its deviation; the public code does not."""
    joint_maps: bool = False
    """See the joints in heat maps first and lift them (`network_joints`); not in the paper."""
    rotation: Rotation = "rot6d"
    """How the global rotation is regressed."""
    paper: bool = False
    """Published parameterisation and start instead of ours."""
    wrist_at_rest: Point = (0.087, 0.005, -0.005)
    """Wrist of the mean hand at rest, metres; `for_hand` fills it in."""
    knuckle_at_rest: Point = (0.0, 0.0, 0.0)
    """Middle knuckle of the mean hand at rest, metres; `for_hand` fills it in."""

    def __post_init__(self) -> None:
        if self.encoder not in ENCODERS:
            raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}, found {self.encoder}")
        smallest = 4 * SMALLEST_TAP
        if not smallest <= self.input_px <= 1024 or self.input_px % _STRIDE:
            raise ValueError(
                f"input_px must be a multiple of {_STRIDE} from {smallest} to 1024, found {self.input_px}"
            )
        if not 1 <= self.pose_components <= 45:
            raise ValueError(
                f"pose_components must lie between 1 and 45, found {self.pose_components}"
            )
        if not 1 <= self.vertices <= _MOST_VERTICES:
            raise ValueError(
                f"vertices must lie between 1 and {_MOST_VERTICES}, found {self.vertices}"
            )
        if not all(map(math.isfinite, (*self.wrist_at_rest, *self.knuckle_at_rest))):
            raise ValueError("wrist_at_rest and knuckle_at_rest must be finite")

    @classmethod
    def published(cls) -> "NetworkConfig":
        """Return the paper's network."""
        return cls(rotation="axis_angle", paper=True)

    def for_hand(self, hand: HandModel) -> "NetworkConfig":
        """Return the same network for the sizes of `hand`."""
        joints = (hand.J_regressor @ hand.v_template).tolist()
        wrist, knuckle = (joints[MANO_JOINTS.index(name)] for name in ("wrist", "middle_mcp"))
        return dataclasses.replace(
            self,
            vertices=len(hand.v_template),
            wrist_at_rest=tuple(wrist),
            knuckle_at_rest=tuple(knuckle),
        )

    def to_json(self) -> str:
        """Return the configuration as one JSON object."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "NetworkConfig":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is not a configuration; the message says what is wrong.
        """
        values = json.loads(text)
        if not isinstance(values, Mapping):
            raise ValueError(f"a network's configuration is a JSON object, found {text[:40]!r}")
        known = {field.name: field for field in dataclasses.fields(cls)}
        if strange := sorted(set(values) ^ set(known)):
            raise ValueError(f"a network's configuration lacks or does not know {strange}")
        checked: dict[str, Any] = {k: _checked(k, value) for k, value in values.items()}
        return cls(**checked)


def _checked(name: str, value: object) -> object:
    """Return a JSON value as the field's type, or raise ValueError."""
    example = getattr(NetworkConfig, name)
    if isinstance(example, tuple) and isinstance(value, list):
        parts = [float(part) for part in value if isinstance(part, int | float)]
        if len(parts) == len(value) == len(example):
            return tuple(parts)
    if name == "rotation" and value not in tuple(ROTATION_SIZE):
        raise ValueError(f"rotation must be one of {', '.join(ROTATION_SIZE)}, found {value!r}")
    if type(value) is not type(example):
        raise ValueError(f"{name} must be like {example!r}, found {value!r}")
    return value


class NetworkOutput(NamedTuple):
    """Hands in the camera frame: `vertices = scale * model(...) + transl` (see `tracker.geometry`)."""

    pose: Float[Tensor, "b p"]
    """Coefficients of the hand model's principal poses, on top of its mean pose."""
    betas: Float[Tensor, "b 10"]
    scale: Float[Tensor, " b"]
    global_orient: Float[Tensor, "b 3 3"]
    """Rotation of the whole hand about its wrist joint."""
    transl: Float[Tensor, "b 3"]
    """Metres, added after scaling."""
    texture: Float[Tensor, "b V 3"]
    """Albedo of each vertex in (0, 1); in (-1, 1) where the network is the published one."""
    light: Float[Tensor, "b 11"]
    """Ambient gain, directional gain, ambient RGB (3), directional RGB (3), direction from the
    surface towards the source in the camera frame (3); the direction has length one unless the
    network is the published one."""
    seen: SeenJoints | None = None
    """Where the network sees the joints in the picture, if it has maps for them."""


class RawOutput(NamedTuple):
    """What the layers say, before closed forms make it a hand in the camera frame."""

    geometry: RawGeometry
    appearance: RawAppearance
    seen: SeenJoints | None = None


class S2HandNetwork(nn.Module):
    """EfficientNet encoder with a geometry and an appearance head.

    >>> network = S2HandNetwork(NetworkConfig().for_hand(hand)).eval()
    >>> mesh = decode(network(rgb, K), hand)
    """

    _mean: Tensor
    _std: Tensor
    _rest: Tensor
    _facing: Tensor
    _no_turn: Tensor
    _skin: Tensor
    _assumed_K: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        small = config.encoder == "mobilenetv4_conv_small"
        self.encoder = MobileNetV4Small() if small else EfficientNet(config.encoder)
        self.joints = JointHead(self.encoder.pyramid_channels) if config.joint_maps else None
        self.geometry = GeometryHead(
            self.encoder.feature_channels + (self.joints.outputs if self.joints else 0),
            config.pose_components,
            config.rotation,
            paper=config.paper,
        )
        taps = self.encoder.tap_channels
        self.appearance = (
            AppearanceHead(taps, config.vertices, paper=config.paper)
            if config.texture
            else MeanAppearance(config.vertices)
        )
        constants = {
            "_mean": torch.tensor(IMAGENET_MEAN)[:, None, None],
            "_std": torch.tensor(IMAGENET_STD)[:, None, None],
            "_rest": torch.tensor([config.wrist_at_rest, config.knuckle_at_rest]),
            "_facing": torch.tensor(PAPER_FACING if config.paper else FACING),
            "_no_turn": torch.tensor(NO_TURN[config.rotation]),
            "_skin": torch.tensor(SKIN),
            "_assumed_K": assumed_K(config.input_px),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def forward(
        self, rgb: Float[Tensor, "b 3 h w"], K: Float[Tensor, "b 3 3"] | None = None
    ) -> NetworkOutput:
        """Reconstruct the right hand in each crop.

        Args:
            rgb: upright crops in [0, 1], `config.input_px` on each side.
            K: each crop's intrinsics in its own pixels, upper triangular. It does not enter the
                network, only the closed form from the crop to metres (and nothing at all in the
                published parameterisation). Without it a field of view is assumed, and the depth
                is only as good as that guess.
        """
        return self.placed(self.look(rgb), K)

    def look(self, rgb: Float[Tensor, "b 3 h w"]) -> RawOutput:
        """Return what the layers say of each crop: all of `forward` that is heavy.

        Layers may be stored in half precision, each head in its own: pictures and features follow.
        """
        side = self.config.input_px
        if tuple(rgb.shape[-2:]) != (side, side):
            found = tuple(rgb.shape[-2:])
            raise ValueError(f"the network takes crops of {side} x {side} pixels, found {found}")
        x = (rgb - self._mean) / self._std if self.config.normalise else rgb
        maps: Features = self.encoder(x.to(_stored(self.encoder)))
        features, seen = maps.final.mean((2, 3)), None
        if self.joints is not None:
            seen, described = self.joints(maps.eighth, maps.sixteenth, maps.final)
            features = torch.cat([features, described.to(features)], 1)
        raw = self.geometry(features.to(_stored(self.geometry)))
        return RawOutput(raw, self.appearance(maps.tap), seen)

    def placed(self, raw: RawOutput, K: Float[Tensor, "b 3 3"] | None = None) -> NetworkOutput:
        """Return hands in the camera frame from what the layers say: the closed forms, never in half."""
        geometry = RawGeometry(*(_not_half(part) for part in raw.geometry))
        with _full_precision(geometry.pose.device):
            scale, orient, transl = self._placed(geometry, K)
        paper = self.config.paper
        return NetworkOutput(
            geometry.pose,
            geometry.betas,
            scale,
            orient,
            transl,
            squash_texture(_not_half(raw.appearance.texture), self._skin, paper=paper),
            squash_light(_not_half(raw.appearance.light), paper=paper),
            raw.seen,
        )

    def _placed(self, raw: RawGeometry, K: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return scale, global rotation and translation in the camera frame."""
        rotation, size = self._no_turn + raw.rotation, raw.scale[:, 0]
        six = self.config.rotation == "rot6d"
        turn = matrix_from_rot6d(rotation) if six else matrix_from_axis_angle(rotation)
        if self.config.paper:
            scale, orient = size.abs(), turn @ self._facing
            return scale, orient, transl_about_origin(raw.transl, scale, turn, self._rest[0])
        seen = self._assumed_K.expand(turn.shape) if K is None else K.to(size)
        scale, side = hand_size(size), self.config.input_px
        # What a crop shows is seen along its own line of sight, not along the camera's axis.
        middle = raw.transl.new_full((turn.shape[0], 2), side / 2)
        orient = turn_to_sight(sight(middle, seen)) @ turn @ self._facing
        knuckle = knuckle_in_camera(raw.transl, scale, seen, side)
        return scale, orient, transl_about_wrist(knuckle, scale, orient, self._rest)


def _not_half(tensor: Tensor) -> Tensor:
    """Return the tensor in single precision, or in double if it has it."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _stored(layers: nn.Module) -> torch.dtype:
    """Return the precision in which the layers are kept."""
    return next(layers.parameters()).dtype


def _full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context without autocast, whose half precision is too coarse for places and turns."""
    # Only where autocast is on, so that an exported program holds no trace of it.
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def decode(output: NetworkOutput, hand: HandModel) -> HandMesh:
    """Return the surface and joints (m, camera frame) of what the network says.

    The hand turns about its wrist joint, as everywhere in Handloom. The paper turns it about the
    model's origin; its translation was changed to match when the network placed the hand.

    Raises:
        ValueError: the hand is a left one. Mirror the crop on the way in and the mesh on the way
            out, or give the hand as a right one.
    """
    if hand.side != "right":
        raise ValueError("the network knows right hands only; found a left hand model, mirror it")
    fingers = matrix_from_axis_angle(hand.pose_from_pca(output.pose))
    rotations = torch.cat([output.global_orient[:, None], fingers], 1)
    shaped = hand.with_shape(output.betas)
    return PosedHand(shaped, rotations, output.transl, output.scale).skin()


def hand_params(output: NetworkOutput, hand: HandModel) -> list[HandParams]:
    """Return each hand's parameters as plain numpy, float64, as the tracker carries them."""
    pose = hand.pose_from_pca(output.pose)
    orient = axis_angle_from_matrix(output.global_orient)
    parts = (orient, pose, output.betas, output.transl, output.scale)
    columns = (part.detach().cpu().double().numpy() for part in parts)
    return [HandParams(*row[:4], scale=float(row[4])) for row in zip(*columns, strict=True)]
