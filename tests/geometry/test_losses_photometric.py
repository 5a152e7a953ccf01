import pytest
import torch

from tracker.geometry.losses_photometric import (
    image_confidence,
    mean_color_loss,
    pixel_loss,
    ssim_loss,
    texture_loss,
)

F64 = torch.float64


def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Render, picture and mask of two 4 x 4 pictures; the hand covers 4 and 2 pixels."""
    generator = torch.Generator().manual_seed(0)
    render = torch.rand(2, 4, 4, 3, generator=generator, dtype=F64)
    mask = torch.zeros(2, 4, 4, dtype=F64)
    mask[0, 1:3, 1:3], mask[1, 0, :2] = 1.0, 0.3
    return render, render.clone(), mask


def test_image_confidence_by_hand():
    confidence = torch.full((3, 21), 0.5)
    confidence[1, 4], confidence[2] = 0.1, 0
    torch.testing.assert_close(
        image_confidence(confidence), torch.tensor([0.5, (10 + 0.1) / 21, 0.0])
    )
    torch.testing.assert_close(image_confidence(confidence, "gated"), torch.tensor([0.5, 0, 0]))


def test_pixel_loss_by_hand():
    render, image, mask = scene()
    image[0, 1, 1] += torch.tensor([0.2, 0.1, -0.2], dtype=F64)
    image[1, 0, 0] -= torch.tensor([0, 0.4, 0.3], dtype=F64)
    weight = torch.tensor([1.0, 0.5], dtype=F64)
    loss = pixel_loss(render, image, mask, weight)
    assert loss.item() == pytest.approx((1.0 * 0.3 / 4 + 0.5 * 0.5 / 2) / 2)
    code = pixel_loss(render, image, mask, weight, variant="code")
    assert code.item() == pytest.approx((0.5 / 48 + 0.7 / 48 * 0.25) / 1.25)


def test_mean_color_loss_by_hand():
    render, image, mask = scene()
    image[0, 1, 1] += torch.tensor([0.2, 0.1, 0.0], dtype=F64)
    image[0, 2, 2] -= torch.tensor([0.0, 0.0, 0.9], dtype=F64)
    weight = torch.tensor([1.0, 1.0], dtype=F64)
    assert mean_color_loss(render, image, mask, weight).item() == pytest.approx(0.6 / 12 / 2)


def test_ssim_loss_leaves_out_pictures_without_a_hand():
    similarity = torch.tensor([0.7, float("nan"), 1.0])
    assert ssim_loss(similarity, torch.tensor([0.2, 0.0, 1.0])).item() == pytest.approx(0.1)


LOSSES = {
    "pixel": pixel_loss,
    "pixel, code": lambda *a: pixel_loss(*a, variant="code"),
    "mean color": mean_color_loss,
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


@each_loss
def test_only_the_silhouette_counts(loss):
    render, image, mask = scene()
    image = image * 0.7
    weight = torch.ones(2, dtype=F64)
    expected = loss(render, image, mask, weight)
    outside = mask == 0
    render[outside], image[outside] = float("nan"), 17.0
    torch.testing.assert_close(loss(render, image, mask, weight), expected)


@each_loss
@pytest.mark.parametrize("empty", ["weight", "mask"])
def test_without_a_hand_there_is_no_loss_and_no_gradient(loss, empty):
    render, image, mask = scene()
    render.requires_grad_()
    weight = torch.zeros(2, dtype=F64) if empty == "weight" else torch.ones(2, dtype=F64)
    mask = torch.zeros_like(mask) if empty == "mask" else mask
    value = loss(render, image * float("nan"), mask, weight)
    value.backward()
    assert value.item() == 0
    assert render.grad.count_nonzero() == 0


@each_loss
def test_a_picture_without_confidence_is_not_read(loss):
    render, image, mask = scene()
    image = 0.8 * image
    weight = torch.tensor([0.0, 0.6], dtype=F64)
    expected = loss(render, image, mask, weight)
    image[0] = float("nan")
    torch.testing.assert_close(loss(render, image, mask, weight), expected)
    assert expected > 0


@each_loss
def test_gradients_are_exact_and_equal_pictures_are_no_edge(loss):
    render, image, mask = scene()
    image = 0.9 * image
    weight = torch.tensor([0.4, 1.0], dtype=F64)
    assert torch.autograd.gradcheck(
        lambda r: loss(r, image, mask, weight), render.clone().requires_grad_()
    )
    same = image.clone().requires_grad_()
    loss(same, image, mask, weight).backward()
    assert same.grad.count_nonzero() == 0


def test_texture_loss_by_hand():
    texture = torch.full((2, 100, 3), 0.5, dtype=F64)
    texture[0, 0, 1], texture[1, 3, 0] = 0.9, 0.1
    outlier = 0.4 * 0.99 / 300
    weight = torch.tensor([1.0, 0.5], dtype=F64)
    assert texture_loss(texture, weight).item() == pytest.approx(outlier)
    assert texture_loss(texture, weight * 0).item() == 0


def test_colours_within_two_deviations_are_free():
    texture = torch.tensor([0.4, 0.6], dtype=F64)[None, :, None].expand(1, 2, 3).repeat(1, 20, 1)
    assert texture_loss(texture, torch.ones(1, dtype=F64)).item() == 0


def test_statistics_are_each_hands_own():
    generator = torch.Generator().manual_seed(0)
    hands = 0.5 + 0.1 * torch.randn(2, 200, 3, generator=generator, dtype=F64)
    weight = torch.ones(2, dtype=F64)
    both = texture_loss(hands + torch.tensor([0.0, 5.0], dtype=F64)[:, None, None], weight)
    torch.testing.assert_close(both, texture_loss(hands, weight))
    assert both > 0


def test_texture_gradients_are_exact():
    generator = torch.Generator().manual_seed(0)
    texture = torch.randn(2, 30, 3, generator=generator, dtype=F64).requires_grad_()
    weight = torch.tensor([0.3, 1.0], dtype=F64)
    assert torch.autograd.gradcheck(lambda t: texture_loss(t, weight), texture)
