"""How good a network is on hands it has never seen, next to answering with the mean hand each time.

Joints are aligned by a similarity (`procrustes_align`) for PA numbers, and by the wrist alone for
`mpjpe_mm`, in which the hand's guessed size counts too. Pixels are those of a 224 pixel crop.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from tracker.geometry.hand_model import HandModel
from tracker.geometry.metrics import mpjpe_mm, pa_mpjpe_mm, pa_mpvpe_mm, root_relative
from tracker.vision.network import S2HandNetwork
from train.batch import TrainBatch
from train.objective import LOSS_PX, Objective
from train.predictor import mean_hand


@torch.no_grad()
def validate(
    objective: Objective, network: S2HandNetwork, batches: Iterable[TrainBatch]
) -> dict[str, float]:
    """Measure a network; what the data's truth does not tell is left out.

    Returns:
        `uv_px` (against the true joints where they are known, else against the detected ones),
        `pa_mpjpe_mm`, `mpjpe_mm`, `pa_mpvpe_mm`, and for comparison `mean_hand_pa_mpjpe_mm` and
        `gain_percent`, by how much the network's PA error is lower than the mean hand's.
    """
    learning = network.training
    network.eval()
    parts: list[dict[str, np.ndarray]] = []
    for batch in batches:
        parts.append(_measured(objective, network, batch.to(objective.hand.v_template.device)))
    network.train(learning)
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    numbers = {"uv_px": float(found["uv_px"].mean())} if found["uv_px"].size else {}
    if found["joints"].size:
        numbers |= _joint_errors(found["joints"], found["xyz"], mean_hand_joints(objective.hand))
    if found["vertices"].size:
        numbers["pa_mpvpe_mm"] = pa_mpvpe_mm(found["vertices"], found["surface"])
    return numbers


def mean_hand_joints(hand: HandModel) -> np.ndarray:
    """Return the joints (21, 3) of the mean hand in its mean pose, metres."""
    return mean_hand(hand).joints[0].cpu().numpy()


def _joint_errors(joints: np.ndarray, truth: np.ndarray, mean_hand: np.ndarray) -> dict[str, float]:
    error = pa_mpjpe_mm(joints, truth)
    baseline = pa_mpjpe_mm(np.broadcast_to(mean_hand.astype(truth.dtype), truth.shape), truth)
    return {
        "pa_mpjpe_mm": error,
        "mpjpe_mm": mpjpe_mm(root_relative(joints), root_relative(truth)),
        "mean_hand_pa_mpjpe_mm": baseline,
        "gain_percent": 100 * (1 - error / baseline),
    }


def _measured(
    objective: Objective, network: S2HandNetwork, batch: TrainBatch
) -> dict[str, np.ndarray]:
    """Return estimates and truths of a batch, without the samples whose truth is unknown."""
    hand = objective.predict(network, batch)
    seen = batch.confidence > 0
    target = torch.where(batch.uv_true.isfinite(), batch.uv_true, batch.uv)
    distance = (hand.uv - target).norm(dim=-1)[seen] * (LOSS_PX / batch.rgb.shape[-1])
    known = batch.xyz.isfinite().all(2).all(1)
    estimate, surface = hand.mesh.vertices, batch.vertices
    # Surfaces can only be compared vertex by vertex where they are of one mesh.
    if surface is None or surface.shape != estimate.shape:
        surface = torch.full_like(estimate, torch.nan)
    full = surface.isfinite().all(2).all(1)
    return {
        "uv_px": _array(distance),
        "joints": _array(hand.mesh.joints[known]),
        "xyz": _array(batch.xyz[known]),
        "vertices": _array(estimate[full]),
        "surface": _array(surface[full]),
    }


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.double().cpu().numpy()
