"""What is expected of any hand, seen or not: size, shape, joints within their limits, smoothness.

The paper gives these terms in a supplement we have not seen; E_s and E_J are the public code's.
"""

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracker.geometry.hand_model import HandModel
from tracker.geometry.joint_limits import joint_angles, limit_violation
from tracker.geometry.losses import Variant, lengths
from tracker.geometry.rotations import matrix_from_axis_angle
from tracker.geometry.skeleton import JOINTS, MANO_JOINTS

MANO_BONE_M: Final = 0.0282
"""Length that the public code expects of MANO's middle proximal phalanx, between its joints."""
_KNUCKLE, _NEXT = JOINTS.index("middle_mcp"), JOINTS.index("middle_pip")

_MCP: Final = ((-5.0, 5.0), (-10.0, 10.0), (-10.0, 100.0))
_HINGE: Final = ((-5.0, 5.0), (-5.0, 5.0), (-10.0, 100.0))
TABLE_DEG: Final = {
    **{name: _MCP if name.endswith("mcp") else _HINGE for name in MANO_JOINTS[1:]},
    "pinky_mcp": ((-20.0, 5.0), (-10.0, 20.0), (-10.0, 100.0)),
    "thumb_cmc": ((0.0, 90.0), (-22.5, 33.75), (-22.5, 22.5)),
    "thumb_mcp": ((-5.0, 5.0), (-5.0, 5.0), (-22.5, 22.5)),
    "thumb_ip": ((-5.0, 5.0), (-5.0, 5.0), (-20.0, 100.0)),
}
"""The public code's lowest and highest axis-angle components x (twist), y (spread), z (flexion)."""
_COMPONENT_WEIGHT: Final = (1.0, 1.0, 2.0)
_TABLE_ENTRIES: Final = 16 * 3  # the code averages over the wrist too, which is never outside
_FLATTEST: Final = 1e-4
"""Least sine of a triangle's corner, as a share of its sides: thinner ones get no weight."""


def shape_loss(betas: Float[Tensor, "b 10"], *, variant: Variant = "paper") -> Float[Tensor, ""]:
    """E_beta = |betas|_2, mean over hands; the public code has the mean square instead.

    Its published weight belongs to the mean square. As released, the code overwrites betas with
    zeros, so the term does nothing there.
    """
    return lengths(betas).mean() if variant == "paper" else betas.square().mean()


def scale_loss(joints: Float[Tensor, "b 21 3"], length_m: float = MANO_BONE_M) -> Float[Tensor, ""]:
    """E_s = | |J_9 - J_10| - length |: the middle finger's first bone has the length expected of it.

    It is what ties depth to metres: nothing in one picture tells a small near hand from a large far
    one. `length_m` is `bone_prior_m(hand)`.
    """
    return (lengths(joints[:, _KNUCKLE] - joints[:, _NEXT]) - length_m).abs().mean()


def bone_prior_m(hand: HandModel) -> float:
    """Return the length that E_s expects of a hand model: the published one for MANO.

    Others put the knuckle elsewhere in the flesh, so theirs is their own mean hand's.
    """
    if hand.model_id == "mano":
        return MANO_BONE_M
    joints = hand.J_regressor @ hand.v_template
    knuckle, following = (MANO_JOINTS.index(name) for name in ("middle_mcp", "middle_pip"))
    return float((joints[knuckle] - joints[following]).norm())


def joint_limit_loss(hand_pose: Float[Tensor, "b 15 3"]) -> Float[Tensor, ""]:
    """E_J as published: how far (rad) the axis-angle components lie outside `TABLE_DEG`.

    Components count 1, 1 and 2 (flexion), mean over 16 joints and 3 components. It reads rotation
    vectors as if they were angles, which they are only near the axes, and its limits are tighter
    than real hands: `anatomical_limit_loss` is the alternative.

    Args:
        hand_pose: axis-angle with the flat hand at zero, so the mean pose is included.
    """
    rows = [TABLE_DEG[name] for name in MANO_JOINTS[1:]]
    limits = torch.deg2rad(torch.tensor(rows, dtype=torch.float64)).to(hand_pose)
    excess = limit_violation(hand_pose, limits) * hand_pose.new_tensor(_COMPONENT_WEIGHT)
    return excess.sum() / (hand_pose.shape[0] * _TABLE_ENTRIES)


def anatomical_limit_loss(
    hand_pose: Float[Tensor, "b 15 3"],
    frames: Float[Tensor, "15 3 3"],
    limits: Float[Tensor, "15 3 2"],
) -> Float[Tensor, ""]:
    """E_J with real angles: how far (rad) flexion, abduction and twist exceed the joints' limits.

    Args:
        hand_pose: axis-angle with the flat hand at zero.
        frames: `joint_limits.joint_frames(hand)`.
        limits: `joint_limits.joint_limits(hand)`.
    """
    angles = joint_angles(matrix_from_axis_angle(hand_pose), frames)
    return limit_violation(angles, limits).mean()


def laplacian_loss(
    vertices: Float[Tensor, "b V 3"], laplacian: Float[Tensor, "V V"]
) -> Float[Tensor, ""]:
    """Return the mean length of L v (m) over vertices: 0 where each is its neighbours' mean.

    Public code only. It takes L from the first hand of each batch as it is posed
    (`cotangent_laplacian(vertices[0].detach(), faces)`); the hand at rest serves as well, once.
    """
    columns = vertices.permute(1, 0, 2).flatten(1)
    return lengths((laplacian @ columns).unflatten(-1, (-1, 3))).mean()


def cotangent_laplacian(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]
) -> Float[Tensor, "V V"]:
    """Return the sparse matrix with (L v)_i = sum_j (cot a_ij + cot b_ij) / 2 (v_j - v_i).

    a and b are the angles opposite the edge (Pinkall and Polthier 1993). L is a constant: no
    gradient flows into it.
    """
    corners = vertices.detach()[faces]
    rows, columns, weights = [], [], []
    for k in range(3):
        ends = [(k + 1) % 3, (k + 2) % 3]
        a, b = (corners[:, end] - corners[:, k] for end in ends)
        sine = torch.linalg.cross(a, b).norm(dim=-1)
        flat = sine <= _FLATTEST * a.norm(dim=-1) * b.norm(dim=-1)
        cotangent = torch.where(flat, torch.zeros_like(sine), (a * b).sum(-1) / sine)
        i, j = faces[:, ends[0]], faces[:, ends[1]]
        rows += [i, j, i, j]
        columns += [j, i, i, j]
        weights += [cotangent / 2, cotangent / 2, -cotangent / 2, -cotangent / 2]
    places = torch.stack([torch.cat(rows), torch.cat(columns)])
    size = (vertices.shape[0], vertices.shape[0])
    return torch.sparse_coo_tensor(
        places, torch.cat(weights), size, check_invariants=True
    ).coalesce()
