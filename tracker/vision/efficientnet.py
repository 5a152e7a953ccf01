"""EfficientNet (Tan and Le 2019) as an image encoder, with timm's parameter names.

ImageNet weights of timm's `efficientnet_b0`, `efficientnet_b3` and `efficientnet_lite0` therefore
load as they are. Those of its `tf_` models fit too, but were trained with another padding and
batch-norm epsilon. So do those under the names of the package efficientnet_pytorch, which the
authors' code uses (`timm_names`).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from tracker.vision.depthwise import DepthwiseConv2d


class Features(NamedTuple):
    """What an encoder sees in a picture."""

    final: Float[Tensor, "b C h w"]
    """The last feature map, 1/32 of the picture's size."""
    tap: Float[Tensor, "b c H W"]
    """An early feature map, 1/4 of the picture's size: colours and edges, where they are."""
    eighth: Float[Tensor, "b c8 h8 w8"]
    """The last map at 1/8."""
    sixteenth: Float[Tensor, "b c16 h16 w16"]
    """The last map at 1/16."""


@dataclass(frozen=True)
class Stage:
    """A row of equal blocks; the first one strides and widens."""

    expand: int
    """Factor from the block's input to its inner channels."""
    channels: int
    repeats: int
    stride: int
    kernel: int


B0_STAGES: Final = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)
"""Table 1 of the paper."""
SCALING: Final = {
    "efficientnet_b0": (1.0, 1.0),
    "efficientnet_b3": (1.2, 1.4),
    "efficientnet_lite0": (1.0, 1.0),
}
"""Width and depth factor of each member of the family.

The lite one has no squeeze and excitation, and ReLU6 instead of SiLU: it is b0 for processors.
"""
TAP_STAGE: Final = 1
"""The last stage at a quarter of the picture's size."""
PYRAMID_STAGES: Final = (2, 4)
"""The last stages at an eighth and a sixteenth."""

_STEM, _HEAD, _SQUEEZE = 32, 1280, 4


