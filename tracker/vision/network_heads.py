"""The two heads of the network: hand geometry from the whole picture, colours and light from a tap.

Layers and sizes are those of Chen et al. 2021 (S2HAND) and their public code. The last layers start
small, so that training begins with the same plausible hand in every picture.
"""

from itertools import pairwise
from typing import Final, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

BETAS: Final = 10
LIGHT: Final = 11
TRANSL: Final = 3
SMALL: Final = 1e-3
"""Standard deviation of weights that start small (public code)."""
SKIN: Final = (200 / 256, 150 / 256, 150 / 256)
"""Mean skin colour that the texture head adds to (public code)."""
SMALLEST_TAP: Final = 32
"""Side of the smallest feature map that the appearance head can take, pixels."""

Rotation = Literal["axis_angle", "rot6d"]
ROTATION_SIZE: Final[dict[Rotation, int]] = {"axis_angle": 3, "rot6d": 6}

_FIRST_LIGHT: Final = (0.85, 0.3, 1, 1, 1, 1, 1, 1, -0.45, -0.55, -0.7)
"""Gains, colours and direction at the start: about 1 on a surface that faces the camera, and enough
direct light for its direction to have a gradient."""
_PAPER_SCALE: Final = 0.95
_PAPER_TRANSL: Final = (0.0, 0.0, 0.65)


class RawGeometry(NamedTuple):
    """What the geometry head says, before it is made a hand in the camera frame."""

    pose: Float[Tensor, "b p"]
    betas: Float[Tensor, "b 10"]
    scale: Float[Tensor, "b 1"]
    rotation: Float[Tensor, "b r"]
    """Change from the first rotation; zero is none in either form."""
    transl: Float[Tensor, "b 3"]


class RawAppearance(NamedTuple):
    """What the appearance head says, before it is squashed."""

    texture: Float[Tensor, "b V 3"]
    """Difference from the mean skin."""
    light: Float[Tensor, "b 11"]


def regressor(*sizes: int) -> nn.Sequential:
    """Return linear layers of these sizes with a ReLU behind the first one."""
    first, *others = (nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes))
    return nn.Sequential(first, nn.ReLU(), *others)


def start_small(layers: nn.Sequential, *, every_layer: bool = False) -> nn.Linear:
    """Give the last linear layer (or all) tiny weights and no bias; return the last one."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for layer in linear if every_layer else linear[-1:]:
        nn.init.normal_(layer.weight, 0, SMALL)
        nn.init.zeros_(layer.bias)
    return linear[-1]


class GeometryHead(nn.Module):
    """One trunk and five regressors: pose, shape, scale, rotation, translation."""

    def __init__(self, channels: int, pose_components: int, rotation: Rotation, *, paper: bool):
        super().__init__()
        self.trunk = nn.Sequential(
            *(nn.Linear(channels, 1024), nn.BatchNorm1d(1024), nn.ReLU()),
            *(nn.Linear(1024, 512), nn.BatchNorm1d(512), nn.ReLU()),
        )
        self.pose = regressor(512, 128, pose_components)
        self.betas = regressor(512, 128, BETAS)
        self.scale = regressor(512, 128, 32, 1)
        self.rotation = regressor(512, 128, 32, ROTATION_SIZE[rotation])
        self.transl = regressor(512, 128, 32, TRANSL)
        if paper:
            self._start_as_published()
        else:
            for layers in (self.pose, self.betas, self.scale, self.rotation, self.transl):
                start_small(layers)

    def _start_as_published(self) -> None:
        nn.init.constant_(start_small(self.scale, every_layer=True).bias, _PAPER_SCALE)
        last = start_small(self.transl, every_layer=True)
        last.bias.data.copy_(torch.tensor(_PAPER_TRANSL))

    def forward(self, features: Float[Tensor, "b C"]) -> RawGeometry:
        """Regress everything from the pooled features."""
        x = self.trunk(features)
        heads = (self.pose, self.betas, self.scale, self.rotation, self.transl)
        return RawGeometry(*(head(x) for head in heads))


class AppearanceHead(nn.Module):
    """Vertex colours and light, from an early feature map."""

    def __init__(self, channels: int, vertices: int, *, paper: bool) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(nn.Conv2d(channels, 48, 10, 4, 1), nn.ReLU(), nn.MaxPool2d(3, 2)),
            # For the paper's 56 pixels the adaptive pooling is its 2x2 one; smaller maps fit too.
            *(nn.Conv2d(48, 64, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten()),
        )
        self.texture = regressor(256, 64, 3 * vertices)
        self.light = regressor(256, 64, LIGHT)
        start_small(self.texture, every_layer=paper)
        last = start_small(self.light, every_layer=paper)
        if paper:
            nn.init.normal_(last.weight, 1, SMALL)
        else:
            last.bias.data.copy_(raw_light(torch.tensor(_FIRST_LIGHT)))

    def forward(self, tap: Float[Tensor, "b c h w"]) -> RawAppearance:
        """Regress colours and light."""
        x = self.trunk(tap)
        return RawAppearance(self.texture(x).unflatten(-1, (-1, 3)), self.light(x))


class MeanAppearance(nn.Module):
    """Stands in for the appearance head of a network without one: mean skin in the first light."""

    _light: Tensor

    def __init__(self, vertices: int) -> None:
        super().__init__()
        self._vertices = vertices
        light = raw_light(torch.tensor(_FIRST_LIGHT))
        self.register_buffer("_light", light, persistent=False)

    def forward(self, tap: Float[Tensor, "b c h w"]) -> RawAppearance:
        """Return the same for every picture."""
        light = self._light.expand(tap.shape[0], -1)
        return RawAppearance(tap.new_zeros(tap.shape[0], self._vertices, 3), light)


def squash_texture(
    raw: Float[Tensor, "b V 3"], skin: Float[Tensor, " 3"], *, paper: bool
) -> Float[Tensor, "b V 3"]:
    """Return albedo from the difference to the mean `skin`.

    Ours is a sigmoid around the mean skin: it starts as that very colour and stays in (0, 1). The
    published tanh(skin + raw) starts darker, at (0.65, 0.53, 0.53), and can be negative.
    """
    return torch.tanh(skin + raw) if paper else torch.sigmoid(torch.logit(skin) + raw)


def squash_light(raw: Float[Tensor, "b 11"], *, paper: bool) -> Float[Tensor, "b 11"]:
    """Return the light from raw numbers: gains and colours positive, direction of length one.

    The published network has no activation here; `paper` leaves the numbers as they are.
    """
    if paper:
        return raw
    gains = nn.functional.softplus(raw[..., :8])
    return torch.cat([gains, nn.functional.normalize(raw[..., 8:], dim=-1)], -1)


def raw_light(light: Float[Tensor, " 11"]) -> Float[Tensor, " 11"]:
    """Return raw numbers that `squash_light` makes this light, its direction's length aside."""
    return torch.cat([light[:8].expm1().log(), light[8:]])
