"""What the network is asked for in pixels: a render that looks like the picture (S2HAND, 3.3).

Everything is averaged over the silhouette of the rendered hand (mask > 0), which is taken as it is:
no gradient flows through its border here. The public code compares the whole picture, where its
white background meets the input's black one; that constant, and the pull on the silhouette that
comes with it, is not reproduced in either variant. Pictures are RGB in [0, 1].
"""

from typing import Final, Literal

import torch
from jaxtyping import Bool, Float
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
    inside = _inside(mask, weight)
    difference = torch.where(inside[..., None], render - image, torch.zeros_like(render))
    if variant == "paper":
        distance = lengths(difference).sum((1, 2)) / _count(inside)
        return (weight * distance).mean()
    return confident_mean(difference.abs().mean((1, 2, 3)), weight)


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
    inside = _inside(mask, weight)
    difference = torch.where(inside[..., None], render - image, torch.zeros_like(render))
    mean = difference.sum((1, 2, 3)) / (3 * _count(inside))
    return confident_mean(mean.abs(), weight)


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


def _inside(mask: Tensor, weight: Tensor) -> Bool[Tensor, "b h w"]:
    """Return the silhouette of every picture that counts."""
    return (mask > 0) & (weight > 0)[:, None, None]


def _count(inside: Bool[Tensor, "b h w"]) -> Tensor:
    return inside.sum((1, 2)).clamp(min=1)
