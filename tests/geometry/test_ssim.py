"""Structural similarity against scikit-image, twin against twin, and at its edges."""

import numpy as np
import pytest
import torch

from tracker.geometry.ssim import ssim

BACKENDS = ["numba", "torch"]


def pictures(rng: np.random.Generator, count: int = 3, hw: tuple[int, int] = (37, 45)):
    """Smooth pictures and noisy versions of them, float32 in [0, 1]."""
    v, u = np.mgrid[: hw[0], : hw[1]]
    phase = rng.random((count, 1, 1, 3)) * 6
    smooth = 0.5 + 0.4 * np.sin(u[None, ..., None] / 5 + phase) * np.cos(v[None, ..., None] / 7)
    noisy = np.clip(smooth + 0.15 * rng.normal(size=smooth.shape), 0, 1)
    return torch.tensor(smooth, dtype=torch.float32), torch.tensor(noisy, dtype=torch.float32)


def patches(rng: np.random.Generator, count: int = 3, hw: tuple[int, int] = (37, 45)):
    """Masks: a block at the border of the picture, a ragged one, a single pixel."""
    mask = torch.zeros(count, *hw)
    mask[0, :20, 30:] = 0.3
    mask[1, 9:30, 8:31] = torch.tensor(rng.random((21, 23)) < 0.7).float()
    mask[2, 17, 2] = 1
    return mask


@pytest.mark.parametrize("backend", BACKENDS)
def test_equals_scikit_image(rng, backend):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = pictures(rng)
    inner = torch.zeros(a.shape[:3])
    inner[:, 5:-5, 5:-5] = 1  # there, what lies beyond the picture does not matter
    found = ssim(a, b, inner, backend)
    for i in range(len(a)):
        _, each = metrics.structural_similarity(
            a[i].double().numpy(),
            b[i].double().numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=-1,
            full=True,
        )
        assert float(found[i]) == pytest.approx(each[5:-5, 5:-5].mean(), abs=2e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_twins_agree_in_value_and_gradient(rng, masked):
    a, b = pictures(rng)
    mask = patches(rng) if masked else None
    up = torch.tensor([1.0, -0.5, 2.0])
    results = []
    for backend, dtype in (("numba", torch.float32), ("torch", torch.float64)):
        leaves = [part.to(dtype).requires_grad_() for part in (a, b)]
        value = ssim(*leaves, mask, backend)
        results.append((value.detach(), *torch.autograd.grad(value, leaves, up.to(dtype))))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    assert results[0][0].max() < 0.95


def test_gradcheck_of_the_reference(rng):
    a, b = (part[..., :9, :8, :].double().requires_grad_() for part in pictures(rng, 2))
    mask = patches(rng)[:2, 9:18, 8:16]
    assert torch.autograd.gradcheck(lambda a, b: ssim(a, b, mask), (a, b))


@pytest.mark.parametrize("backend", BACKENDS)
def test_like_is_one_and_cannot_improve(rng, backend):
    a = pictures(rng)[0].requires_grad_()
    value = ssim(a, a.detach(), None, backend)
    torch.testing.assert_close(value, torch.ones(3))
    assert torch.autograd.grad(value.sum(), a)[0].abs().max() < 1e-5


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_compare_is_alike(rng, backend):
    a, b = pictures(rng)
    mask = patches(rng)
    mask[1] = 0
    a.requires_grad_()
    value = ssim(a, b, mask, backend)
    assert value[1] == 1
    (gradient,) = torch.autograd.grad(value.sum(), a)
    assert (gradient[1] == 0).all()
    assert gradient[0].abs().max() > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_broken_picture_spoils_itself_alone(rng, backend):
    a, b = pictures(rng)
    expected = ssim(a, b, None, backend)
    a[1, 20, 20, 1] = torch.nan
    value = ssim(a, b, None, backend)
    assert value[1].isnan()
    torch.testing.assert_close(value[[0, 2]], expected[[0, 2]])


def test_pictures_smaller_than_the_window(rng):
    a, b = pictures(rng, 2, (3, 4))
    torch.testing.assert_close(ssim(a, b, None, "numba"), ssim(a, b, None, "torch"))


def test_numba_refuses_what_it_cannot_compare(rng):
    a, b = pictures(rng)
    with pytest.raises(ValueError, match=r"found torch.float64 and torch.float32 on cpu"):
        ssim(a.double(), b, None, "numba")
