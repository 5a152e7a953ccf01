"""Where a hand is, from five numbers that mean the same in every crop.

A regressed scale and translation in metres let the hand shrink to a point, which lowers every 2D
loss long before rotations are learned, and they ask the network for a depth that its crop does not
show. Ours are read in the crop instead and become metres in closed form, given the crop's K:

    knuckle   uv = w * (1/2 + tanh(offset))        the middle knuckle, in the crop
    size      s  = exp(bounded(raw, ln 2))          against the hand model's own metres
    depth     z  = s * hypot(f * L / (w/2) * exp(bounded(raw, ln 3)), reach)

with f the focal length, w the crop's side, L the length of a hand that fills half of the crop
(`vision.crops` cuts them so) and bounded(x, m) = m * tanh(x / m). As z is a multiple of s, the size
moves the whole hand along its line of sight: no 2D loss can see it, and it is left to the prior on
bones. The image of a hand stays within 1/3 and 3 times the expected one, and no knuckle comes
nearer than the hand's reach.
"""

import math
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from tracker.geometry.rotations import skew

ASSUMED_CROP_FOV_DEG: Final = 25.0
"""Angle across a crop of unknown K: FreiHAND's crops have 26, a hand at arm's length 15 to 30."""
HAND_LENGTH_M: Final = 0.12
"""Wrist to the furthest proximal finger joint of a relaxed adult hand: what fills half of a crop."""
REACH_M: Final = 0.15
"""No vertex of a hand of size 1 is further from its middle knuckle."""
_HALF: Final = 0.5
MOST_LOG_SIZE: Final = math.log(2)
MOST_LOG_DEPTH: Final = math.log(3)

FACING: Final = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
"""First rotation (camera from hand): fingers up, thumb towards the camera.

Halfway between palm and back: there a turn moves the joints to first order, so the gradient of the
2D losses leads to either. Started from the back, a hand seen from the palm has no gradient at all.
"""
PAPER_FACING: Final = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
"""The public code's constant root rotation: half a turn about x."""


def bounded(raw: Float[Tensor, "*b"], most: float) -> Float[Tensor, "*b"]:
    """Return `raw` where it is small, and never more than `most` in size."""
    return most * torch.tanh(raw / most)


def hand_size(raw: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Return the scale between 1/2 and 2; 1 for zero."""
    return torch.exp(bounded(raw, MOST_LOG_SIZE))


def assumed_K(side: int) -> Float[Tensor, "3 3"]:
    """Return intrinsics for square crops of which nothing is known."""
    focal_px = side / 2 / math.tan(math.radians(ASSUMED_CROP_FOV_DEG) / 2)
    return torch.tensor([[focal_px, 0, side / 2], [0, focal_px, side / 2], [0, 0, 1]])


def sight(uv: Float[Tensor, "*b 2"], K: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Return the points at depth 1 seen at `uv`; K is upper triangular."""
    y = (uv[..., 1] - K[..., 1, 2]) / K[..., 1, 1]
    x = (uv[..., 0] - K[..., 0, 2] - K[..., 0, 1] * y) / K[..., 0, 0]
    return torch.stack([x, y, torch.ones_like(x)], -1)


def turn_to_sight(ray: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Return the shortest rotation from the optical axis to `ray`, which lies before the camera."""
    unit = ray / ray.norm(dim=-1, keepdim=True)
    axis = torch.stack([-unit[..., 1], unit[..., 0], torch.zeros_like(unit[..., 0])], -1)
    K = skew(axis)
    identity = torch.eye(3, dtype=ray.dtype, device=ray.device)
    return identity + K + K @ K / (1 + unit[..., 2, None, None])


def knuckle_in_camera(
    raw: Float[Tensor, "b 3"], scale: Float[Tensor, " b"], K: Float[Tensor, "b 3 3"], side: int
) -> Float[Tensor, "b 3"]:
    """Return the middle knuckle's place (m) from two offsets in the crop and one of log depth."""
    uv = side * (_HALF + torch.tanh(raw[:, :2]))
    focal_px = (K[:, 0, 0] * K[:, 1, 1]).sqrt()
    filling = focal_px * HAND_LENGTH_M / (_HALF * side)
    far = filling * torch.exp(bounded(raw[:, 2], MOST_LOG_DEPTH))
    depth = scale * (far.square() + REACH_M**2).sqrt()
    return sight(uv, K) * depth[:, None]


def transl_about_wrist(
    knuckle: Float[Tensor, "b 3"],
    scale: Float[Tensor, " b"],
    global_orient: Float[Tensor, "b 3 3"],
    rest: Float[Tensor, "2 3"],
) -> Float[Tensor, "b 3"]:
    """Return `transl` of the hand whose middle knuckle is there; `rest` holds wrist and knuckle."""
    wrist, middle = rest
    return knuckle - scale[:, None] * (wrist + global_orient @ (middle - wrist))


def transl_about_origin(
    transl: Float[Tensor, "b 3"],
    scale: Float[Tensor, " b"],
    turn: Float[Tensor, "b 3 3"],
    wrist: Float[Tensor, " 3"],
) -> Float[Tensor, "b 3"]:
    """Return our `transl` for a hand that was turned about the model's origin, not its wrist."""
    return transl + scale[:, None] * (turn @ wrist - wrist)
