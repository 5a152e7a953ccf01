"""Joints that the network sees in its own feature maps, before it makes a hand of them.

Beyond the paper, whose geometry head gets the pooled features alone: from scratch it needs many
epochs to tell where anything is. Here a small pyramid turns the encoder's maps at 1/8, 1/16 and 1/32
into a heat map for each joint (1/8 of the crop's size). The expectation over a map is the joint's
place (Sun et al. 2018, integral regression), the sum of its squares how sure it is, and what the
pyramid holds there describes it. All three go to the geometry head, whose task is then the small
one of lifting 21 points into space.
"""

from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tracker.geometry.skeleton import JOINTS

WIDTH: Final = 64
"""Channels of the pyramid."""
_WORDS: Final = 16
"""Numbers that describe what is seen at a joint."""
_PLACE_GAIN: Final = 4.0
"""Brings places, 0.2 around the middle of the crop, to about deviation one."""


class SeenJoints(NamedTuple):
    """Where the network sees the joints."""

    heat: Float[Tensor, "b 21 h w"]
    """Logarithm of each map, up to a constant; 1/8 of the crop's size."""
    place: Float[Tensor, "b 21 2"]
    """Expectation over the map: x and y in shares of the crop's side, (0, 0) its top-left corner."""
    sureness: Float[Tensor, "b 21"]
    """Sum of the squared map: 1 where it is one point, 1 / (h w) where it is even."""


class JointHead(nn.Module):
    """Feature pyramid, heat maps, and what they tell the geometry head.

    Args:
        channels: of the encoder's maps at 1/8, 1/16 and 1/32.
    """

    outputs: Final = len(JOINTS) * (2 + 1 + _WORDS)
    """How many numbers a hand is described with."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(inputs, WIDTH, 1) for inputs in channels)
        self.mix = nn.Sequential(*_mixed(), *_mixed())
        self.heat = nn.Conv2d(WIDTH, len(JOINTS), 1)
        nn.init.normal_(self.heat.weight, 0, 0.01)
        self.words = nn.Linear(WIDTH, _WORDS)

    def forward(
        self,
        eighth: Float[Tensor, "b c8 h w"],
        sixteenth: Float[Tensor, "b c16 h2 w2"],
        last: Float[Tensor, "b c32 h4 w4"],
    ) -> tuple[SeenJoints, Float[Tensor, "b n"]]:
        """Return the joints and the description of the hand (`outputs` numbers)."""
        fine, middle, coarse = (
            layer(x) for layer, x in zip(self.lateral, (eighth, sixteenth, last), strict=True)
        )
        pyramid = self.mix(fine + _twice(middle + _twice(coarse)))
        heat = self.heat(pyramid)
        heat = heat if heat.dtype == torch.float64 else heat.float()
        share = heat.flatten(2).softmax(-1)
        seen = SeenJoints(heat, _expected(share.view_as(heat)), share.square().sum(-1))
        found = torch.einsum("bjp,bcp->bjc", share.to(pyramid.dtype), pyramid.flatten(2))
        parts = (
            _PLACE_GAIN * (seen.place - 0.5).flatten(1),
            seen.sureness.detach(),
            self.words(found).flatten(1),
        )
        return seen, torch.cat(parts, 1)


def _mixed() -> tuple[nn.Module, ...]:
    return nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()


def _twice(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _expected(share: Float[Tensor, "b j h w"]) -> Float[Tensor, "b j 2"]:
    """Return the mean place of each map, in shares of its sides; cells count at their middles."""
    height, width = share.shape[-2:]
    x = (torch.arange(width, device=share.device, dtype=share.dtype) + 0.5) / width
    y = (torch.arange(height, device=share.device, dtype=share.dtype) + 0.5) / height
    return torch.stack([(share.sum(2) * x).sum(-1), (share.sum(3) * y).sum(-1)], -1)
