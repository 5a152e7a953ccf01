"""Structural similarity (SSIM) of pictures, differentiable: what E_SSIM of S2HAND is made of.

Means, variances and the covariance are taken in an 11 x 11 Gaussian window (sigma 1.5), each
channel on its own, with zeros beyond the border of the picture, as in the public code:

    SSIM = (2 m_a m_b + C1) (2 s_ab + C2) / ((m_a^2 + m_b^2 + C1) (s_a^2 + s_b^2 + C2))

The numba backend computes value and gradient in one pass over the mask's box; the torch backend is
its reference, and takes any device and float type.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tracker.geometry.ssim_window import C1, C2, RADIUS, WINDOW


def ssim(
    a: Float[Tensor, "b h w 3"],
    b: Float[Tensor, "b h w 3"],
    mask: Float[Tensor, "b h w"] | None = None,
    backend: Literal["auto", "numba", "torch"] = "auto",
) -> Float[Tensor, " b"]:
    """Return each pair's mean similarity over the pixels where `mask > 0`, and over the channels.

    The window sees both pictures as they are, also outside the mask. The mask is a choice of
    pixels, not a weight, and gets no gradient. Where it is empty nothing differs: 1, gradient 0.

    Args:
        a: pictures, values between 0 and 1.
        b: pictures of the same size.
        mask: the pixels to compare; all of them if left out.
        backend: `auto` takes numba for float32 on the CPU and torch for everything else.

    Raises:
        ValueError: numba was asked for, but the pictures are not float32 on the CPU.
    """
    inside = (
        torch.ones(a.shape[:3], dtype=torch.bool, device=a.device) if mask is None else mask > 0
    )
    fast = a.device.type == "cpu" and a.dtype == b.dtype == torch.float32
    if backend == "numba" and not fast:
        raise ValueError(
            f"backend 'numba' compares float32 on the CPU, found {a.dtype} and {b.dtype} on "
            f"{a.device.type}; use backend='auto'"
        )
    if backend == "torch" or not fast:
        return _ssim(a, b, inside)
    from tracker.geometry import ssim_numba

    return ssim_numba.ssim(a, b, inside)


def _ssim(
    a: Float[Tensor, "b h w 3"], b: Float[Tensor, "b h w 3"], inside: Bool[Tensor, "b h w"]
) -> Float[Tensor, " b"]:
    a, b = a.movedim(-1, 1), b.movedim(-1, 1)
    parts = torch.stack([a, b, a * a, b * b, a * b])
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = _blurred(parts)
    aa, bb, ab = mean_a * mean_a, mean_b * mean_b, mean_a * mean_b
    alike = (2 * ab + C1) * (2 * (mean_ab - ab) + C2)
    alike = alike / ((aa + bb + C1) * (mean_aa - aa + mean_bb - bb + C2))
    count = inside.sum((1, 2))
    total = torch.where(inside, alike.mean(1), torch.zeros_like(alike[:, 0])).sum((1, 2))
    return torch.where(count > 0, total / count.clamp(min=1), torch.ones_like(total))


def _blurred(images: Float[Tensor, "*n h w"]) -> Float[Tensor, "*n h w"]:
    """Return the window's weighted sums, as band matrices from both sides.

    On a processor this is several times faster than PyTorch's convolution with one filter for each
    channel.
    """
    return _band(images.shape[-2], images) @ images @ _band(images.shape[-1], images)


def _band(size: int, like: Tensor) -> Float[Tensor, "n n"]:
    """Return the matrix whose product with a column is its blur, with zeros beyond the ends."""
    window = torch.tensor(WINDOW, dtype=like.dtype, device=like.device)
    place = torch.arange(size, device=like.device)
    offset = place[:, None] - place
    return torch.where(
        offset.abs() <= RADIUS, window[offset.clamp(-RADIUS, RADIUS) + RADIUS], window.new_zeros(())
    )
