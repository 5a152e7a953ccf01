"""Rotations as differentiable tensors: axis-angle in, matrices in the middle, 6D for networks.

Every function takes any number of leading axes and is smooth at the identity: gradients at zero
are finite and exact, because the series of sin(t)/t is used below `_SMALL`. On arrays outside the
training graph, `scipy.spatial.transform.Rotation` does this work.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

_SMALL: Final = 1e-4  # squared angle (rad^2) below which a three-term series is exact to float64


def skew(vector: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Return the matrix K with `K @ x = vector x x`."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def matrix_from_axis_angle(axis_angle: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Rodrigues: R = I + sin(t)/t K + (1 - cos(t))/t^2 K^2, with t the angle and K = skew(axis_angle)."""
    squared = (axis_angle * axis_angle).sum(-1)
    small = squared < _SMALL
    # The unused branch must stay finite, or its gradient poisons the used one through `where`.
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    a = torch.where(small, 1 - squared / 6 + squared**2 / 120, angle.sin() / angle)
    b = torch.where(small, 0.5 - squared / 24 + squared**2 / 720, (1 - angle.cos()) / safe)
    K = skew(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + a[..., None, None] * K + b[..., None, None] * (K @ K)


def axis_angle_from_matrix(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Return the shortest axis-angle of a rotation matrix (angle in [0, pi])."""
    xyzw = quaternion_from_matrix(matrix)
    xyz, w = xyzw[..., :3], xyzw[..., 3]
    squared = (xyz * xyz).sum(-1)
    small = squared < _SMALL
    norm = torch.where(small, torch.ones_like(squared), squared).sqrt()
    factor = torch.where(
        small, 2 + squared / 3 + 0.15 * squared**2, 2 * torch.atan2(norm, w) / norm
    )
    return xyz * factor[..., None]


def quaternion_from_matrix(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4"]:
    """Return the unit quaternion (x, y, z, w) with w >= 0, from the best conditioned of four forms."""
    m = matrix
    trace = m.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    diagonal = torch.cat([1 - trace + 2 * m.diagonal(dim1=-2, dim2=-1), 1 + trace], -1)
    xy, xz, yz = (m[..., i, j] + m[..., j, i] for i, j in ((0, 1), (0, 2), (1, 2)))
    xw, yw, zw = (m[..., i, j] - m[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0)))
    x2, y2, z2, w2 = diagonal.unbind(-1)
    rows = [[x2, xy, xz, xw], [xy, y2, yz, yw], [xz, yz, z2, zw], [xw, yw, zw, w2]]
    candidates = torch.stack([torch.stack(row, -1) for row in rows], -2)
    best = diagonal.argmax(-1)[..., None, None].expand(*diagonal.shape[:-1], 1, 4)
    quaternion = candidates.gather(-2, best).squeeze(-2)
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def matrix_from_rot6d(rot6d: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 3 3"]:
    """Gram-Schmidt on two 3-vectors, the first two columns (Zhou et al. 2019, section 3)."""
    first, second = rot6d[..., :3], rot6d[..., 3:]
    x = torch.nn.functional.normalize(first, dim=-1)
    y = torch.nn.functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)
