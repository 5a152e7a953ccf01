"""MobileNetV4-Conv-S (Qin et al. 2024) as an image encoder, with timm's parameter names.

A processor trains it three times as fast as EfficientNet-b0: no squeeze and excitation, ReLU
instead of SiLU, and plain convolutions where the picture is large. ImageNet weights of timm's
`mobilenetv4_conv_small` load as they are.
"""

from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from tracker.vision.efficientnet import Encoder, Features, conv, start_convolutions


class UibSpec(NamedTuple):
    """One universal inverted bottleneck; a kernel of 0 leaves its depthwise convolution out."""

    start: int
    middle: int
    stride: int
    expand: int
    channels: int


_STEM: Final = 32
_EARLY: Final = (((3, 2, 32), (1, 1, 32)), ((3, 2, 96), (1, 1, 64)))
"""Plain convolutions of the first two stages: kernel, stride, channels (table 11 of the paper)."""
_UIB_STAGES: Final = (
    (
        UibSpec(5, 5, 2, 3, 96),
        *(UibSpec(0, 3, 1, 2, 96),) * 4,
        UibSpec(3, 0, 1, 4, 96),
    ),
    (
        UibSpec(3, 3, 2, 6, 128),
        UibSpec(5, 5, 1, 4, 128),
        UibSpec(0, 5, 1, 4, 128),
        UibSpec(0, 5, 1, 3, 128),
        *(UibSpec(0, 3, 1, 4, 128),) * 2,
    ),
)
_LAST: Final = 960
TAP_STAGE: Final = 0
"""The last stage at a quarter of the picture's size."""
PYRAMID_STAGES: Final = (1, 2)
"""The last stages at an eighth and a sixteenth."""


class ConvBn(nn.Module):
    """Convolution, batch norm, and ReLU where wanted, named as in timm's plain blocks (`bn1`)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs, kernel, stride)
        self.bn1 = nn.BatchNorm2d(outputs)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        """Return non-negative features."""
        return self.bn1(self.conv(x)).relu()


class ConvNorm(nn.Module):
    """Convolution, batch norm, and ReLU where wanted, named as inside timm's bottlenecks (`bn`)."""

    def __init__(self, layer: nn.Conv2d, *, activate: bool = False) -> None:
        super().__init__()
        self.conv = layer
        self.bn = nn.BatchNorm2d(layer.out_channels)
        self._activate = activate

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        """Return normalised features."""
        y = self.bn(self.conv(x))
        return y.relu() if self._activate else y


class UniversalInvertedBottleneck(nn.Module):
    """Depthwise (optional), expand, depthwise (optional), project."""

    def __init__(self, inputs: int, spec: UibSpec) -> None:
        super().__init__()
        inner = inputs * spec.expand
        self.dw_start, self.dw_mid = nn.Identity(), nn.Identity()
        if spec.start:
            stride = 1 if spec.middle else spec.stride
            self.dw_start = ConvNorm(conv(inputs, inputs, spec.start, stride, inputs))
        self.pw_exp = ConvNorm(conv(inputs, inner), activate=True)
        if spec.middle:
            middle = conv(inner, inner, spec.middle, spec.stride, inner)
            self.dw_mid = ConvNorm(middle, activate=True)
        self.pw_proj = ConvNorm(conv(inner, spec.channels))
        self._residual = spec.stride == 1 and inputs == spec.channels

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d H W"]:
        """Return the block's output, plus its input where the sizes are the same."""
        y = self.pw_proj(self.dw_mid(self.pw_exp(self.dw_start(x))))
        return x + y if self._residual else y


class MobileNetV4Small(Encoder):
    """MobileNetV4-Conv-S up to its last feature map: pictures to features."""

    foreign_keys: ClassVar[tuple[str, ...]] = ("conv_head.", "norm_head.", "classifier.")
    """Beginnings of timm's parameter names that an encoder has no use for."""

    def __init__(self) -> None:
        super().__init__()
        self.tap_channels = _EARLY[TAP_STAGE][-1][-1]
        self.feature_channels = _LAST
        self.pyramid_channels = (_EARLY[-1][-1][-1], _UIB_STAGES[0][-1].channels, _LAST)
        self.conv_stem = conv(3, _STEM, 3, 2)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.blocks = nn.ModuleList(_stages(_STEM))
        start_convolutions(self)

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> Features:
        """Return the features of pictures that are normalised as in the encoder's training."""
        x = self.bn1(self.conv_stem(rgb)).relu()
        maps: list[Tensor] = []
        for stage in self.blocks:
            x = stage(x)
            maps.append(x)
        return Features(x, *(maps[k] for k in (TAP_STAGE, *PYRAMID_STAGES)))


def _stages(inputs: int) -> Iterator[nn.Sequential]:
    for stage in _EARLY:
        blocks: list[nn.Module] = []
        for kernel, stride, outputs in stage:
            blocks.append(ConvBn(inputs, outputs, kernel, stride))
            inputs = outputs
        yield nn.Sequential(*blocks)
    for specs in _UIB_STAGES:
        blocks = []
        for spec in specs:
            blocks.append(UniversalInvertedBottleneck(inputs, spec))
            inputs = spec.channels
        yield nn.Sequential(*blocks)
    yield nn.Sequential(ConvBn(inputs, _LAST, 1, 1))
