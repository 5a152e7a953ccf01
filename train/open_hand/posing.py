"""Pose a finished open hand through the library's own hand model, many hands at once, in double precision."""

import numpy as np
import torch
from jaxtyping import Float

from tracker.geometry.hand_files import HandArrays
from tracker.geometry.hand_model import HandMesh, HandModel
from train.open_hand.model import OpenHand


def hand_model(hand: OpenHand) -> HandModel:
    """Return the library's hand model with the arrays of an open hand."""
    arrays = HandArrays(
        v_template=hand.v_template,
        f=hand.f.astype(np.int64),
        weights=hand.weights,
        J_regressor=hand.J_regressor,
        shapedirs=hand.shapedirs,
        posedirs=hand.posedirs,
        hands_components=hand.hands_components,
        hands_mean=hand.hands_mean,
        hands_coeffs=hand.hands_coeffs,
        tip_ids=tuple(hand.tip_ids.tolist()),
        side="right",
        model_id=hand.model_id,
        sha256="",
    )
    return HandModel.from_arrays(arrays).to(dtype=torch.float64)


def posed(
    model: HandModel,
    hand_pose: Float[np.ndarray, "n 15 3"],
    betas: Float[np.ndarray, "n 10"] | None = None,
) -> HandMesh:
    """Return hands posed at the origin; the mean shape where `betas` are left out."""
    pose = torch.from_numpy(hand_pose)
    shape = torch.zeros(len(pose), 10).to(pose) if betas is None else torch.from_numpy(betas)
    return model.with_shape(shape).with_pose(torch.zeros(len(pose), 3).to(pose), pose).skin()


def pose_vertices(
    model: HandModel,
    hand_pose: Float[np.ndarray, "n 15 3"],
    betas: Float[np.ndarray, "n 10"] | None = None,
) -> Float[np.ndarray, "n v 3"]:
    """Return the vertices of `posed` hands in metres."""
    return posed(model, hand_pose, betas).vertices.numpy()


def shaped_vertices(hand: OpenHand, betas: Float[np.ndarray, "n 10"]) -> Float[np.ndarray, "n v 3"]:
    """Return rest vertices of hands with shape coefficients `betas`."""
    return hand.v_template.astype(float) + np.einsum(
        "vak,nk->nva", hand.shapedirs.astype(float), betas
    )