def round_channels(channels: float) -> int:
    """Return the nearest multiple of 8, but never less than 90 % of `channels`."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size, up to its stride."""
    kind = DepthwiseConv2d if groups == inputs == outputs else nn.Conv2d
    return kind(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def start_convolutions(module: nn.Module) -> None:
    """Draw every convolution's weights from N(0, 2 / fan-out), biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, 0, math.sqrt(2 / fan_out))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Encoder(nn.Module):
    """What all encoders have: a stem, stages, and a beginning that may be kept as it is."""

    conv_stem: nn.Module
    bn1: nn.Module
    blocks: nn.ModuleList
    _frozen_stages: int = 0

    def freeze(self, stages: int) -> None:
        """Keep the stem and the first stages, and their normalisation, as they are; 0 keeps none.

        Edges and colours are the same on hands as on ImageNet, and most of the work of training
        lies in these large maps.
        """
        self._frozen_stages = stages
        for module in self._frozen():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Encoder":
        """Set the mode of everything that is not frozen."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        if not self._frozen_stages:
            return []
        return [self.conv_stem, self.bn1, *self.blocks[: self._frozen_stages]]


class SqueezeExcite(nn.Module):
    """Scale every channel by what the whole picture says of it."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, squeezed, 1)
        self.conv_expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return `x` with its channels scaled by factors in (0, 1)."""
        mean = x.mean((2, 3), keepdim=True)
        gate = self.conv_expand(nn.functional.silu(self.conv_reduce(mean)))
        return x * gate.sigmoid()


class DepthwiseSeparable(nn.Module):
    """The block of the first stage, which does not expand."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, *, lite: bool = False
    ) -> None:
        super().__init__()
        self.conv_dw = conv(inputs, inputs, kernel, stride, groups=inputs)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.act = nn.ReLU6() if lite else nn.SiLU()
        self.se = nn.Identity() if lite else SqueezeExcite(inputs, inputs // _SQUEEZE)
        self.conv_pw = conv(inputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self._residual = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        """Filter each channel, then mix them."""
        y = self.se(self.act(self.bn1(self.conv_dw(x))))
        y = self.bn2(self.conv_pw(y))
        return x + y if self._residual else y


class InvertedResidual(nn.Module):
    """Expand, filter each channel, squeeze and excite, project (MBConv)."""

    def __init__(
        self, inputs: int, outputs: int, stage: Stage, stride: int, *, lite: bool = False
    ) -> None:
        super().__init__()
        inner = inputs * stage.expand
        self.conv_pw = conv(inputs, inner)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv_dw = conv(inner, inner, stage.kernel, stride, groups=inner)
        self.bn2 = nn.BatchNorm2d(inner)
        self.act = nn.ReLU6() if lite else nn.SiLU()
        self.se = nn.Identity() if lite else SqueezeExcite(inner, inputs // _SQUEEZE)
        self.conv_pwl = conv(inner, outputs)
        self.bn3 = nn.BatchNorm2d(outputs)
        self._residual = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        """Return the block's output, plus its input where the sizes are the same."""
        y = self.act(self.bn1(self.conv_pw(x)))
        y = self.se(self.act(self.bn2(self.conv_dw(y))))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self._residual else y


class EfficientNet(Encoder):
    """EfficientNet without its classifier: pictures to features.

    >>> encoder = EfficientNet("efficientnet_b0")
    >>> final, tap = encoder(torch.zeros(2, 3, 224, 224))  # (2, 1280, 7, 7) and (2, 24, 56, 56)
    """

    foreign_keys: ClassVar[tuple[str, ...]] = ("classifier.",)
    """Beginnings of timm's parameter names that an encoder has no use for."""

    def __init__(self, name: str = "efficientnet_b0") -> None:
        super().__init__()
        width, depth = SCALING[name]
        lite = name == "efficientnet_lite0"
        stem = round_channels(_STEM * width)
        self.tap_channels = round_channels(B0_STAGES[TAP_STAGE].channels * width)
        self.feature_channels = round_channels(_HEAD * width)
        eighth, sixteenth = (round_channels(B0_STAGES[k].channels * width) for k in PYRAMID_STAGES)
        self.pyramid_channels = (eighth, sixteenth, self.feature_channels)
        self.conv_stem = conv(3, stem, 3, 2)
        self.bn1 = nn.BatchNorm2d(stem)
        self.act = nn.ReLU6() if lite else nn.SiLU()
        self.blocks = nn.ModuleList(_stages(stem, width, depth, lite=lite))
        self.conv_head = conv(round_channels(B0_STAGES[-1].channels * width), self.feature_channels)
        self.bn2 = nn.BatchNorm2d(self.feature_channels)
        start_convolutions(self)

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> Features:
        """Return the features of pictures that are normalised as in the encoder's training."""
        x = self.act(self.bn1(self.conv_stem(rgb)))
        maps: list[Tensor] = []
        for stage in self.blocks:
            x = stage(x)
            maps.append(x)
        final = self.act(self.bn2(self.conv_head(x)))
        return Features(final, *(maps[k] for k in (TAP_STAGE, *PYRAMID_STAGES)))


_OUTSIDE: Final = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
}
_FIRST_BLOCK: Final = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
}
_OTHER_BLOCKS: Final = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
}


def timm_names(encoder: EfficientNet, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with efficientnet_pytorch's names under timm's; others as they are."""
    if "_conv_stem.weight" not in found:
        return dict(found)
    sizes = [len(stage) for stage in encoder.blocks if isinstance(stage, nn.Sequential)]
    places = [(stage, index) for stage, size in enumerate(sizes) for index in range(size)]
    named: dict[str, Tensor] = {}
    for name, value in found.items():
        head, _, rest = name.partition(".")
        if head == "_blocks":
            number, layer, parameter = rest.split(".", 2)
            stage, index = places[int(number)]
            own = _OTHER_BLOCKS if stage else _FIRST_BLOCK
            named[f"blocks.{stage}.{index}.{own[layer]}.{parameter}"] = value
        elif head in _OUTSIDE:
            named[f"{_OUTSIDE[head]}.{rest}"] = value
    return named


def _stages(inputs: int, width: float, depth: float, *, lite: bool) -> Iterator[nn.Sequential]:
    for stage in B0_STAGES:
        outputs = round_channels(stage.channels * width)
        blocks: list[nn.Module] = []
        for index in range(math.ceil(stage.repeats * depth)):
            stride = stage.stride if index == 0 else 1
            if stage.expand == 1:
                blocks.append(DepthwiseSeparable(inputs, outputs, stage.kernel, stride, lite=lite))
            else:
                blocks.append(InvertedResidual(inputs, outputs, stage, stride, lite=lite))
            inputs = outputs
        yield nn.Sequential(*blocks)
