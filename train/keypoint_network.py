"""The 2D branch: a stacked hourglass (Newell et al. 2016) with integral regression (Sun et al. 2018).

It only exists in training, where its joints keep those of the 3D branch in place (E_2d, E_con).
Layers follow the public code of Chen et al. 2021: a stem to a quarter of the size, two hourglasses
of depth 4, pre-activation bottlenecks; heat maps are enlarged to the input's size before their
softmax, because that sets how sharp an expectation over them can be.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tracker.geometry.skeleton import JOINTS

_STRIDE: Final = 4
_MEAN: Final = 0.5


@dataclass(frozen=True)
class KeypointConfig:
    """Size of the 2D branch; the default is the published one, 12.6 million parameters."""

    features: int = 256
    """Channels inside the hourglasses: a multiple of 4."""
    stacks: int = 2
    depth: int = 4
    """How often an hourglass halves its map."""
    blocks: int = 2
    """Residual blocks on each level."""

    def __post_init__(self) -> None:
        if self.features < 4 or self.features % 4:
            raise ValueError(f"features must be a multiple of 4, found {self.features}")
        for name in ("stacks", "depth", "blocks"):
            if not 1 <= getattr(self, name) <= 8:
                raise ValueError(f"{name} must lie between 1 and 8, found {getattr(self, name)}")


class Bottleneck(nn.Module):
    """Pre-activation residual block: 1x1, 3x3, 1x1, each behind a batch norm and a ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = outputs // 2
        layers = (
            nn.Conv2d(inputs, inner, 1),
            nn.Conv2d(inner, inner, 3, padding=1),
            nn.Conv2d(inner, outputs, 1),
        )
        self.body = nn.Sequential(
            *(
                part
                for layer in layers
                for part in (nn.BatchNorm2d(layer.in_channels), nn.ReLU(), layer)
            )
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Return the block's output plus its input."""
        return self.skip(x) + self.body(x)


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Bottleneck(channels, channels) for _ in range(count)))


class Hourglass(nn.Module):
    """Halve, think, double, and add what was seen at full size; `depth` times over."""

    def __init__(self, channels: int, depth: int, blocks: int) -> None:
        super().__init__()
        self.aside = _blocks(channels, blocks)
        self.down = _blocks(channels, blocks)
        self.inner = (
            Hourglass(channels, depth - 1, blocks) if depth > 1 else _blocks(channels, blocks)
        )
        self.up = _blocks(channels, blocks)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return features of the same size."""
        low = self.up(self.inner(self.down(nn.functional.max_pool2d(x, 2))))
        return self.aside(x) + nn.functional.interpolate(low, scale_factor=2.0, mode="nearest")


class KeypointNetwork(nn.Module):
    """Crops of right hands to joints in the crop, one estimate from each stack.

    >>> uv = KeypointNetwork()(torch.rand(8, 3, 224, 224))  # (2, 8, 21, 2), pixels
    """

    def __init__(self, config: KeypointConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or KeypointConfig()
        wide, stacks = config.features, range(config.stacks)
        self.stem = nn.Sequential(
            *(nn.Conv2d(3, wide // 4, 7, 2, 3), nn.BatchNorm2d(wide // 4), nn.ReLU()),
            *(Bottleneck(wide // 4, wide // 2), nn.MaxPool2d(2)),
            *(Bottleneck(wide // 2, wide // 2), Bottleneck(wide // 2, wide)),
        )
        self.hourglasses = nn.ModuleList(
            Hourglass(wide, config.depth, config.blocks) for _ in stacks
        )
        self.features = nn.ModuleList(
            nn.Sequential(
                *(_blocks(wide, config.blocks), nn.Conv2d(wide, wide, 1)),
                *(nn.BatchNorm2d(wide), nn.ReLU()),
            )
            for _ in stacks
        )
        self.scores = nn.ModuleList(nn.Conv2d(wide, len(JOINTS), 1) for _ in stacks)
        self.from_features = nn.ModuleList(nn.Conv2d(wide, wide, 1) for _ in stacks[1:])
        self.from_scores = nn.ModuleList(nn.Conv2d(len(JOINTS), wide, 1) for _ in stacks[1:])

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "s b 21 2"]:
        """Return every stack's joints in pixels of the crop; the last stack is the best.

        Args:
            rgb: crops in [0, 1], of any size. They are padded at the right and at the bottom, so
                that pixels keep their coordinates.
        """
        step = _STRIDE * 2**self.config.depth
        height, width = rgb.shape[-2:]
        padded = nn.functional.pad(rgb, (0, -width % step, 0, -height % step))
        x = self.stem(padded - _MEAN)
        found: list[Tensor] = []
        for stack, hourglass in enumerate(self.hourglasses):
            seen = self.features[stack](hourglass(x))
            scores = self.scores[stack](seen)
            found.append(expected_uv(scores, _STRIDE))
            if stack + 1 < self.config.stacks:
                x = x + self.from_features[stack](seen) + self.from_scores[stack](scores)
        return torch.stack(found)


def expected_uv(scores: Float[Tensor, "b j h w"], stride: int) -> Float[Tensor, "b j 2"]:
    """Return the mean pixel under softmax(scores), enlarged `stride` times (integral regression).

    A pixel counts as its centre, so equal scores give the middle of the picture.
    """
    height, width = (stride * side for side in scores.shape[-2:])
    precise = scores.to(torch.promote_types(scores.dtype, torch.float32))
    # The public code aligns the corners: map and picture share the centres of their outer pixels.
    large = nn.functional.interpolate(
        precise, size=(height, width), mode="bilinear", align_corners=True
    )
    heat = large.flatten(2).softmax(-1).unflatten(-1, (height, width))
    return torch.stack([_mean_place(heat.sum(-2)), _mean_place(heat.sum(-1))], -1)


def _mean_place(share: Float[Tensor, "b j n"]) -> Float[Tensor, "b j"]:
    """Return the mean of pixel centres; no product of matrices, which autocast would round."""
    centres = torch.arange(share.shape[-1], dtype=share.dtype, device=share.device) + 0.5
    return (share * centres).sum(-1)
