"""What frames of one hand should agree on: smooth turns, one shape, one skin.

Beyond the paper, after its follow-up for videos (S2HAND(V), Tu et al. 2023), whose formulas we have
not seen: these are our own reading of its abstract. One network sees every frame alone; only the
losses look at neighbours. A batch holds triples of frames t-1, t, t+1 one after the other, from
`videos:FOLDER,triples=yes`; triples that are not evenly spaced frames of one hand do not count. Every
weight is 0 unless it is given.

    E_motion  = mean over joints of 1 - (q'_t . q_t)^2,   q'_t = slerp(q_{t-1}, q_{t+1}, 1/2)
    E_steady_shape   = mean_t |betas_t - mean betas|^2 + mean_t (ln s_t - mean ln s)^2
    E_steady_texture = mean over vertices and channels of mean_t (C_t - mean C)^2

q are the unit quaternions of the 16 joints against their parents, the wrist's in the camera of the
clip; 1 - (q' . q)^2 is sin^2 of half the angle between them, so hands that turn evenly cost nothing,
however fast. s is the hand's size and C its albedo: light may change.
"""

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tracker.geometry.hand_model import HandModel
from tracker.geometry.losses import confident_mean
from tracker.geometry.rotations import matrix_from_axis_angle, quaternion_from_matrix
from tracker.vision.network import NetworkOutput
from train.batch import TrainBatch
from train.stages import Term

TRIPLE: Final = 3
LARGEST_GAP: Final = 6
"""Frames between neighbours, at most: a quarter of a second at 25 frames a second."""
TEMPORAL: Final[tuple[Term, ...]] = ("motion", "steady_shape", "steady_texture")


def evenly_spaced(moments: Sequence[tuple[str, int] | None]) -> bool:
    """Tell whether three moments (clip and frame) are neighbours of one hand."""
    if len(moments) != TRIPLE or any(moment is None for moment in moments):
        return False
    (clip, first), (clip_b, second), (clip_c, third) = (m for m in moments if m is not None)
    gap = second - first
    return clip == clip_b == clip_c and third - second == gap and 0 < gap <= LARGEST_GAP


def whole_triples(batch: TrainBatch) -> Bool[Tensor, " t"]:
    """Return which of a batch's triples are neighbouring frames of one hand."""
    starts = range(0, len(batch) // TRIPLE * TRIPLE, TRIPLE)
    found = [evenly_spaced(batch.clip[i : i + TRIPLE]) for i in starts]
    return torch.tensor(found, dtype=torch.bool, device=batch.rgb.device)


def joint_turns(
    output: NetworkOutput, hand: HandModel, crop_from_cam: Float[Tensor, "b 3 3"]
) -> Float[Tensor, "b 16 3 3"]:
    """Return each joint's rotation against its parent; the wrist's in the camera of the clip.

    Every crop is the picture of a camera rolled in its own way, which is undone here.
    """
    fingers = matrix_from_axis_angle(hand.pose_from_pca(output.pose))
    wrist = crop_from_cam.mT.to(fingers.dtype) @ output.global_orient
    return torch.cat([wrist[:, None], fingers], 1)


def motion_loss(turns: Float[Tensor, "b j 3 3"], whole: Bool[Tensor, " t"]) -> Float[Tensor, ""]:
    """E_motion: each turn lies halfway between its neighbours in time, see the module."""
    before, now, after = _triples(quaternion_from_matrix(turns), whole).unbind(1)
    # q and -q are one rotation: of the two ways between them, the short one.
    same_side = torch.where((before * after).sum(-1, keepdim=True) < 0, -after, after)
    middle = torch.nn.functional.normalize(before + same_side, dim=-1)
    away = 1 - (middle * now).sum(-1).square()
    return confident_mean(away.mean(-1), whole.to(away.dtype))


def steady_shape_loss(
    betas: Float[Tensor, "b 10"], scale: Float[Tensor, " b"], whole: Bool[Tensor, " t"]
) -> Float[Tensor, ""]:
    """E_steady_shape: one hand keeps its shape and its size, see the module."""
    change = _spread(betas, whole).sum(-1) + _spread(scale.log(), whole)
    return confident_mean(change, whole.to(change.dtype))


def steady_texture_loss(
    texture: Float[Tensor, "b V 3"], whole: Bool[Tensor, " t"]
) -> Float[Tensor, ""]:
    """E_steady_texture: one hand keeps its colours, see the module."""
    change = _spread(texture, whole).mean((1, 2))
    return confident_mean(change, whole.to(change.dtype))


def _triples(values: Tensor, whole: Tensor) -> Tensor:
    """Return (b, ...) as (t, 3, ...); what is left over at the end belongs to no triple."""
    return values[: TRIPLE * len(whole)].unflatten(0, (len(whole), TRIPLE))


def _spread(values: Tensor, whole: Tensor) -> Tensor:
    """Return (t, ...), the mean squared distance of each triple's values from their mean."""
    return _triples(values, whole).var(1, correction=0)
