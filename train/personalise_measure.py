"""How well a network answers a person's pictures that it has not learned from, before and after."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from tracker.vision.network import S2HandNetwork
from train.batch import TrainBatch
from train.datasets.mixing import ordered_batches
from train.datasets.sample import Dataset
from train.objective import HandPrediction, Objective
from train.validate import validate

_INSIDE: Final = 0.99
"""Coverage of a pixel that shows the drawn hand alone."""
_FEWEST_PIXELS: Final = 50
_BATCH: Final = 32


@dataclass(frozen=True)
class Measured:
    """Means over pictures."""

    reprojection_percent: float
    """Joints against the detected ones, weighted by confidence, in sides of the box around these."""
    texture_l1: float
    """|render - picture| of RGB in [0, 1] inside the drawn hand; NaN for a network without colours."""
    texture_l1_common: float
    """The same in the pixels that both networks' hands cover."""
    hand_length_spread_percent: float
    """How much the hand's size and shape differ from picture to picture: deviation of the wrist's
    distance to the middle fingertip along the bones, in percent of it."""


def compare(
    objective: Objective, before: S2HandNetwork, after: S2HandNetwork, hands: Dataset
) -> tuple[Measured, Measured]:
    """Measure two networks on the same pictures."""
    rows: list[dict[str, np.ndarray]] = []
    side = before.config.input_px
    draw = before.config.texture
    with torch.no_grad():
        for batch in ordered_batches(hands, batch=_BATCH, hw_px=side):
            both = [objective.predict(n.eval(), batch, draw=draw) for n in (before, after)]
            common = _common(both) if draw else None
            rows += [_row(hand, batch, common) for hand in both]
    return _summary(rows[0::2]), _summary(rows[1::2])


def measure_others(
    objective: Objective, before: S2HandNetwork, after: S2HandNetwork, hands: Dataset
) -> tuple[float, float]:
    """Return PA-MPJPE (mm) of both on hands with known truth: what the person's network forgot."""
    side = before.config.input_px
    made = list(ordered_batches(hands, batch=_BATCH, hw_px=side))
    first, second = (validate(objective, n, made)["pa_mpjpe_mm"] for n in (before, after))
    return first, second


def _common(both: list[HandPrediction]) -> Tensor:
    masks = [hand.rendered.mask > _INSIDE for hand in both if hand.rendered is not None]
    return masks[0] & masks[1]


def _row(hand: HandPrediction, batch: TrainBatch, common: Tensor | None) -> dict[str, np.ndarray]:
    box = (batch.uv.amax(1) - batch.uv.amin(1)).amax(-1)
    apart = (hand.uv - batch.uv).norm(dim=-1) / box[:, None]
    error = (batch.confidence * apart).sum(1) / batch.confidence.sum(1)
    row = {"reprojection": _array(100 * error), "length": _array(_finger_length(hand.mesh.joints))}
    if hand.rendered is not None and common is not None:
        away = (hand.rendered.rgb - batch.rgb.permute(0, 2, 3, 1)).abs().mean(-1)
        row["own"] = _array(_mean_inside(away, hand.rendered.mask > _INSIDE))
        row["common"] = _array(_mean_inside(away, common))
    return row


def _mean_inside(values: Tensor, inside: Tensor) -> Tensor:
    """Return each picture's mean; NaN where too little of it is inside."""
    count = inside.sum((1, 2))
    mean = (values * inside).sum((1, 2)) / count.clamp(min=1)
    return torch.where(count >= _FEWEST_PIXELS, mean, torch.full_like(mean, torch.nan))


def _finger_length(joints: Tensor) -> Tensor:
    """Return wrist, middle knuckle, joints and tip, along the bones (m)."""
    chain = joints[:, [0, 9, 10, 11, 12]]
    return (chain[:, 1:] - chain[:, :-1]).norm(dim=-1).sum(1)


def _summary(rows: list[dict[str, np.ndarray]]) -> Measured:
    found = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    length = found["length"]
    spread = float(100 * length.std() / length.mean())
    return Measured(
        _mean(found["reprojection"]), _mean(found.get("own")), _mean(found.get("common")), spread
    )


def _mean(values: np.ndarray | None) -> float:
    """Return the mean of the pictures that have the number; NaN if none has."""
    known = np.empty(0) if values is None else values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def change_percent(before: Measured, after: Measured) -> Mapping[str, float]:
    """Return by how much each number fell (negative) or rose, in percent."""
    names = ("reprojection_percent", "texture_l1", "texture_l1_common")
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in names}
    return {name: 100 * (b / a - 1) for name, (a, b) in pairs.items() if np.isfinite(a + b)}


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.double().cpu().numpy()
