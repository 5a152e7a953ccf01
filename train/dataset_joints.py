"""Where the 21 joints of a posed hand are: the hand model's own, or as a data set measures them.

Labels of MANO hands differ in two ways, each worth a millimetre or more. The 16 inner joints come
either from the kinematic chain (HO-3D, and ours) or from MANO's regressor applied to the posed
surface (FreiHAND). Each tip is a vertex, and the projects chose different ones. On any other hand
model these vertices mean nothing, and its own joints are taken.
"""

from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tracker.geometry.hand_model import KEYPOINTS_FROM_MANO, HandMesh, HandModel
from tracker.geometry.skeleton import TIPS

JointRule = Literal["own", "freihand", "ho3d"]
MANO: Final = "mano"
"""`model_id` of MANO's own files."""

TIP_VERTICES: Final[dict[JointRule, tuple[int, ...]]] = {
    "freihand": (744, 320, 443, 555, 672),
    "ho3d": (744, 333, 444, 555, 672),
}
"""MANO's vertices that each evaluation takes as tips, thumb to pinky."""

RULE_IN_WORDS: Final[dict[JointRule, str]] = {
    "own": "the hand model's kinematic chain and its own tip vertices",
    "freihand": "MANO's joint regressor on the posed surface, tips 744 320 443 555 672 (FreiHAND)",
    "ho3d": "MANO's kinematic chain, tips 744 333 444 555 672 (HO-3D)",
}


def rule_for(kind: str, hand: HandModel) -> JointRule:
    """Return how a data set of this kind measures the joints of `hand`."""
    if hand.model_id != MANO:
        return "own"
    return kind if kind in ("freihand", "ho3d") else "own"


def joints_by_rule(mesh: HandMesh, hand: HandModel, rule: JointRule) -> Float[Tensor, "b 21 3"]:
    """Return the joints of posed hands, metres, in our order.

    Raises:
        ValueError: the rule is about MANO's vertices, and the hand is another one.
    """
    if rule == "own":
        return mesh.joints
    if hand.model_id != MANO:
        raise ValueError(
            f"joints as in {rule} are vertices of MANO, and the hand is {hand.model_id}; "
            "give --hand-model the MANO file, or --joints own"
        )
    tips = mesh.vertices[:, list(TIP_VERTICES[rule])]
    if rule == "ho3d":
        joints = mesh.joints.clone()
        joints[:, list(TIPS)] = tips
        return joints
    inner = hand.J_regressor @ mesh.vertices
    return torch.cat([inner, tips], 1)[:, list(KEYPOINTS_FROM_MANO)]
