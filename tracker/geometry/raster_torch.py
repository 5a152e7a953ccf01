"""The rasteriser in plain PyTorch: any device, any float type, gradients by autograd.

It is the reference that the compiled backends are tested against, and what remains where neither
of them runs. What a picture is made of, and why, is told in `rasteriser`.
"""

from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracker.geometry.raster_rules import BEHIND, FLAT_PX2, HIDDEN, INSIDE_SLACK, THINNEST_PX2

_INDEX_BITS: Final = 32


def render(
    uvw: Float[Tensor, "b V 3"],
    colors: Float[Tensor, "b V 3"],
    faces: Int[Tensor, "F 3"],
    edges: Int[Tensor, "E 4"],
    hw: tuple[int, int],
    antialias: bool,
) -> tuple[Float[Tensor, "b h w 3"], Float[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Return colour, coverage and depth of projected meshes."""
    faces, edges = faces.long(), edges.long()
    front = _front(uvw.detach(), faces)
    seen = _visible(uvw.detach(), faces, front, hw)
    rgba = _interpolated(uvw, colors, faces, seen)
    if antialias:
        rgba = _blended(rgba, _crossings(_outline(uvw, edges, front), seen))
    rgba = rgba.unflatten(0, (len(uvw), *hw))
    depth = torch.where(seen.w > 0, 1 / seen.w, seen.w)
    return rgba[..., :3], rgba[..., 3], depth.view(rgba.shape[:3])


class _Seen(NamedTuple):
    """What each pixel centre sees, images one after another."""

    face: Int[Tensor, " n"]
    """Index of the face; not to be read where nothing is seen."""
    w: Float[Tensor, " n"]
    """1/z, 0 where nothing is seen."""
    hw: tuple[int, int]


class _Crossings(NamedTuple):
    """Pairs of pixels that an outline passes between."""

    inner: Int[Tensor, " n"]
    outer: Int[Tensor, " n"]
    t: Float[Tensor, " n"]
    """Share of a pixel that changes sides."""


def _doubled_area(p: Tensor, q: Tensor) -> Tensor:
    return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]


def _front(uvw: Float[Tensor, "b V 3"], faces: Int[Tensor, "F 3"]) -> Bool[Tensor, "b F"]:
    """Tell which faces are turned to the camera."""
    a, b, c = uvw[:, faces].unbind(2)
    return _doubled_area(b - a, c - a) < -THINNEST_PX2


def _weights(corners: Float[Tensor, "n 3 3"], at: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Return the barycentric weights of points in the image."""
    a, b, c = corners[..., :2].unbind(-2)
    ab, ac, ap = b - a, c - a, at - a
    inv = 1 / _doubled_area(ab, ac)
    b_weight, c_weight = _doubled_area(ap, ac) * inv, _doubled_area(ab, ap) * inv
    return torch.stack([1 - b_weight - c_weight, b_weight, c_weight], -1)


def _counted(starts: Int[Tensor, " n"], counts: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
    """Return which range each element of `starts[i] .. starts[i] + counts[i]` is of, and its value."""
    owner = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    before = counts.cumsum(0) - counts
    return owner, torch.arange(len(owner), device=counts.device) - before[owner] + starts[owner]


@torch.no_grad()
def _visible(
    uvw: Float[Tensor, "b V 3"],
    faces: Int[Tensor, "F 3"],
    front: Bool[Tensor, "b F"],
    hw: tuple[int, int],
) -> _Seen:
    """Find the nearest face at each pixel centre: all faces at all pixels of their boxes."""
    image, face = front.nonzero(as_tuple=True)
    corners = uvw[image[:, None], faces[face]]
    size = torch.tensor([hw[1], hw[0]], device=uvw.device)
    low, high = corners[..., :2].amin(1), corners[..., :2].amax(1)
    first = torch.minimum((low - 0.5).ceil().long().clamp(min=0), size)
    sides = torch.minimum((high - 0.5).floor().long() + 1, size).sub(first).clamp(min=0)
    owner, k = _counted(torch.zeros_like(face), sides.prod(1))
    x = first[owner, 0] + k % sides[owner, 0]
    y = first[owner, 1] + k // sides[owner, 0]
    weights = _weights(corners[owner], torch.stack([x, y], -1).to(uvw.dtype) + 0.5)
    inside = (weights >= -INSIDE_SLACK).all(-1).nonzero()[:, 0]
    owner, x, y, weights = owner[inside], x[inside], y[inside], weights[inside]
    w = (weights * corners[owner, :, 2]).sum(-1)
    pixel = (image[owner] * hw[0] + y) * hw[1] + x
    # Positive floats are ordered as their bits, so the largest key is the nearest face.
    key = (w.float().view(torch.int32).long() << _INDEX_BITS) | face[owner]
    nearest = torch.full((len(uvw) * hw[0] * hw[1],), -1, dtype=torch.int64, device=uvw.device)
    nearest.scatter_reduce_(0, pixel, key, "amax")
    bits = (nearest >> _INDEX_BITS).clamp(min=0).int()
    return _Seen(nearest & ((1 << _INDEX_BITS) - 1), bits.view(torch.float32).to(uvw.dtype), hw)


def _interpolated(
    uvw: Float[Tensor, "b V 3"],
    colors: Float[Tensor, "b V 3"],
    faces: Int[Tensor, "F 3"],
    seen: _Seen,
) -> Float[Tensor, "n 4"]:
    """Return the perspective-correct colour at each pixel, and 1 where something is seen."""
    height, width = seen.hw
    pixel = seen.w.nonzero()[:, 0]
    image, place = pixel // (height * width), pixel % (height * width)
    at = torch.stack([place % width, place // width], -1).to(uvw.dtype) + 0.5
    vertices = (image[:, None] * uvw.shape[1] + faces[seen.face[pixel]]).flatten()
    corners = uvw.flatten(0, 1).index_select(0, vertices).unflatten(0, (-1, 3))
    values = colors.flatten(0, 1).index_select(0, vertices).unflatten(0, (-1, 3))
    a, b, c = corners.detach().unbind(1)
    flat = _doubled_area(b - a, c - a).abs() < FLAT_PX2
    places = torch.where(flat[:, None, None], corners.detach(), corners)
    weights = _weights(places, at) * corners[..., 2]
    rgb = (weights[..., None] * values).sum(1) / weights.sum(1, keepdim=True)
    rgba = torch.cat([rgb, torch.ones_like(rgb[:, :1])], 1)
    return rgba.new_zeros(len(seen.w), 4).index_copy(0, pixel, rgba)


class _Outline(NamedTuple):
    """Silhouette edges; the first coordinate runs across an edge, the second along it."""

    image: Int[Tensor, " n"]
    ends: Float[Tensor, "n 2 3"]
    steep: Bool[Tensor, " n"]
    """True where the edge crosses rows, so that across is x and along is y."""
    left: Bool[Tensor, " n"]
    """True where the face along a -> b is the one turned to the camera."""


def _outline(
    uvw: Float[Tensor, "b V 3"], edges: Int[Tensor, "E 4"], front: Bool[Tensor, "b F"]
) -> _Outline:
    """Return the edges between faces turned to the camera and faces (or nothing) turned away."""
    left = front[:, edges[:, 2]]
    right = front[:, edges[:, 3]] & (edges[:, 3] >= 0)
    image, edge = (left != right).nonzero(as_tuple=True)
    ends = uvw[image[:, None], edges[edge, :2]]
    run = (ends[:, 1] - ends[:, 0]).detach().abs()
    steep = run[:, 1] >= run[:, 0]
    ends = torch.where(steep[:, None, None], ends, ends[..., [1, 0, 2]])
    return _Outline(image, ends, steep, left[image, edge])


def _crossings(outline: _Outline, seen: _Seen) -> _Crossings:
    """Follow the outline over the pixel grid; of the crossings of one pixel pair keep the outermost."""
    height, width = seen.hw
    along = outline.ends[..., 1].detach()
    start = (along.amin(1) - 0.5).ceil().long().clamp(min=0)
    rows = torch.where(outline.steep, height, width)
    stop = torch.minimum((along.amax(1) - 0.5).ceil().long(), rows)
    owner, row = _counted(start, (stop - start).clamp(min=0))
    image, ends, steep, left = (part[owner] for part in outline)
    a, b = ends.unbind(1)
    run = b - a
    u = (row + 0.5 - a[:, 1]) / run[:, 1]
    place, w, _ = (a + u[:, None] * run)[:, [0, 2, 1]].unbind(1)
    near = (place.detach() - 0.5).floor().long()
    low = image * height * width + torch.where(steep, row * width + near, near * width + row)
    high = low + torch.where(steep, 1, width)
    # Where the picture's v points down, the inside of a front face lies left of its edges.
    inner_is_high = ((run[:, 1] > 0) == left) == steep
    inner, outer = torch.where(inner_is_high, high, low), torch.where(inner_is_high, low, high)
    t = torch.where(inner_is_high, -1, 1) * (place - near - 1)
    within = (near >= 0) & (near + 1 < torch.where(steep, width, height))
    kept = within.nonzero()[:, 0]
    kept = kept[_outlines(seen, inner[kept], outer[kept], w[kept].detach())]
    kept = kept[_outermost(t[kept].detach(), 2 * low[kept] + (~steep[kept]).long(), len(seen.w))]
    return _Crossings(inner[kept], outer[kept], t[kept])


def _outlines(seen: _Seen, inner: Tensor, outer: Tensor, w: Tensor) -> Bool[Tensor, " n"]:
    """Tell whether an edge at depth `w` is the visible border between two pixels."""
    w_in, w_out = seen.w[inner], seen.w[outer]
    before = (w > w_out * BEHIND) & (w_in <= w * HIDDEN) & (seen.face[inner] != seen.face[outer])
    return (w_in > 0) & ((w_out <= 0) | before)


def _outermost(t: Tensor, pair: Int[Tensor, " n"], pixels: int) -> Int[Tensor, " k"]:
    """Return the index of the crossing with the largest t of each pixel pair."""
    # t + 1/2 is a distance; positive floats are ordered as their bits.
    distance = (t + 0.5).clamp(min=0).float().view(torch.int32).long()
    key = (distance << _INDEX_BITS) | torch.arange(len(t), device=t.device)
    best = key.new_full((2 * pixels,), -1).scatter_reduce_(0, pair, key, "amax")
    return (best[pair] == key).nonzero()[:, 0]


def _blended(rgba: Float[Tensor, "n 4"], crossings: _Crossings) -> Float[Tensor, "n 4"]:
    """Give each crossing's share of its pixel pair to the side it belongs to."""
    inner, outer, t = crossings
    step = t[:, None] * (rgba[inner] - rgba[outer])
    return rgba.index_add(0, torch.where(t.detach() > 0, outer, inner), step)
