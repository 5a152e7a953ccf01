"""How far each finger joint can turn: anatomical angles, their limits, and what exceeds them (E_J).

A joint's rotation is read as flexion, then abduction, then twist (Grood and Suntay 1983) in a frame
fixed to the bone at rest: `d` along the bone, `a` towards the back of the hand, `f = a x d` across.
Flexion comes first because the middle angle folds at 90 degrees, and a finger flexes to 110.

Flexion is positive towards the palm, abduction towards the thumb side (for the thumb: out of the
plane of the palm), twist about `d`. The limits of flexion and finger abduction follow the ranges of motion of
the American Academy of Orthopaedic Surgeons, widened to what hands actively reach; the tolerances
of hinges, the twists and the box of the thumb's saddle joint are our own margins.
"""

import math
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from tracker.geometry.hand_model import HandModel
from tracker.geometry.rotations import matrix_from_axis_angle
from tracker.geometry.skeleton import FINGERS, MANO_FINGERS, MANO_JOINTS

THUMB_ROLL_DEG: Final = 62.0
"""Turn of the thumb's back about its bone, towards the thumb side, seen in the flat hand."""

FOREIGN_SLACK_DEG: Final = 10.0
"""Added to abduction and to the thumb's saddle joint for hands of another flat pose than ours."""

_PIP: Final = ((-5, 110), (-3, 3), (-4, 4))
_DIP: Final = ((-8, 80), (-3, 3), (-4, 4))

LIMITS_DEG: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "index_mcp": ((-20, 90), (-15, 20), (-5, 5)),
    "middle_mcp": ((-20, 90), (-12, 12), (-5, 5)),
    "ring_mcp": ((-20, 92), (-15, 15), (-6, 6)),
    "pinky_mcp": ((-20, 95), (-20, 25), (-8, 8)),
    **dict.fromkeys(("index_pip", "middle_pip", "ring_pip"), _PIP),
    "pinky_pip": ((-5, 105), (-3, 3), (-4, 4)),
    **dict.fromkeys(("index_dip", "middle_dip", "ring_dip", "pinky_dip"), _DIP),
    "thumb_cmc": ((-25, 50), (-15, 60), (-45, 15)),
    "thumb_mcp": ((-10, 60), (-10, 10), (-8, 8)),
    "thumb_ip": ((-15, 80), (-3, 3), (-4, 4)),
}
"""Lowest and highest flexion, abduction and twist of each joint in degrees, zero in the flat hand."""


def joint_limits(model: HandModel) -> Float[Tensor, "15 3 2"]:
    """Return the limits in radians in MANO's joint order: [flexion, abduction, twist] x [low, high].

    They are measured from the flat pose of our own hand. Another hand's fingers are spread a little
    differently at rest, so abduction and the thumb's saddle joint get `FOREIGN_SLACK_DEG` more.
    """
    limits = torch.tensor([LIMITS_DEG[name] for name in MANO_JOINTS[1:]], dtype=torch.float64)
    if not model.model_id.startswith("open_hand"):
        slack = FOREIGN_SLACK_DEG * torch.tensor([-1.0, 1.0], dtype=torch.float64)
        limits[:, 1] += slack
        limits[MANO_JOINTS.index("thumb_cmc") - 1, 0::2] += slack
    return torch.deg2rad(limits).to(model.v_template)


def joint_frames(model: HandModel) -> Float[Tensor, "15 3 3"]:
    """Return each joint's frame at rest, rows (f, a, d), from rest joints and fingertips.

    A left hand's frames are the mirror images of the right hand's, so that the same pose has the
    same angles on both.
    """
    joints = model.J_regressor @ model.v_template
    tips = model.v_template[list(model.tip_ids)]
    ends = [
        tips[FINGERS.index(MANO_FINGERS[i // 3])] if i % 3 == 2 else joints[i + 2]
        for i in range(15)
    ]
    along = torch.nn.functional.normalize(torch.stack(ends) - joints[1:], dim=-1)
    mirror = 1.0 if model.side == "right" else -1.0
    up = along.new_tensor([0.0, 1.0, 0.0]).expand_as(along)
    dorsal = torch.nn.functional.normalize(up - (up * along).sum(-1, keepdim=True) * along, dim=-1)
    across = mirror * torch.linalg.cross(dorsal, along)
    thumb = along.new_tensor([float(name.startswith("thumb")) for name in MANO_JOINTS[1:]])
    roll = (thumb * math.radians(THUMB_ROLL_DEG))[:, None]
    dorsal = roll.cos() * dorsal + roll.sin() * across
    return torch.stack([mirror * torch.linalg.cross(dorsal, along), dorsal, along], -2)


def joint_angles(
    rotations: Float[Tensor, "b 15 3 3"], frames: Float[Tensor, "15 3 3"]
) -> Float[Tensor, "b 15 3"]:
    """Return flexion, abduction and twist (rad) of parent-relative joint rotations, differentiably.

    Abduction lies in [-90, 90] degrees, the other two in [-180, 180]; gradients stay finite there.
    """
    local = frames @ rotations @ frames.mT
    flexion = torch.atan2(-local[..., 1, 2], local[..., 2, 2])
    # The slope of asin is infinite at the fold, which no hand reaches.
    abduction = torch.asin(local[..., 0, 2].clamp(-1 + 1e-6, 1 - 1e-6))
    twist = torch.atan2(-local[..., 0, 1], local[..., 0, 0])
    return torch.stack([flexion, abduction, twist], -1)


def rotations_from_angles(
    angles: Float[Tensor, "b 15 3"], frames: Float[Tensor, "15 3 3"]
) -> Float[Tensor, "b 15 3 3"]:
    """Return the joint rotations with these angles (rad): the inverse of `joint_angles`."""
    axes = torch.eye(3, dtype=angles.dtype, device=angles.device)
    flexion, abduction, twist = (
        matrix_from_axis_angle(angles[..., i : i + 1] * axes[i]) for i in range(3)
    )
    return frames.mT @ flexion @ abduction @ twist @ frames


def limit_violation(
    angles: Float[Tensor, "b 15 3"], limits: Float[Tensor, "15 3 2"]
) -> Float[Tensor, "b 15 3"]:
    """Return by how much (rad, never negative) each angle lies outside its limits.

    Its square, summed, is E_J; its plain sum is the L1 form of Chen et al. 2021 (S2HAND).
    """
    return (limits[..., 0] - angles).relu() + (angles - limits[..., 1]).relu()
