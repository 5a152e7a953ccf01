"""The hand as four stages, each a type: HandModel -> ShapedHand -> PosedHand -> HandMesh.

A mesh before a pose, or a pose before a shape, cannot be written. Everything is differentiable and
batched over one leading axis; the maths is MANO's (Romero et al. 2017, equations 2-5) with our own
scale and translation on top: `vertices = scale * model + transl`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracker.geometry.hand_files import HandArrays, read_hand_file
from tracker.geometry.rotations import matrix_from_axis_angle
from tracker.geometry.skeleton import JOINTS, MANO_JOINTS, MANO_PARENTS

Side = Literal["left", "right"]

KEYPOINTS_FROM_MANO = tuple(
    MANO_JOINTS.index(name) if name in MANO_JOINTS else len(MANO_JOINTS) + tip
    for name, tip in zip(JOINTS, (i // 4 - 1 for i in range(21)), strict=True)
)
"""Index of each of the 21 joints in [16 MANO joints, 5 tips thumb to pinky]."""


@dataclass(frozen=True)
class HandModel:
    """A hand that can take any shape and pose; right or left, ours or the user's MANO file."""

    v_template: Float[Tensor, "V 3"]
    """Mean hand at rest, metres, fingers along -x, back of the hand +y (right hand)."""
    shapedirs: Float[Tensor, "V 3 10"]
    """Change of the rest vertices for each unit of `betas`, metres."""
    posedirs: Float[Tensor, "V 3 135"]
    """Pose corrective: metres for each entry of (R_1 - I, ..., R_15 - I)."""
    J_regressor: Float[Tensor, "16 V"]
    """Rest joints as weighted means of rest vertices."""
    lbs_weights: Float[Tensor, "V 16"]
    """How much each vertex follows each joint; rows sum to one."""
    faces: Int[Tensor, "F 3"]
    """Triangles, counter-clockwise seen from outside."""
    hands_components: Float[Tensor, "45 45"]
    """Principal poses, one a row."""
    hands_mean: Float[Tensor, " 45"]
    """Mean pose as axis-angle, on top of which PCA coefficients count."""
    tip_ids: tuple[int, int, int, int, int]
    """Vertices that are the fingertips, thumb to pinky."""
    side: Side
    model_id: str
    """Name of the hand, e.g. `open_hand-1`; part of every result and checkpoint."""
    sha256: str
    """Hash of the file it was read from."""

    @classmethod
    def load(cls, path: Path | str | None = None, side: Side = "right") -> "HandModel":
        """Read a hand file (default: the open hand that ships with Handloom) as a hand of `side`.

        A file of the other side is mirrored.

        Raises:
            HandModelError: the file is missing, damaged, unsafe or not a hand.
        """
        arrays = read_hand_file(path)
        model = cls.from_arrays(arrays)
        return model if model.side == side else model.mirrored()

    @classmethod
    def from_arrays(cls, arrays: HandArrays) -> "HandModel":
        """Build the model from validated arrays."""
        as_float = lambda a: torch.from_numpy(np.ascontiguousarray(a, np.float32))  # noqa: E731
        return cls(
            v_template=as_float(arrays.v_template),
            shapedirs=as_float(arrays.shapedirs),
            posedirs=as_float(arrays.posedirs),
            J_regressor=as_float(arrays.J_regressor),
            lbs_weights=as_float(arrays.weights),
            faces=torch.from_numpy(arrays.f.astype(np.int64)),
            hands_components=as_float(arrays.hands_components),
            hands_mean=as_float(arrays.hands_mean),
            tip_ids=arrays.tip_ids,
            side=arrays.side,
            model_id=arrays.model_id,
            sha256=arrays.sha256,
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> "HandModel":
        """Apply `function` to every tensor."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: function(v) for k, v in values.items() if isinstance(v, Tensor)})

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "HandModel":
        """Move to `device`; cast the floating point tensors to `dtype`."""
        return self.map(lambda t: t.to(device, dtype if t.is_floating_point() else None))

    def mirrored(self) -> "HandModel":
        """Return the hand of the other side: x -> -x, so axis-angles become (x, -y, -z)."""
        flip = self.v_template.new_tensor([-1.0, 1.0, 1.0])
        # R' = F R F, so entry (r, c) of R - I carries the sign f_r f_c.
        pose_sign = (flip[:, None] * flip[None, :]).flatten().repeat(15)
        axis_sign = (-flip).repeat(15)
        return replace(
            self,
            v_template=self.v_template * flip,
            shapedirs=self.shapedirs * flip[:, None],
            posedirs=self.posedirs * flip[:, None] * pose_sign,
            faces=self.faces.flip(-1),
            hands_components=self.hands_components * axis_sign,
            hands_mean=self.hands_mean * axis_sign,
            side="left" if self.side == "right" else "right",
        )

    def pose_from_pca(self, coefficients: Float[Tensor, "b n"]) -> Float[Tensor, "b 15 3"]:
        """Return `hand_pose` for the first n principal pose coefficients."""
        pose = self.hands_mean + coefficients @ self.hands_components[: coefficients.shape[-1]]
        return pose.unflatten(-1, (15, 3))

    def with_shape(self, betas: Float[Tensor, "b 10"]) -> "ShapedHand":
        """Give the hand a shape; `betas` are in standard deviations."""
        vertices = self.v_template + torch.einsum("vck,bk->bvc", self.shapedirs, betas)
        return ShapedHand(self, vertices, self.J_regressor @ vertices)


@dataclass(frozen=True)
class ShapedHand:
    """A hand of one person, at rest."""

    model: HandModel
    vertices: Float[Tensor, "b V 3"]
    joints: Float[Tensor, "b 16 3"]
    """MANO's 16 joints at rest."""

    def with_pose(
        self,
        global_orient: Float[Tensor, "b 3"],
        hand_pose: Float[Tensor, "b 15 3"],
        transl: Float[Tensor, "b 3"] | None = None,
        scale: Float[Tensor, " b"] | None = None,
    ) -> "PosedHand":
        """Pose and place the hand; see `tracker.geometry` for what each parameter means."""
        rotations = matrix_from_axis_angle(torch.cat([global_orient[:, None], hand_pose], 1))
        transl = torch.zeros_like(global_orient) if transl is None else transl
        scale = torch.ones_like(global_orient[:, 0]) if scale is None else scale
        return PosedHand(self, rotations, transl, scale)


@dataclass(frozen=True)
class PosedHand:
    """A hand of one person in one pose and place, not yet skinned."""

    shaped: ShapedHand
    rotations: Float[Tensor, "b 16 3 3"]
    """Rotation of each of the 16 joints relative to its parent."""
    transl: Float[Tensor, "b 3"]
    scale: Float[Tensor, " b"]

    def joint_transforms(self) -> tuple[Float[Tensor, "b 16 3 3"], Float[Tensor, "b 16 3"]]:
        """Return each joint's rotation and position in the model frame (forward kinematics)."""
        rest = self.shaped.joints
        turns, places = [self.rotations[:, 0]], [rest[:, 0]]
        for joint, parent in enumerate(MANO_PARENTS[1:], start=1):
            offset = (turns[parent] @ (rest[:, joint] - rest[:, parent])[..., None])[..., 0]
            turns.append(turns[parent] @ self.rotations[:, joint])
            places.append(places[parent] + offset)
        return torch.stack(turns, 1), torch.stack(places, 1)

    def skin(self) -> "HandMesh":
        """Linear blend skinning with pose correctives."""
        model = self.shaped.model
        identity = torch.eye(3, dtype=self.rotations.dtype, device=self.rotations.device)
        pose_feature = (self.rotations[:, 1:] - identity).flatten(1)
        corrected = self.shaped.vertices + torch.einsum("vck,bk->bvc", model.posedirs, pose_feature)
        turns, places = self.joint_transforms()
        offsets = places - (turns @ self.shaped.joints[..., None])[..., 0]
        blend = torch.einsum(
            "vj,bjk->bvk", model.lbs_weights, torch.cat([turns.flatten(2), offsets], -1)
        )
        vertices = (blend[..., :9].unflatten(-1, (3, 3)) @ corrected[..., None])[..., 0] + blend[
            ..., 9:
        ]
        joints = torch.cat([places, vertices[:, list(model.tip_ids)]], 1)[
            :, list(KEYPOINTS_FROM_MANO)
        ]
        scale, transl = self.scale[:, None, None], self.transl[:, None]
        return HandMesh(vertices * scale + transl, joints * scale + transl, model.faces)


@dataclass(frozen=True)
class HandMesh:
    """The surface and the 21 joints of posed hands, in metres."""

    vertices: Float[Tensor, "b V 3"]
    joints: Float[Tensor, "b 21 3"]
    faces: Int[Tensor, "F 3"]
