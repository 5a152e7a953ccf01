"""Structural similarity and its gradient in one compiled pass over the box of the mask.

Rows of a picture are read as 3 w numbers, so the window's taps lie 3 apart and the channels need no
loop of their own. The kernels meet one set of types only (float32), see `skinning`.
"""

from typing import Any, Final, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from tracker.geometry.image_threads import map_images
from tracker.geometry.ssim_window import C1, C2, RADIUS, WINDOW

_TAPS: Final = WINDOW.astype(np.float32)
_C1: Final = np.float32(C1)
_C2: Final = np.float32(C2)
_ONE: Final = np.float32(1)
_TWO: Final = np.float32(2)
_RELAXED: Final = {"contract", "reassoc", "nsz", "arcp"}  # NaN must stay NaN


def ssim(
    a: Float[Tensor, "b h w 3"], b: Float[Tensor, "b h w 3"], inside: Bool[Tensor, "b h w"]
) -> Float[Tensor, " b"]:
    """Return the mean similarity inside; float32 on the processor."""
    return _Ssim.apply(a, b, inside)


class _Ssim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, inside: Tensor) -> Tensor:
        arrays = [t.detach().contiguous().numpy() for t in (a, b, inside)]
        want_a, want_b = ctx.needs_input_grad[:2]
        gradients = [torch.zeros_like(t, memory_format=torch.contiguous_format) for t in (a, b)]
        value = torch.empty(len(a))
        to_arrays = [g.numpy() for g in gradients]

        def compare(i: int) -> None:
            images = (arrays[0][i], arrays[1][i], arrays[2][i])
            value[i] = float(_compare(*images, want_a, want_b, *(to[i] for to in to_arrays)))

        map_images(compare, len(a))
        ctx.gradients = gradients[0] if want_a else None, gradients[1] if want_b else None
        return value

    @staticmethod
    @once_differentiable  # untyped, so the parameters' names are lost on the type checker
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        scale = grad_outputs[0][:, None, None, None]
        to_a, to_b = (None if g is None else g * scale for g in ctx.gradients)
        return to_a, to_b, None


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _compare(a, b, inside, want_a, want_b, to_a, to_b):
    """Return the mean similarity of two images, and add its gradients to `to_a` and `to_b`."""
    x0, y0, x1, y1, count = _box(inside)
    if count == 0:
        return _ONE
    columns = 3 * (x1 - x0)
    padded_a = _padded(a, x0, y0, x1, y1)
    padded_b = _padded(b, x0, y0, x1, y1)
    # Derivatives with respect to mean a, mean b, mean a^2 (and b^2), mean a b; zero outside.
    margin = 2 * RADIUS
    slopes = np.zeros((4, y1 - y0 + 2 * margin, columns + 6 * margin), np.float32)
    sums = np.empty((5, padded_a.shape[1]), np.float32)
    means = np.empty((5, columns), np.float32)
    total = 0.0
    share = _ONE / np.float32(3 * count)
    for y in range(y1 - y0):
        _blur_columns(padded_a[y : y + 2 * RADIUS + 1], padded_b[y : y + 2 * RADIUS + 1], sums)
        for k in range(5):
            _blur_row(sums[k], means[k])
        rows = slopes[:, y + margin, 3 * margin : 3 * margin + columns]
        total += _similarity(means, inside[y0 + y, x0:x1], share, rows)
    if want_a:
        _gradient(a, b, slopes[0], slopes[2], slopes[3], x0, y0, to_a)
    if want_b:
        _gradient(b, a, slopes[1], slopes[2], slopes[3], x0, y0, to_b)
    return np.float32(total * share)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _box(inside):
    """Return x0, y0, x1, y1 of the box around what is inside, and how many pixels are."""
    height, width = inside.shape
    x0, y0, x1, y1, count = width, height, 0, 0, 0
    for y in range(height):
        for x in range(width):
            if inside[y, x]:
                x0, x1 = min(x0, x), max(x1, x + 1)
                y0, y1 = min(y0, y), max(y1, y + 1)
                count += 1
    return x0, y0, x1, y1, count


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _padded(image, x0, y0, x1, y1):
    """Return the box and a window's radius around it, zero beyond the image, a row as 3 w numbers."""
    height, width, _ = image.shape
    rows, columns = y1 - y0 + 2 * RADIUS, 3 * (x1 - x0 + 2 * RADIUS)
    padded = np.zeros((rows, columns), np.float32)
    left, right = max(x0 - RADIUS, 0), min(x1 + RADIUS, width)
    for y in range(max(y0 - RADIUS, 0), min(y1 + RADIUS, height)):
        start = 3 * (left - x0 + RADIUS)
        source = image[y].ravel()
        for j in range(3 * left, 3 * right):
            padded[y - y0 + RADIUS, start + j - 3 * left] = source[j]
    return padded


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=_RELAXED)
def _blur_columns(a, b, sums):
    """Write the weighted sums of a, b, a^2, b^2 and a b over the rows of the window."""
    sums_a, sums_b, sums_aa, sums_bb, sums_ab = sums[0], sums[1], sums[2], sums[3], sums[4]
    sums[:] = 0
    for k in range(2 * RADIUS + 1):
        tap, row_a, row_b = _TAPS[k], a[k], b[k]
        for x in range(row_a.shape[0]):
            value_a, value_b = row_a[x], row_b[x]
            tap_a, tap_b = tap * value_a, tap * value_b
            sums_a[x] += tap_a
            sums_b[x] += tap_b
            sums_aa[x] += tap_a * value_a
            sums_bb[x] += tap_b * value_b
            sums_ab[x] += tap_a * value_b


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=_RELAXED)
def _blur_row(source, out):
    """Write the weighted sums of a row's pixels over the columns of the window."""
    g0, g1, g2, g3, g4, g5 = _TAPS[0], _TAPS[1], _TAPS[2], _TAPS[3], _TAPS[4], _TAPS[5]
    for x in range(out.shape[0]):
        out[x] = (
            g0 * (source[x] + source[x + 30])
            + g1 * (source[x + 3] + source[x + 27])
            + g2 * (source[x + 6] + source[x + 24])
            + g3 * (source[x + 9] + source[x + 21])
            + g4 * (source[x + 12] + source[x + 18])
            + g5 * source[x + 15]
        )


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=_RELAXED)
def _similarity(means, inside, share, slopes):
    """Return the sum of a row's similarities inside; write `share` times their derivatives."""
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = means[0], means[1], means[2], means[3], means[4]
    total = np.float32(0)
    for x in range(mean_a.shape[0]):
        keep = _ONE if inside[x // 3] else np.float32(0)
        a, b = mean_a[x], mean_b[x]
        aa, bb, ab = a * a, b * b, a * b
        light, contrast = _TWO * ab + _C1, _TWO * (mean_ab[x] - ab) + _C2
        by_light = _ONE / (aa + bb + _C1)
        by_contrast = _ONE / (mean_aa[x] - aa + mean_bb[x] - bb + _C2)
        value = light * contrast * by_light * by_contrast * keep
        total += value
        both = _TWO * (contrast - light) * by_light * by_contrast * keep
        same = _TWO * value * (by_contrast - by_light)
        slopes[0, x] = share * (b * both + a * same)
        slopes[1, x] = share * (a * both + b * same)
        slopes[2, x] = -share * value * by_contrast
        slopes[3, x] = share * keep * _TWO * light * by_light * by_contrast
    return total


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=_RELAXED)
def _gradient(image, other, of_mean, of_square, of_product, x0, y0, out):
    """Write blur(of_mean) + 2 image blur(of_square) + other blur(of_product) around the box."""
    height, width, _ = image.shape
    rows, columns = of_mean.shape[0] - 2 * RADIUS, of_mean.shape[1] - 6 * RADIUS
    sums, means = np.empty((3, of_mean.shape[1]), np.float32), np.empty((3, columns), np.float32)
    left = x0 - RADIUS
    first, stop = max(-left, 0), min(width - left, columns // 3)
    for y in range(max(RADIUS - y0, 0), min(height - y0 + RADIUS, rows)):
        sums[:] = 0
        for k in range(2 * RADIUS + 1):
            _add_row(_TAPS[k], of_mean[y + k], sums[0])
            _add_row(_TAPS[k], of_square[y + k], sums[1])
            _add_row(_TAPS[k], of_product[y + k], sums[2])
        for k in range(3):
            _blur_row(sums[k], means[k])
        row, image_row = y + y0 - RADIUS, 3 * left
        line, pair, target = image[row].ravel(), other[row].ravel(), out[row].ravel()
        for x in range(3 * first, 3 * stop):
            at = image_row + x
            target[at] = means[0, x] + _TWO * line[at] * means[1, x] + pair[at] * means[2, x]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=_RELAXED)
def _add_row(tap, row, sums):
    for x in range(row.shape[0]):
        sums[x] += tap * row[x]
