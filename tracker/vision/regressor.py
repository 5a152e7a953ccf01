"""The paper's inference: regions of a frame in, textured hands out, from the network alone.

A region is cut as in training (`vision.crops`) and shown to the network as the picture of a rolled
camera (`vision.crop_camera`), a left hand as its mirror image (`vision.mirroring`). What comes back
is turned and mirrored into the frame's camera here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skinning import RuntimeHand
from tracker.vision.crop_camera import CropView, crop_view
from tracker.vision.crops import cut
from tracker.vision.engines.answers import NetworkAnswer, NetworkEngine
from tracker.vision.fit_kernels import axis_angle_of
from tracker.vision.mirroring import (
    canonical_crop,
    canonical_roi,
    restore_light,
    restore_params,
    restore_points,
)
from tracker.vision.records import Frame, Reconstruction, Roi, Side


@dataclass(frozen=True)
class Look:
    """What the network says of one region, as a right hand in the (mirrored) frame's camera."""

    params: HandParams
    texture: Float[np.ndarray, "V 3"]
    """Albedo of each vertex."""
    light: Float[np.ndarray, " 11"]
    """See `NetworkOutput.light`; the direction is in the camera frame."""
    uv: Float[np.ndarray, "21 2"] | None
    """Joints in the (mirrored) frame's pixels where the network sees them; None without maps."""


class Regressor:
    """A network on an engine, with the hand it was trained for.

    >>> regressor = Regressor(open_engine(network), hand)
    >>> hands = regressor(frame, [roi], ["right"])
    """

    def __init__(self, engine: NetworkEngine, hand: HandModel) -> None:
        self.engine = engine
        self._skinner = RuntimeHand(hand)
        rest = torch.cat([hand.v_template[..., None], hand.shapedirs], -1)
        wrist = torch.einsum("v,vck->ck", hand.J_regressor[0], rest)
        self._wrist = wrist.double().numpy()
        self._mean_pose = hand.hands_mean.double().numpy()
        self._poses = hand.hands_components.double().numpy()

    def __call__(
        self, frame: Frame, rois: Sequence[Roi], sides: Sequence[Side]
    ) -> list[Reconstruction]:
        """Reconstruct the hand in each region, in the frame's camera."""
        camera = frame.camera or Camera.from_fov(frame.rgb.shape[:2], assumed=True)
        looks = self.look(frame, camera, rois, sides)
        return [self.restored(look, camera, side) for look, side in zip(looks, sides, strict=True)]

    def look(
        self, frame: Frame, camera: Camera, rois: Sequence[Roi], sides: Sequence[Side]
    ) -> list[Look]:
        """Return what the network says of each region, still as right hands."""
        return self.start(frame, camera, rois, sides)()

    def start(
        self, frame: Frame, camera: Camera, rois: Sequence[Roi], sides: Sequence[Side]
    ) -> Callable[[], list[Look]]:
        """Begin to look, and return what waits for the looks; fetch them before the next start."""
        if not rois:
            return list
        size = self.engine.input_px
        views: list[CropView] = []
        crops = np.empty((len(rois), size, size, 3), np.uint8)
        for crop, roi, side in zip(crops, rois, sides, strict=True):
            crop[:] = canonical_crop(cut(frame.rgb, roi, size), side)
            canonical, seen_by = canonical_roi(roi, camera, side)
            views.append(crop_view(seen_by.K, canonical, size))
        fetch = self.engine.start(crops, np.stack([view.K for view in views]))
        return lambda: self._in_frames(fetch(), views)

    def restored(
        self,
        look: Look,
        camera: Camera,
        side: Side,
        uv: Float[np.ndarray, "21 2"] | None = None,
    ) -> Reconstruction:
        """Return the hand as it is: skinned, and mirrored back if it is a left one.

        Its `reprojection_px` is the distance to `uv` (frame pixels) where that is given, else to
        where the network sees the joints, else zero.
        """
        vertices, joints = self._skinner.skin(look.params)
        seen = _mirrored_uv(look.uv, camera, side) if uv is None else uv
        points = restore_points(joints, side)
        return Reconstruction(
            params=restore_params(look.params, side),
            vertices=restore_points(vertices, side),
            joints=points,
            reprojection_px=0.0 if seen is None else reprojection_px(points, camera, seen),
            texture=look.texture,
            light=restore_light(look.light, side),
        )

    def _in_frames(self, answer: NetworkAnswer, views: Sequence[CropView]) -> list[Look]:
        return [self._in_frame(answer, k, view) for k, view in enumerate(views)]

    def _in_frame(self, answer: NetworkAnswer, k: int, view: CropView) -> Look:
        """Turn one answer from its crop's rolled camera into the frame's."""
        back, scale = view.crop_from_cam.T, float(answer.scale[k])
        betas = answer.betas[k].astype(np.float64)
        wrist = scale * (self._wrist[:, 0] + self._wrist[:, 1:] @ betas)
        # A few numbers: PyTorch would take longer to begin than to finish.
        coefficients = answer.pose[k].astype(np.float64)
        pose = self._mean_pose + coefficients @ self._poses[: len(coefficients)]
        orient = back @ answer.global_orient[k].astype(np.float64)
        # The hand turns about its wrist, which therefore moves like any point.
        params = HandParams(
            global_orient=axis_angle_of(orient),
            hand_pose=pose.reshape(15, 3),
            betas=betas,
            transl=back @ (wrist + answer.transl[k]) - wrist,
            scale=scale,
        )
        light = answer.light[k].astype(np.float64)
        light = np.concatenate([light[:8], back @ light[8:]])
        texture = answer.texture[k].clip(0, 1)
        return Look(params, texture, light, _seen_in_frame(answer, k, view, self.engine.input_px))


def with_shape(look: Look, betas: Float[np.ndarray, " 10"], scale: float) -> Look:
    """Return the look with a known shape and size."""
    return replace(look, params=replace(look.params, betas=betas, scale=scale))


def reprojection_px(
    joints: Float[np.ndarray, "21 3"], camera: Camera, uv: Float[np.ndarray, "21 2"]
) -> float:
    """Return the root mean square distance of projected joints and `uv`."""
    apart = camera.project(joints) - uv
    return float(np.sqrt(np.square(apart).sum(-1).mean()))


def _seen_in_frame(
    answer: NetworkAnswer, k: int, view: CropView, size_px: int
) -> Float[np.ndarray, "21 2"] | None:
    if answer.place is None:
        return None
    linear, shift = view.crop_from_frame[:, :2], view.crop_from_frame[:, 2]
    pixels = size_px * answer.place[k].astype(np.float64) - shift
    # A similarity's inverse is its transpose over its squared scale.
    return pixels @ linear / (linear[0] @ linear[0])


def _mirrored_uv(
    uv: Float[np.ndarray, "21 2"] | None, camera: Camera, side: Side
) -> Float[np.ndarray, "21 2"] | None:
    if uv is None or side == "right":
        return uv
    return uv * np.array([-1.0, 1.0]) + np.array([camera.hw[1], 0.0])
