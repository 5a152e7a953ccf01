"""What the network is asked for in 2D: joints and bones where a detector saw them (S2HAND, 3.3-3.4).

The losses of Chen et al. 2021 are one function each, here, in `losses_photometric` and in
`losses_priors`; each returns one number, unweighted. Where paper and public code differ, the paper
is the default and `variant="code"` the other. Pixels are those of a 224 pixel crop, for which the
weights and the Huber threshold were chosen: multiply `uv` by 224 / `input_px` for other crops.

A joint of confidence 0 was not seen: its coordinates are never read and may be NaN. Without any
confidence every loss that uses it is 0, with zero gradient.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tracker.geometry.skeleton import BONES, JOINTS, TIPS

Variant = Literal["paper", "code"]

HUBER_PX: Final = 5.0
"""Distance at which a joint's penalty turns from squared to linear (public code)."""
_PARENT: Final = [parent for parent, _ in BONES]
_CHILD: Final = [child for _, child in BONES]
_JOINT_WEIGHT: Final = tuple(
    2.0 if name == "wrist" else 1.5 if i in TIPS else 1.0 for i, name in enumerate(JOINTS)
)
"""The public code's factor on each joint's confidence."""


@dataclass(frozen=True)
class LossWeights:
    """Factor of each term in the sum; the only published ones are the public code's defaults."""

    location: float = 1e-3
    """E_loc, pixels."""
    orientation: float = 0.1
    """E_ori."""
    keypoints: float = 1e-3
    """E_2d, pixels."""
    consistency: float = 2e-4
    """E_con, pixels."""
    pixel: float = 5e-3
    """E_pixel."""
    ssim: float = 1e-3
    """E_SSIM."""
    shape: float = 1e-2
    """E_beta."""
    texture: float = 5e-3
    """E_C."""
    scale: float = 0.1
    """E_s, metres."""
    joint_limits: float = 0.1
    """E_J, radians."""
    mean_color: float = 0.0
    """Not in the paper; 1e-3 in the public code."""
    laplacian: float = 0.0
    """Not in the paper; 0.1 in the public code, metres."""

    @classmethod
    def code(cls) -> "LossWeights":
        """Return the weights of the public code's end-to-end training, which leaves E_SSIM out."""
        return cls(ssim=0.0, mean_color=1e-3, laplacian=0.1)

    def total(self, terms: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """Return the weighted sum of named terms.

        Raises:
            ValueError: there are no terms, or one has no weight of its name.
        """
        weights = {field.name: getattr(self, field.name) for field in fields(self)}
        strange = [name for name in terms if name not in weights] if terms else ["none"]
        if strange:
            raise ValueError(
                f"loss terms must be among {', '.join(weights)}; found {', '.join(strange)}"
            )
        return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def location_loss(
    uv: Float[Tensor, "b 21 2"],
    target: Float[Tensor, "b 21 2"],
    confidence: Float[Tensor, "b 21"],
    *,
    variant: Variant = "paper",
) -> Float[Tensor, ""]:
    """E_loc = 1/k sum_i con_i H(|uv_i - target_i|), with H the Huber penalty of `HUBER_PX`.

    The public code weighs by (w_i con_i)^2, normalised by their sum over the batch, with w = 2 for
    the wrist and 1.5 for the tips.
    """
    penalty = huber(_offsets(uv, target, confidence))
    if variant == "paper":
        return (_weight(confidence) * penalty).mean()
    return confident_mean(penalty, _weight(confidence) * confidence.new_tensor(_JOINT_WEIGHT))


def orientation_loss(
    uv: Float[Tensor, "b 21 2"],
    target: Float[Tensor, "b 21 2"],
    confidence: Float[Tensor, "b 21"],
    *,
    shortest_px: float = 1e-4,
) -> Float[Tensor, ""]:
    """E_ori = 1/m sum_j con_j |v_j - v_j*|^2 over the m = 20 bones, v their unit directions.

    A bone's confidence is the product of its joints'. Moving or scaling a hand changes nothing.

    Args:
        uv: projected joints, pixels.
        target: detected joints, pixels.
        confidence: of the detected joints, in [0, 1].
        shortest_px: added to every length before the division (public code: 1e-4), so it bounds the
            gradient of a bone seen end on by its inverse.
    """
    certain = _weight(confidence)
    known = certain[..., None] > 0
    found = _directions(uv, shortest_px)
    wanted = _directions(torch.where(known, target, uv.detach()), shortest_px)
    bone_confidence = certain[:, _PARENT] * certain[:, _CHILD]
    return (bone_confidence * (found - wanted).square().sum(-1)).mean()


def keypoint_loss(
    uv: Float[Tensor, "s b 21 2"],
    target: Float[Tensor, "b 21 2"],
    confidence: Float[Tensor, "b 21"],
    *,
    variant: Variant = "paper",
) -> Float[Tensor, ""]:
    """E_2d = 1/k sum_i con_i H(|uv_i - target_i|), summed over the stacks of the 2D branch.

    The public code has the plain distance instead of H, weighted by con_i^2 and normalised by their
    sum over the batch.
    """
    offsets = _offsets(uv, target.expand_as(uv), confidence.expand(uv.shape[:-1]))
    if variant == "paper":
        return (_weight(confidence) * huber(offsets)).mean((1, 2)).sum()
    return torch.stack(
        [confident_mean(lengths(stack), _weight(confidence)) for stack in offsets]
    ).sum()


def consistency_loss(
    uv_3d: Float[Tensor, "b 21 2"], uv_2d: Float[Tensor, "b 21 2"]
) -> Float[Tensor, ""]:
    """E_con = 1/k sum_i H(|uv_3d_i - uv_2d_i|): both branches should agree, seen or not."""
    return huber(uv_3d - uv_2d).mean()


def huber(offsets: Float[Tensor, "*b d"], threshold: float = HUBER_PX) -> Float[Tensor, "*b"]:
    """Return H(d) = d^2 / (2 t) for d < t, else d - t / 2, of the Euclidean length d."""
    squared = offsets.square().sum(-1)
    linear = lengths(offsets) - threshold / 2
    return torch.where(squared < threshold**2, squared / (2 * threshold), linear)


def lengths(vectors: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """Return Euclidean lengths; the gradient at zero length is zero."""
    squared = vectors.square().sum(-1)
    zero = squared == 0
    # The unused branch must stay finite, or its gradient poisons the used one through `where`.
    return torch.where(zero, squared, torch.where(zero, torch.ones_like(squared), squared).sqrt())


def confident_mean(
    values: Float[Tensor, "*b"], confidence: Float[Tensor, "*b"]
) -> Float[Tensor, ""]:
    """Return sum(values con^2) / sum(con^2), the code's way to use confidences; 0 without any."""
    squared = confidence.square()
    total = squared.sum()
    return (values * squared).sum() / torch.where(total > 0, total, torch.ones_like(total))


def _weight(confidence: Tensor) -> Tensor:
    """Return the confidence, 0 where it is not a positive number."""
    return torch.where(confidence > 0, confidence, torch.zeros_like(confidence))


def _offsets(uv: Tensor, target: Tensor, confidence: Tensor) -> Tensor:
    """Return `uv - target`, zero for joints that were not seen."""
    return torch.where(confidence[..., None] > 0, uv - target, torch.zeros_like(uv))


def _directions(uv: Tensor, shortest_px: float) -> Tensor:
    bones = uv[:, _CHILD] - uv[:, _PARENT]
    return bones / (lengths(bones) + shortest_px)[..., None]
