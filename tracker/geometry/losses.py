"""What the network is asked for in 2D: joints and bones where a detector saw them (S2HAND, 3.3-3.4).

The losses of Chen et al. 2021 are one function each, here, in `losses_photometric` and in
`losses_priors`; each returns one number, unweighted. Where paper and public code differ, the paper
is the default and `variant="code"` the other. Pixels are those of a 224 pixel crop, for which the
weights and the Huber threshold were chosen: multiply `uv` by 224 / `input_px` for other crops.

A joint of confidence 0 was not seen: its coordinates are never read and may be NaN. Without any
confidence every loss that uses it is 0, with zero gradient.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
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
    pose: float = 0.0
    """Not in the paper: distance to the mean pose, squared deviations (`pose_prior`)."""
    heat: float = 0.0
    """Not in the paper: heat maps of the network's own joints, nats (`heat_loss`)."""
    seen: float = 0.0
    """Not in the paper: places of the network's own joints, pixels."""
    truth: float = 0.0
    """Not in the paper: true 3D joints where pictures have them, as made-up ones do, metres."""
    motion: float = 0.0
    """Not in the paper: joints of neighbouring frames turn evenly (`train.temporal`)."""
    steady_shape: float = 0.0
    """Not in the paper: one hand keeps its shape and size from frame to frame."""
    steady_texture: float = 0.0
    """Not in the paper: one hand keeps its colours from frame to frame."""

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


def truth_loss(
    joints: Float[Tensor, "b 21 3"], truth: Float[Tensor, "b 21 3"]
) -> Float[Tensor, ""]:
    """Return the mean distance (m) of joints to the true ones, both from the wrist.

    A hand with a joint that is not a number has no truth and counts as right. Not in the paper,
    which knows no truth; meant for made-up hands beside real ones without labels.
    """
    known = truth.isfinite().all(-1).all(-1)[:, None, None]
    offsets = (joints - joints[:, :1]) - (truth - truth[:, :1])
    return lengths(torch.where(known, offsets, torch.zeros_like(offsets))).mean()


def heat_loss(
    heat: Float[Tensor, "b 21 h w"],
    target: Float[Tensor, "b 21 2"],
    confidence: Float[Tensor, "b 21"],
    *,
    sigma: float = 1.0,
) -> Float[Tensor, ""]:
    """Return the cross entropy of heat maps and Gaussians around the detected joints.

    1/k sum_i con_i sum_p -g_i(p) log softmax(heat_i)(p), g_i normalised over the map. A joint that
    lies outside the map has no Gaussian to compare with and counts as unseen. Not in the paper: it
    tells an encoder that starts from chance where to look, which places alone do slowly.

    Args:
        heat: logarithms of the maps, up to a constant.
        target: detected joints in shares of the map's sides, (0, 0) its top-left corner.
        confidence: of the detected joints, in [0, 1].
        sigma: of the Gaussian, cells.
    """
    height, width = heat.shape[-2:]
    certain = _weight(confidence)
    place = torch.where(certain[..., None] > 0, target, torch.zeros_like(target))
    inside = ((place > 0) & (place < 1)).all(-1)
    columns = _bump(width * place[..., 0], width, sigma)
    rows = _bump(height * place[..., 1], height, sigma)
    wanted = (rows[..., :, None] * columns[..., None, :]).flatten(2)
    entropy = -(wanted * heat.flatten(2).log_softmax(-1)).sum(-1)
    return (certain * inside * entropy).mean()


def _bump(center: Float[Tensor, "b j"], cells: int, sigma: float) -> Float[Tensor, "b j n"]:
    """Return a Gaussian over a row of cells, which sums to one."""
    middles = torch.arange(cells, device=center.device, dtype=center.dtype) + 0.5
    return (-((middles - center[..., None]) / sigma).square() / 2).softmax(-1)


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


_mean_of_shares: ContextVar[Callable[[Tensor], Tensor] | None] = ContextVar("shares", default=None)


@contextmanager
def shared_batch(
    mean_of_shares: Callable[[Tensor], Tensor],
) -> Generator[None, None, None]:
    """While open, batches are equal shares of a larger one, e.g. of several processes.

    Losses that are normalised by a sum over the batch then use the mean of that sum over the
    shares, so that the mean of the shares' losses is the whole batch's.

    Args:
        mean_of_shares: returns the mean of a tensor over all shares.
    """
    token = _mean_of_shares.set(mean_of_shares)
    try:
        yield
    finally:
        _mean_of_shares.reset(token)


def confident_mean(
    values: Float[Tensor, "*b"], confidence: Float[Tensor, "*b"]
) -> Float[Tensor, ""]:
    """Return sum(values con^2) / sum(con^2), the code's way to use confidences; 0 without any."""
    squared = confidence.square()
    total, mean_of_shares = squared.sum(), _mean_of_shares.get()
    if mean_of_shares is not None:
        total = mean_of_shares(total)
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
