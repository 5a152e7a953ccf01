"""One filter for each channel, trained in half precision on processors without waiting for it.

PyTorch's backward pass of such a convolution in bfloat16 has no fast path on a CPU: it takes two to
ten times as long as in single precision, and more than the rest of the encoder saves.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


class DepthwiseConv2d(nn.Conv2d):
    """A convolution with as many groups as channels and no bias.

    On a CPU under autocast it filters in bfloat16, and takes its gradient in single precision.
    """

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c H W"]:
        """Filter every channel by itself."""
        half = input.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not (half and torch.is_grad_enabled()):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            filtered = _HalfForward.apply(
                input.bfloat16(), self.weight, self.stride, self.padding, self.groups
            )
        assert isinstance(filtered, Tensor)
        return filtered


class _HalfForward(torch.autograd.Function):
    """Forward in the input's precision, backward in that of the weights."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.sizes = (stride, padding, groups)  # pyright: ignore[reportAttributeAccessIssue]
        half = weight.to(x.dtype)
        return nn.functional.conv2d(x, half, None, stride, padding, groups=groups)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        stride, padding, groups = ctx.sizes  # pyright: ignore[reportAttributeAccessIssue]
        needed = (*ctx.needs_input_grad[:2], False)  # pyright: ignore[reportAttributeAccessIssue]
        full = (gradients[0].to(weight.dtype), x.to(weight.dtype), weight)
        still = (None, stride, padding, (1, 1), False, (0, 0), groups)
        by_x, by_weight, _ = torch.ops.aten.convolution_backward(*full, *still, needed)
        return None if by_x is None else by_x.to(x.dtype), by_weight, None, None, None
