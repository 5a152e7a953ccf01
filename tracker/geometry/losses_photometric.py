"""What the network is asked for in pixels: a render that looks like the picture (S2HAND, 3.3).

Everything is averaged over the silhouette of the rendered hand (mask > 0), which is taken as it is:
no gradient flows through its border here. The public code compares the whole picture, where its
white background meets the input's black one; that constant, and the pull on the silhouette that
comes with it, is not reproduced in either variant. Pictures are RGB in [0, 1].
"""

from dataclasses import dataclass
from typing import Final, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracker.geometry.losses import Variant, confident_mean, lengths

_GATE: Final = 0.1  # public code: a joint less certain than this discredits the whole picture


def image_confidence(
    confidence: Float[Tensor, "b 21"], kind: Literal["mean", "gated"] = "mean"
) -> Float[Tensor, " b"]:
    """Return how much each picture's hand can be trusted, from its joints' confidences.

    `mean` is the paper's con_sum divided by the 21 joints, to fit the published weights, which
    belong to the code's mean. `gated`, the code's rule for FreiHAND, is 0 where a joint's confidence
    is 0.1 or less.
    """
    certain = torch.where(confidence > 0, confidence, torch.zeros_like(confidence))
    mean = certain.mean(-1)
    if kind == "mean":
        return mean
    return torch.where(certain.amin(-1) > _GATE, mean, torch.zeros_like(mean))


def pixel_loss(
    render: Float[Tensor, "b h w 3"],
    image: Float[Tensor, "b h w 3"],
    mask: Float[Tensor, "b h w"],
    weight: Float[Tensor, " b"],
    *,
    variant: Variant = "paper",
) -> Float[Tensor, ""]:
    """E_pixel = con / |S| sum_{i in S} |I_i - I_re_i|_2 over the silhouette S, mean over pictures.

    The public code sums |I - I_re| over S and the channels, divides by all pixels of the picture,
    and weighs the pictures by con^2, normalised.

    Args:
        render: rendered hands; outside of the silhouette they are not read.
        image: the pictures.
        mask: coverage of the rendered hands, in [0, 1].
        weight: each picture's con, from `image_confidence`.
        variant: `paper` or `code`.
    """
    seen = _Inside.of(mask, weight)
    difference = seen.pixels(render) - seen.pixels(image)
    if variant == "paper":
        return (weight * seen.total(lengths(difference)) / seen.count.clamp(min=1)).mean()
    every = mask.shape[1] * mask.shape[2]
    return confident_mean(seen.total(difference.abs().mean(-1)) / every, weight)


def ssim_loss(similarity: Float[Tensor, " b"], weight: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """E_SSIM = 1 - SSIM(I, I_re), mean over pictures; those of weight 0 are left out.

    Args:
        similarity: structural similarity of each picture and its render, within the silhouette.
        weight: each picture's con; its size does not matter, as in the paper.
    """
    difference = torch.where(weight > 0, 1 - similarity, torch.zeros_like(similarity))
    return difference.mean()


def mean_color_loss(
    render: Float[Tensor, "b h w 3"],
    image: Float[Tensor, "b h w 3"],
    mask: Float[Tensor, "b h w"],
    weight: Float[Tensor, " b"],
) -> Float[Tensor, ""]:
    """|mean(I_re) - mean(I)| over silhouette and channels, pictures weighted by con^2 (code only)."""
    seen = _Inside.of(mask, weight)
    total = seen.total((seen.pixels(render) - seen.pixels(image)).mean(-1))
    return confident_mean((total / seen.count.clamp(min=1)).abs(), weight)


def texture_loss(
    texture: Float[Tensor, "b V 3"], weight: Float[Tensor, " b"], *, deviations: float = 2.0
) -> Float[Tensor, ""]:
    """E_C: colours further than 2 sigma from the hand's mean are pulled to it, per channel.

    With mean mu and deviation sigma over the vertices of one hand: |C - mu| where that is above
    2 sigma, else 0; mean over vertices and channels, pictures weighted by con^2 / sum con^2.

    The paper's formula is in a supplement we have not seen; this is the public code's, with two
    slips put right (it measures every hand against every other's statistics, and writes 2 con for
    con^2). It applies this to colours before their squashing, we to the albedo itself.
    """
    away = texture - texture.mean(1, keepdim=True)
    outlier = away.detach().abs() > deviations * texture.detach().std(1, keepdim=True)
    penalty = torch.where(outlier, away.abs(), torch.zeros_like(away))
    return confident_mean(penalty.mean((1, 2)), weight)


@dataclass(frozen=True)
class _Inside:
    """The pixels in the silhouettes of the pictures that count: a fifth of them, taken out.

    Working on these alone is three times faster than on whole pictures with zeros outside, and what
    lies outside is never read.
    """

    where: Int[Tensor, " n"]
    """Number of each pixel, counted through all pictures."""
    owner: Int[Tensor, " n"]
    """Its picture."""
    count: Int[Tensor, " b"]

    @classmethod
    def of(cls, mask: Float[Tensor, "b h w"], weight: Float[Tensor, " b"]) -> "_Inside":
        inside = ((mask > 0) & (weight > 0)[:, None, None]).flatten(1)
        where = inside.flatten().nonzero()[:, 0]
        return cls(where, where // inside.shape[1], inside.sum(1))

    def pixels(self, pictures: Float[Tensor, "b h w 3"]) -> Float[Tensor, "n 3"]:
        return pictures.reshape(-1, 3).index_select(0, self.where)

    def total(self, values: Float[Tensor, " n"]) -> Float[Tensor, " b"]:
        """Return each picture's sum."""
        return values.new_zeros(len(self.count)).index_add(0, self.owner, values)
