"""Light on vertices for training: the renderer's shading with gradients (S2HAND, section 3.2).

The twin of `shading`, which lights one hand at run time. Colours are display-encoded values in
[0, 1] that light multiplies as they are, because what is fitted to pixels must live in their own
encoding.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_SHORTEST = 1e-12
"""Below this length a vector has no direction: it becomes zero, and so does its gradient."""


def vertex_normals(
    vertices: Float[Tensor, "b V 3"], faces: Int[Tensor, "F 3"]
) -> Float[Tensor, "b V 3"]:
    """Return unit normals, outward; each face counts by its area.

    Loose vertices, and those whose faces cancel out or have no area, get zero and no gradient.

    Args:
        vertices: any frame, metres.
        faces: triangles, counter-clockwise seen from outside. At an open wrist the rim's normals
            are those of the skin alone: do not close the surface for this.
    """
    corners = vertices.index_select(1, faces.flatten()).unflatten(1, (-1, 3))
    a, b, c = corners.unbind(2)
    areas = torch.linalg.cross(b - a, c - a)
    spread = areas[:, :, None].expand(-1, -1, 3, -1).flatten(1, 2)
    return _unit(torch.zeros_like(vertices).index_add(1, faces.flatten(), spread))


def light_vertices(
    texture: Float[Tensor, "b V 3"], light: Float[Tensor, "b 11"], normals: Float[Tensor, "b V 3"]
) -> Float[Tensor, "b V 3"]:
    """Return `texture * (I_a c_a + I_d c_d max(0, normal . d))`, d a unit vector.

    The eleven numbers are, in the public code's order, the intensities I_a (ambient) and I_d
    (directional), their colours c_a (3) and c_d (3), and the direction d (3). Two things differ
    from that code: d points from the surface towards the source (there it is the way light
    travels, and is compared with inward normals), and it is normalised, so that I_d alone says how
    strong the light is. A direction without length leaves the ambient part.

    The result is not clamped, as in the paper: too bright a vertex must keep its gradient. Clip to
    [0, 1] what is shown.

    Args:
        texture: albedo, display-encoded, [0, 1].
        light: as above, camera frame.
        normals: unit normals in the camera frame, outward.
    """
    intensity, ambient, directional, direction = light[:, None].split([2, 3, 3, 3], -1)
    facing = (normals * _unit(direction)).sum(-1, keepdim=True).clamp(min=0)
    return texture * (intensity[..., :1] * ambient + intensity[..., 1:] * directional * facing)


def _unit(vectors: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """Return vectors of length 1; the shortest become zero without gradient."""
    squared = (vectors * vectors).sum(-1, keepdim=True)
    long = squared > _SHORTEST**2
    # Both sides of `where` must be finite, or the unused one poisons the gradient of the used one.
    inverse = torch.where(long, squared, torch.ones_like(squared)).rsqrt()
    return torch.where(long, vectors * inverse, torch.zeros_like(vectors))
