"""From a picture's 2D keypoints to joints in space, by the tracker's own fit: a teacher's guess."""

from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

from tracker.geometry.camera import ASSUMED_FOV_DEG, Camera
from tracker.geometry.hand_model import HandModel
from tracker.vision.crops import roi_from_landmarks
from tracker.vision.fitter import Evidence, HandFitter
from tracker.vision.identities import same_hand
from tracker.vision.landmarker import Landmarker
from tracker.vision.mirroring import canonical_landmarks, restore_points
from tracker.vision.records import Landmarks
from train.datasets.image_folder import label_K
from train.datasets.keypoint_files import HandLabel
from train.datasets.sample import check_keypoints, without_unseen

WORST_FIT: Final = 0.06
"""Reprojection error, in sizes of the hand, from which a fit is no guess worth teaching."""


class HandLifter:
    """Fits the hand model to labels; one instance serves one thread.

    The keypoints are the label's own. The landmark model is asked once more only for the directions
    of the bones in space; where it sees no hand, or another one, the keypoints alone must do.
    """

    def __init__(
        self,
        model: HandModel | None = None,
        *,
        fov_deg: float = ASSUMED_FOV_DEG,
        least_presence: float = 0.5,
    ) -> None:
        self._fitter = HandFitter(model or HandModel.load())
        self._landmarker = Landmarker(slots=1, threads=1)
        self._fov_deg, self._least_presence = fov_deg, least_presence

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"], label: HandLabel) -> HandLabel:
        """Return the label with joints in space (m) and the camera they are seen by.

        Without joints where the fit does not explain the keypoints.

        Raises:
            SampleError: the label is damaged.
        """
        check_keypoints(label.uv, label.confidence, label.name)
        assert label.side != "none", "there is nothing to lift"
        hw = (rgb.shape[0], rgb.shape[1])
        K = label_K(label, hw, None, self._fov_deg, label.name)
        uv = without_unseen(label.uv, label.confidence)
        seen = Landmarks(uv, self._directions(rgb, uv), label.score, float(label.side == "right"))
        mirrored, camera = canonical_landmarks(seen, Camera(K, hw), label.side)
        known = None if np.isnan(mirrored.xyz).any() else mirrored.xyz
        fit = self._fitter.cold(Evidence(mirrored.uv, label.confidence, known, camera.K))
        if fit.reprojection_px > WORST_FIT * float(np.ptp(uv, axis=0).max()):
            return replace(label, xyz=None)
        xyz = restore_points(self._fitter.joints(fit.state), label.side)
        return replace(label, xyz=xyz, K=K)

    def _directions(
        self, rgb: UInt8[np.ndarray, "h w 3"], uv: Float[np.ndarray, "21 2"]
    ) -> Float[np.ndarray, "21 3"]:
        """Return the landmark model's joints in space; NaN where it does not see this hand."""
        look = self._landmarker(rgb, [roi_from_landmarks(uv)])[0]
        if look.presence < self._least_presence or not same_hand(look.uv, uv):
            return np.full((21, 3), np.nan)
        return look.xyz
