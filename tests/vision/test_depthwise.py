import pytest
import torch
from torch import nn

from tracker.vision.depthwise import DepthwiseConv2d
from tracker.vision.efficientnet import EfficientNet


def gradients(layer: nn.Module, x: torch.Tensor, half: bool) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        y = layer(x)
    # A weight for every place, so that a shifted or mixed-up gradient cannot pass.
    (y.float() * torch.arange(y.numel()).view(y.shape).sin()).sum().backward()
    assert x.grad is not None
    found = [y.detach().float(), x.grad, layer.weight.grad.clone()]
    layer.zero_grad()
    return found


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 2)])
def test_half_precision_gives_the_gradient_of_full_precision(kernel, stride):
    torch.manual_seed(0)
    layer = DepthwiseConv2d(8, 8, kernel, stride, kernel // 2, groups=8, bias=False)
    x = torch.randn(3, 8, 12, 12).to(memory_format=torch.channels_last)
    for half, full in zip(gradients(layer, x, True), gradients(layer, x, False), strict=True):
        assert (half - full).norm() < 0.01 * full.norm()


def test_its_weights_get_a_gradient_where_its_input_needs_none():
    layer = DepthwiseConv2d(4, 4, 3, padding=1, groups=4, bias=False)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 4, 8, 8)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().min() > 0


def test_the_encoder_has_it_in_every_block():
    encoder = EfficientNet("efficientnet_lite0")
    kinds = [type(m) for name, m in encoder.named_modules() if name.endswith("conv_dw")]
    assert set(kinds) == {DepthwiseConv2d}
    assert len(kinds) == 16


def test_without_autocast_it_is_the_ordinary_convolution():
    layer = DepthwiseConv2d(4, 4, 3, padding=1, groups=4, bias=False)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(layer(x), nn.functional.conv2d(x, layer.weight, None, 1, 1, 1, 4))
