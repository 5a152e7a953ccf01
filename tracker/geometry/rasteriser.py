"""Pictures of hands that can be differentiated: colour, soft silhouette and depth.

Visibility is decided once for each pixel centre, as in `zbuffer`, and colours are interpolated
perspective-correctly on the face seen there. A picture made so does not change while a silhouette
moves between two pixel centres, so it would teach nothing about the outline. Therefore every edge
between a face turned to the camera and one turned away is followed over the pixel grid: where it
passes between two pixel centres, t = (distance from the inner centre) - 1/2 is the share of a
pixel by which the surface reaches beyond the border of the two (t > 0) or falls short of it
(t < 0), and that share is blended: t (inner - outer) is added to the outer pixel, or to the inner
one. This is exact coverage for a straight edge, and t has a simple derivative. Edges are followed
along the axis they are steeper in; walking the edges instead of looking at the triangle seen at
each pixel matters, because many outline triangles are slivers that own no pixel centre.

Three backends draw the same picture: `numba` (processor), `warp` (NVIDIA, optional package
`warp-lang`), and `torch` (any device and dtype, and the reference of the tests).
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracker.geometry.topology import closed_faces, edge_faces
from tracker.geometry.zbuffer import NEAR_M

Backend = Literal["auto", "numba", "torch", "warp"]

_FARTHEST_PX: Final = 1e6  # beyond this float32 no longer tells pixels apart


@dataclass(frozen=True, eq=False)
class RasterTopology:
    """What the rasteriser needs to know of a mesh besides where its vertices are."""

    faces: Int[np.ndarray, "F 3"]
    """Triangles of the closed surface, counter-clockwise seen from outside, int32.

    The given faces come first; the wrist's cap follows, a fan on the vertices of its border, so
    that the cap has their colours and no vertex is added.
    """
    edges: Int[np.ndarray, "E 4"]
    """Each edge once as (a, b, face along a -> b, face along b -> a or -1), int32."""

    @classmethod
    def of(cls, faces: Int[np.ndarray, "F 3"]) -> "RasterTopology":
        """Close the surface, so that faces turned away may be culled, and find its edges."""
        closed = closed_faces(faces)
        return cls(closed, edge_faces(closed))


@dataclass(frozen=True)
class Rendered:
    """Pictures of a batch of meshes."""

    rgb: Float[Tensor, "b h w 3"]
    """Colour times coverage, 0 outside: `rgb + (1 - mask) * background` composes a picture."""
    mask: Float[Tensor, "b h w"]
    """Coverage: 1 inside, 0 outside, between them on the outline. Without gradient where shares of
    several outlines add up to more than a pixel and are cut off (`rgb` is not)."""
    depth: Float[Tensor, "b h w"]
    """z in metres of what each pixel centre sees, 0 where that is nothing; without gradient."""


def rasterise(
    vertices: Float[Tensor, "b V 3"],
    colors: Float[Tensor, "b V 3"],
    K: Float[Tensor, "b 3 3"],
    topology: RasterTopology,
    hw: tuple[int, int],
    backend: Backend = "auto",
    antialias: bool = True,
) -> Rendered:
    """Draw one mesh an image, differentiably in vertices, colours and K.

    An image whose mesh reaches the near plane (1 cm), goes behind the camera or is not finite comes
    out empty and gives zero gradients; the others of the batch are not touched by it.

    Args:
        vertices: camera frame (x right, y down, z forward), metres.
        colors: one colour a vertex, any range.
        K: intrinsic matrix of each image in pixels, (0, 0) at the corner of the image.
        topology: the mesh's triangles, from `RasterTopology.of`.
        hw: image height and width.
        backend: `auto` takes the fastest one for the device: numba, warp where it is installed,
            else torch; torch for float64.
        antialias: False leaves the silhouette hard and without gradient.

    Raises:
        ValueError: the backend cannot draw on this device or with this dtype.
    """
    dtype = torch.float64 if vertices.dtype == torch.float64 else torch.float32
    chosen = _choose(backend, vertices.device.type, dtype)
    uvw, colors = _projected(vertices.to(dtype), K.to(dtype)), colors.to(dtype)
    if chosen == "numba":
        from tracker.geometry import raster_numba

        layers = raster_numba.render(uvw, colors, topology.faces, topology.edges, hw, antialias)
        return _rendered(*layers)
    if chosen == "warp":
        from tracker.geometry.raster_warp import render
    else:
        from tracker.geometry.raster_torch import render
    faces, edges = _on_device(topology, vertices.device)
    return _rendered(*render(uvw, colors, faces, edges, hw, antialias))


def _rendered(rgb: Tensor, mask: Tensor, depth: Tensor) -> Rendered:
    # One pixel in ten thousand, where outlines meet, is given more shares than it has room for.
    return Rendered(rgb, mask.clamp(0, 1), depth)


def _choose(backend: Backend, device: str, dtype: torch.dtype) -> Backend:
    """Return the backend to use, checked against device and dtype."""
    single = dtype == torch.float32
    if backend == "auto":
        fast: Backend = "numba" if device == "cpu" else "warp"
        usable = single and (device == "cpu" or (device == "cuda" and _has_warp()))
        return fast if usable else "torch"
    if backend == "numba" and not (device == "cpu" and single):
        raise ValueError(
            f"backend 'numba' draws float32 on the CPU, found {dtype} on {device}; "
            "use backend='auto'"
        )
    if backend == "warp" and not (_has_warp() and single and device in ("cpu", "cuda")):
        raise ValueError(
            f"backend 'warp' draws float32 on CPU or CUDA and needs the package warp-lang, found "
            f"{dtype} on {device}, warp-lang {'' if _has_warp() else 'not '}installed; "
            "use backend='auto' or run `pip install warp-lang`"
        )
    return backend


@lru_cache(1)
def _has_warp() -> bool:
    return find_spec("warp") is not None


@lru_cache(8)
def _on_device(topology: RasterTopology, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return faces and edges as int32 tensors."""
    faces, edges = torch.tensor(topology.faces), torch.tensor(topology.edges)
    return faces.to(device), edges.to(device)


def _projected(
    vertices: Float[Tensor, "b V 3"], K: Float[Tensor, "b 3 3"]
) -> Float[Tensor, "b V 3"]:
    """Return (u, v, 1/z); meshes that cannot be drawn are one point without area or gradient."""
    usable = _usable(vertices, K)[:, None, None]
    ahead = vertices.new_tensor([0, 0, 1])
    # Both sides of `where` must be finite, or the unused one poisons the gradient of the used one.
    return _uvw(
        torch.where(usable, vertices, ahead),
        torch.where(usable, K, torch.eye(3, dtype=K.dtype, device=K.device)),
    )


@torch.no_grad()
def _usable(vertices: Float[Tensor, "b V 3"], K: Float[Tensor, "b 3 3"]) -> Bool[Tensor, " b"]:
    """Tell which images can be drawn: everything finite, in front of the camera, not out of sight."""
    near_enough = _uvw(vertices, K).abs().amax((1, 2)) < _FARTHEST_PX  # false for NaN
    return near_enough & (vertices[..., 2].amin(1) > NEAR_M)


def _uvw(vertices: Float[Tensor, "b V 3"], K: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b V 3"]:
    w = 1 / vertices[..., 2:]
    return torch.cat([(vertices @ K.transpose(1, 2))[..., :2] * w, w], -1)
