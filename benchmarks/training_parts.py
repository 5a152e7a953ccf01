"""What a training step does besides the network: rasteriser and SSIM against plain PyTorch."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.metric import Metric, alternating_ms
from tracker.geometry.hand_model import HandModel
from tracker.geometry.rasteriser import Backend, RasterTopology, rasterise
from tracker.geometry.ssim import ssim
from tracker.geometry.ssim_window import C1, C2, RADIUS, WINDOW
from tracker.vision.efficientnet import EfficientNet

_BATCH = 32
_SIZE = 224
_FILL = 0.75  # side of a hand in its crop


def run(quick: bool) -> list[Metric]:
    """Time forward and backward together; ratios say how many times faster we are."""
    rounds = 5 if quick else 30
    return [*_rasteriser(rounds), _share_of_encoder(3 if quick else 7), *_ssim(rounds)]


def _rasteriser(rounds: int) -> list[Metric]:
    numba, torch_alone = _render("numba"), _render("torch")
    ours_ms, theirs_ms = _medians([numba, torch_alone], rounds)
    found, expected = numba(), torch_alone()
    difference = max(float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True))
    name = "torch backend"
    return [
        Metric(
            "raster_step_ms",
            ours_ms,
            "ms",
            reference=f"{name}, {_BATCH} images of {_SIZE} px, forward and backward",
            reference_value=theirs_ms,
            ratio=theirs_ms / ours_ms,
        ),
        Metric("raster_gradient_difference", difference, "relative", reference=name),
    ]


def _share_of_encoder(rounds: int) -> Metric:
    encoder = EfficientNet().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    images = torch.rand(_BATCH, 3, _SIZE, _SIZE).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        encoder.zero_grad()
        torch.stack([feature.mean() for feature in encoder(images)]).sum().backward()

    raster_ms, encoder_ms = _medians([_render("numba"), step], rounds)
    return Metric(
        "raster_share_of_encoder",
        raster_ms / encoder_ms,
        "",
        reference="EfficientNet-b0, forward and backward, ms",
        reference_value=encoder_ms,
    )


def _ssim(rounds: int) -> list[Metric]:
    draw = torch.Generator().manual_seed(0)
    picture = torch.rand(_BATCH, _SIZE // 8, _SIZE // 8, 3, generator=draw)
    picture = picture.repeat_interleave(8, 1).repeat_interleave(8, 2)
    noisy = picture + 0.1 * torch.randn(picture.shape, generator=draw)
    ours, theirs = (
        _gradient_of(function, noisy, picture) for function in (ssim, ssim_by_convolution)
    )
    ours_ms, theirs_ms = _medians([ours, theirs], rounds)
    name = "torch conv2d 11 x 11"
    return [
        Metric(
            "ssim_step_ms",
            ours_ms,
            "ms",
            reference=f"{name}, {_BATCH} images of {_SIZE} px, forward and backward",
            reference_value=theirs_ms,
            ratio=theirs_ms / ours_ms,
        ),
        Metric(
            "ssim_difference",
            float((ssim(noisy, picture) - ssim_by_convolution(noisy, picture)).abs().max()),
            "",
            reference=name,
        ),
    ]


def ssim_by_convolution(
    a: Float[Tensor, "b h w 3"], b: Float[Tensor, "b h w 3"]
) -> Float[Tensor, " b"]:
    """Return SSIM as it is usually written in PyTorch: five convolutions with the whole window."""
    a, b = a.movedim(-1, 1), b.movedim(-1, 1)
    window = torch.tensor(np.outer(WINDOW, WINDOW), dtype=a.dtype).expand(3, 1, -1, -1)
    blur = lambda image: torch.conv2d(image, window, padding=RADIUS, groups=3)  # noqa: E731
    mean_a, mean_b = blur(a), blur(b)
    aa, bb, ab = mean_a * mean_a, mean_b * mean_b, mean_a * mean_b
    spread = (blur(a * a) - aa) + (blur(b * b) - bb)
    alike = (2 * ab + C1) * (2 * (blur(a * b) - ab) + C2)
    return (alike / ((aa + bb + C1) * (spread + C2))).mean((1, 2, 3))


def _render(backend: Backend) -> Callable[[], tuple[Tensor, ...]]:
    """Return a function that draws a batch of hands and gives the gradients of a loss."""
    model, draw = HandModel.load(), torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, generator=draw)  # noqa: E731
    pose, turns = model.pose_from_pca(0.7 * normal(_BATCH, 30)), normal(_BATCH, 3)
    vertices = model.with_shape(normal(_BATCH, 10)).with_pose(turns, pose).skin().vertices
    vertices = vertices - vertices.mean(1, keepdim=True) + torch.tensor([0, 0, 0.6])
    uv = vertices[..., :2] / vertices[..., 2:]
    low, high = uv.amin(1), uv.amax(1)
    K = torch.eye(3).repeat(_BATCH, 1, 1)
    K[:, 0, 0] = K[:, 1, 1] = _FILL * _SIZE / (high - low).amax(1)
    K[:, :2, 2] = _SIZE / 2 - K[:, 0, :1] * (low + high) / 2
    colors = 0.5 + 0.3 * (model.v_template * 30).sin().repeat(_BATCH, 1, 1)
    topology = RasterTopology.of(model.faces.numpy())
    leaves = (vertices.requires_grad_(), colors.requires_grad_())
    up = torch.rand(_BATCH, _SIZE, _SIZE, 3, generator=draw)

    def step() -> tuple[Tensor, ...]:
        drawn = rasterise(*leaves, K, topology, (_SIZE, _SIZE), backend)
        return torch.autograd.grad((drawn.rgb, drawn.mask), leaves, (up, up[..., 0].contiguous()))

    return step


def _gradient_of(
    function: Callable[[Tensor, Tensor], Tensor], render: Tensor, image: Tensor
) -> Callable[[], tuple[Tensor, ...]]:
    leaf = render.clone().requires_grad_()
    return lambda: torch.autograd.grad(function(leaf, image).sum(), leaf)


def _medians(candidates: list[Callable[[], object]], rounds: int) -> list[float]:
    return [float(np.median(times)) for times in alternating_ms(candidates, rounds)]
