"""The rasteriser as Warp kernels: one source for NVIDIA GPUs and, for tests, for the processor.

Needs the optional package `warp-lang`. The same steps as in the other backends, each as one thread
a face, an edge or a pixel; where several threads meet, 64-bit keys of (value, index) and
`atomic_max` make the result independent of their order. Gradients are summed with atomics, so on a
GPU their last bits change from run to run. The kernels (`raster_warp_kernels`) are written to
Warp's documentation and tested on its CPU device; no GPU has run them yet.
"""

from typing import Any, NamedTuple

import torch
import warp as wp  # pyright: ignore[reportMissingImports]
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from tracker.geometry import raster_warp_kernels as kernels

wp.init()  # once a process; tensors cannot be handed to Warp before


def render(
    uvw: Float[Tensor, "b V 3"],
    colors: Float[Tensor, "b V 3"],
    faces: Int[Tensor, "F 3"],
    edges: Int[Tensor, "E 4"],
    hw: tuple[int, int],
    antialias: bool,
) -> tuple[Float[Tensor, "b h w 3"], Float[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Return colour, coverage and depth of projected meshes; float32 on one device."""
    return _Render.apply(uvw, colors, faces, edges, hw, antialias)


class _Render(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        uvw: Tensor,
        colors: Tensor,
        faces: Tensor,
        edges: Tensor,
        hw: tuple[int, int],
        antialias: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        size, device = (len(uvw), *hw), uvw.device
        nearest = torch.full(size, -1, dtype=torch.int64, device=device)
        pairs = torch.full((*size, 2), -1, dtype=torch.int64, device=device)
        rgb, mask, depth = uvw.new_empty(*size, 3), uvw.new_empty(size), uvw.new_empty(size)
        mesh = _Mesh(_vectors(uvw), _vectors(colors), _numbers(faces), _numbers(edges))
        seen, layers = _numbers(nearest), (_vectors(rgb), _numbers(mask), _numbers(depth))
        _launch(kernels.see, (len(uvw), len(faces)), device, mesh.uvw, mesh.faces, seen)
        look = (mesh.uvw, mesh.colors, mesh.faces, seen)
        _launch(kernels.colour, size, device, *look, *layers)
        if antialias:
            outline = (mesh.uvw, mesh.faces, mesh.edges, seen, _numbers(pairs))
            _launch(kernels.cross, (len(uvw), len(edges)), device, *outline)
            hard = _vectors(rgb.clone())
            _launch(kernels.blend, pairs.shape, device, *outline, hard, *layers[:2])
        ctx.save_for_backward(uvw, colors, faces, edges, nearest, pairs)
        ctx.antialias = antialias
        ctx.mark_non_differentiable(depth)
        ctx.set_materialize_grads(False)
        return rgb, mask, depth

    @staticmethod
    @once_differentiable  # untyped, so the parameters' names are lost on the type checker
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Any, ...]:
        rgb, mask, _ = grad_outputs
        uvw, colors, faces, edges, nearest, pairs = ctx.saved_tensors
        size, device, zeros = nearest.shape, nearest.device, uvw.new_zeros
        to_uvw, to_colors = zeros(uvw.shape), zeros(colors.shape)
        mesh = _Mesh(_vectors(uvw), _vectors(colors), _numbers(faces), _numbers(edges))
        rgb = zeros(*size, 3) if rgb is None else rgb
        hard = rgb.clone(memory_format=torch.contiguous_format)
        look = (mesh.uvw, mesh.colors, mesh.faces)
        if ctx.antialias:
            up = (_vectors(rgb), _numbers(zeros(size) if mask is None else mask), _vectors(hard))
            outline = (*look, mesh.edges, _numbers(nearest), _numbers(pairs))
            _launch(kernels.blend_adjoint, pairs.shape, device, *outline, *up, _vectors(to_uvw))
        to_mesh = (_vectors(to_uvw), _vectors(to_colors))
        _launch(
            kernels.colour_adjoint, size, device, *look, _numbers(nearest), _vectors(hard), *to_mesh
        )
        return to_uvw, to_colors, None, None, None, None


class _Mesh(NamedTuple):
    """Warp's views of the tensors of a mesh; they keep these alive."""

    uvw: Any
    colors: Any
    faces: Any
    edges: Any


def _vectors(tensor: Tensor) -> Any:
    """Return Warp's view of a tensor whose last axis is a vector."""
    return wp.from_torch(tensor.detach().contiguous(), dtype=wp.vec3, requires_grad=False)


def _numbers(tensor: Tensor) -> Any:
    """Return Warp's view of a tensor."""
    return wp.from_torch(tensor.detach().contiguous(), requires_grad=False)


def _launch(kernel: Any, threads: tuple[int, ...], device: torch.device, *arrays: Any) -> None:
    """Run a kernel in PyTorch's current stream."""
    cuda = device.type == "cuda"
    stream = wp.stream_from_torch(torch.cuda.current_stream(device)) if cuda else None
    device_of_warp = wp.device_from_torch(device)
    wp.launch(kernel, tuple(threads), inputs=arrays, device=device_of_warp, stream=stream)
