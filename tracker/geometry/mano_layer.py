"""A hand layer that is called like manopth's `ManoLayer`, for code written against that one.

Written from the published formula and the documented behaviour of the call, on top of `HandModel`;
it shares no code with manopth. Unlike it, the layer falls back to the open hand.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tracker.geometry.hand_files import MANO_VERTICES
from tracker.geometry.hand_model import HandMesh, HandModel, PosedHand, ShapedHand, Side
from tracker.geometry.rotations import matrix_from_axis_angle, matrix_from_rot6d
from tracker.geometry.skeleton import JOINTS

MM_PER_M = 1000.0
MANO_PALM_IDS = (95, 22)
"""Two vertices of MANO's topology whose middle is manopth's palm."""


class ManoLayer(torch.nn.Module):
    """Pose coefficients in, vertices and 21 joints in millimetres out.

    Buffers carry manopth's names (`th_faces`, `th_v_template`, ...), so they move with `.to()`.

    Example:
        >>> layer = ManoLayer(ncomps=6)
        >>> vertices, joints = layer(torch.zeros(1, 3 + 6))
        >>> joints.shape
        torch.Size([1, 21, 3])
    """

    th_v_template: Tensor
    th_shapedirs: Tensor
    th_posedirs: Tensor
    th_J_regressor: Tensor
    th_weights: Tensor
    th_faces: Tensor
    th_comps: Tensor
    th_hands_mean: Tensor

    def __init__(
        self,
        center_idx: int | None = None,
        flat_hand_mean: bool = True,
        ncomps: int = 6,
        side: Side = "right",
        mano_root: Path | str | None = None,
        use_pca: bool = True,
        root_rot_mode: Literal["axisang", "rot6d"] = "axisang",
        joint_rot_mode: Literal["axisang", "rotmat"] = "axisang",
        robust_rot: bool = False,
        *,
        hand_model: Path | str | None = None,
    ) -> None:
        """Load a hand; the first nine parameters are manopth's.

        Args:
            center_idx: joint that becomes the origin when no translation is given.
            flat_hand_mean: whether zero coefficients are the flat hand, not the mean pose.
            ncomps: number of principal pose coefficients; 45 axis-angle numbers without `use_pca`.
            side: which hand; a `hand_model` file of the other side is mirrored.
            mano_root: folder with the official MANO_RIGHT.pkl and MANO_LEFT.pkl.
            use_pca: whether coefficients count along principal poses or are axis-angles.
            root_rot_mode: 3 axis-angle or 6 numbers (two matrix columns) for the whole hand.
            joint_rot_mode: `rotmat` takes (B, 16, 3, 3) matrices and makes them rotations.
            robust_rot: treat both columns of `rot6d` alike, instead of trusting the first.
            hand_model: one hand file in place of `mano_root`; without either, the open hand.

        Raises:
            HandModelError: the hand file cannot be used.
        """
        super().__init__()
        if mano_root is not None and hand_model is not None:
            raise ValueError("give ManoLayer either mano_root or hand_model, found both")
        if not 1 <= ncomps <= 45:
            raise ValueError(f"ncomps must lie between 1 and 45, found {ncomps}")
        official = None if mano_root is None else Path(mano_root) / f"MANO_{side.upper()}.pkl"
        model = HandModel.load(hand_model if official is None else official, side)
        self.center_idx, self.side, self.use_pca = center_idx, side, use_pca
        self.flat_hand_mean, self.robust_rot = flat_hand_mean, robust_rot
        self.root_rot_mode, self.joint_rot_mode = root_rot_mode, joint_rot_mode
        self.ncomps = ncomps if use_pca else 45
        self.rot = 6 if root_rot_mode == "rot6d" else 3
        self._hand = model
        self._register(model, flat_hand_mean)

    def _register(self, model: HandModel, flat_hand_mean: bool) -> None:
        """Keep the hand's arrays as buffers under manopth's names."""
        mean = torch.zeros_like(model.hands_mean) if flat_hand_mean else model.hands_mean
        buffers = {
            "th_v_template": model.v_template,
            "th_shapedirs": model.shapedirs,
            "th_posedirs": model.posedirs,
            "th_J_regressor": model.J_regressor,
            "th_weights": model.lbs_weights,
            "th_faces": model.faces,
            "th_comps": model.hands_components,
            "th_hands_mean": mean,
        }
        for name, value in buffers.items():
            # Not persistent: a checkpoint that is passed on must not hold the user's MANO data.
            self.register_buffer(name, value, persistent=False)

    def forward(
        self,
        th_pose_coeffs: Float[Tensor, "b ..."],
        th_betas: Float[Tensor, "..."] | None = None,
        th_trans: Float[Tensor, "..."] | None = None,
        root_palm: bool | Tensor = False,
        share_betas: bool | Tensor = False,
    ) -> tuple[Float[Tensor, "b V 3"], Float[Tensor, "b 21 3"]]:
        """Return vertices and joints in millimetres.

        Args:
            th_pose_coeffs: (B, 3 + ncomps): turn of the whole hand, then the pose. (B, 6 + ncomps)
                for `rot6d`, (B, 16, 3, 3) for `rotmat`.
            th_betas: (B, 10); None or a single number for the mean shape.
            th_trans: (B, 3) in metres; None or all zero for the origin, or for `center_idx` there.
            root_palm: make joint 0 the centre of the palm instead of the wrist.
            share_betas: give every hand of the batch the mean of the shapes.
        """
        rotations = self._rotations(th_pose_coeffs)
        shaped = self._shaped(th_betas, bool(share_betas), rotations)
        zero = rotations.new_zeros(len(rotations), 3)
        mesh = PosedHand(shaped, rotations, zero, torch.ones_like(zero[:, 0])).skin()
        vertices, joints = mesh.vertices, mesh.joints
        if bool(root_palm):
            joints = torch.cat([self._palm(mesh), joints[:, 1:]], 1)
        if th_trans is not None and bool((th_trans != 0).any()):
            offset = th_trans.expand(len(joints), 3)[:, None]
        elif self.center_idx is not None:
            offset = -joints[:, self.center_idx, None]
        else:
            offset = zero[:, None]
        return (vertices + offset) * MM_PER_M, (joints + offset) * MM_PER_M

    def _model(self) -> HandModel:
        """Return the hand with the buffers as they are now, on the layer's device."""
        return replace(
            self._hand,
            v_template=self.th_v_template,
            shapedirs=self.th_shapedirs,
            posedirs=self.th_posedirs,
            J_regressor=self.th_J_regressor,
            lbs_weights=self.th_weights,
            faces=self.th_faces,
            hands_components=self.th_comps,
            hands_mean=self.th_hands_mean,
        )

    def _shaped(
        self, betas: Tensor | None, share: bool, rotations: Float[Tensor, "b 16 3 3"]
    ) -> ShapedHand:
        if betas is None or betas.numel() == 1:
            betas = rotations.new_zeros(len(rotations), 10)
        if share:
            betas = betas.mean(0, keepdim=True).expand(len(rotations), 10)
        return self._model().with_shape(betas)

    def _rotations(self, coefficients: Tensor) -> Float[Tensor, "b 16 3 3"]:
        if self.joint_rot_mode == "rotmat":
            _check_size(coefficients, (16, 3, 3))
            return nearest_rotation(coefficients)
        _check_size(coefficients, (self.rot + self.ncomps,))
        root, pose = coefficients[:, : self.rot], coefficients[:, self.rot :]
        if self.use_pca:
            pose = pose @ self.th_comps[: self.ncomps]
        hand_pose = (pose + self.th_hands_mean).unflatten(-1, (15, 3))
        return torch.cat([self._root_rotation(root)[:, None], matrix_from_axis_angle(hand_pose)], 1)

    def _root_rotation(self, root: Tensor) -> Float[Tensor, "b 3 3"]:
        if self.root_rot_mode == "axisang":
            return matrix_from_axis_angle(root)
        return balanced_rotation(root) if self.robust_rot else matrix_from_rot6d(root)

    def _palm(self, mesh: HandMesh) -> Float[Tensor, "b 1 3"]:
        if self._hand.model_id == "mano" and mesh.vertices.shape[1] == MANO_VERTICES:
            return mesh.vertices[:, list(MANO_PALM_IDS)].mean(1, keepdim=True)
        ends = [JOINTS.index("wrist"), JOINTS.index("middle_mcp")]
        return mesh.joints[:, ends].mean(1, keepdim=True)


def nearest_rotation(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3 3"]:
    """Return the rotation closest to each matrix in the Frobenius norm (SVD; never a reflection)."""
    u, _, vh = torch.linalg.svd(matrix)
    sign = torch.ones_like(matrix[..., 0])
    sign[..., 2] = torch.det(u @ vh).sign()
    return (u * sign[..., None, :]) @ vh


def balanced_rotation(rot6d: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 3 3"]:
    """Return the rotation whose first two columns deviate equally from two given directions."""
    first = torch.nn.functional.normalize(rot6d[..., :3], dim=-1)
    second = torch.nn.functional.normalize(rot6d[..., 3:], dim=-1)
    # The sum and the difference of unit vectors are orthogonal; the columns lie 45 degrees off.
    along = torch.nn.functional.normalize(first + second, dim=-1)
    across = torch.nn.functional.normalize(first - second, dim=-1)
    x, y = (along + across) / 2**0.5, (along - across) / 2**0.5
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def _check_size(coefficients: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(coefficients.shape[1:]) != expected:
        raise ValueError(
            f"pose coefficients must have shape (B, {', '.join(map(str, expected))}), "
            f"found {tuple(coefficients.shape)}"
        )
