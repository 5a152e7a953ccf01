"""From three seconds of an open palm to one person's hand: shape and metric scale.

One camera sees a hand's proportions, but its size only through perspective. So the shape is taken
from the fits of a still, open palm, and the scale from something measured: the length of the hand, or
a bank card beside it. Nothing here knows a window or a clock; time is the time stamps'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandShape
from tracker.vision.calibration_pose import complaint, is_moving
from tracker.vision.fitter import HAND_LENGTHS_M
from tracker.vision.records import TrackedHand

HOLD_S: Final = 3.0
"""How long the palm is held."""
FORGIVEN_S: Final = 0.5
"""A pose lost for longer begins anew."""
_LONGEST_STEP_S: Final = 0.1
"""What one frame counts for at most: a stalled camera shows nothing meanwhile."""
_FEWEST: Final = 12
"""Frames below which a median says little, however long they took."""
_LARGEST_SPREAD: Final = 0.05
"""Relative standard deviation of the measured length beyond which it is not trusted."""


@dataclass(frozen=True)
class CalibrationStep:
    """How far a calibration is after one frame."""

    progress: float
    """0 to 1; at 1 it is done."""
    reason: str | None = None
    """What the person should do, when this frame was of no use."""

    @property
    def done(self) -> bool:
        """Whether enough was seen."""
        return self.progress >= 1.0


@dataclass(frozen=True)
class HandMeasure:
    """What a calibration found."""

    shape: HandShape
    length_m: float
    """Wrist to middle fingertip of the flat hand."""
    length_sd_m: float
    """How much single frames disagree about it; 0 where it was given."""


class PalmCalibration:
    """Gathers an open, still palm until its shape is known.

    Args:
        model: the hand model that the tracker fits.
        hand_length_m: wrist to middle fingertip, measured with a ruler; None where each frame
            brings a measure of its own, see `add`.

    Example:
        >>> calibration = PalmCalibration(tracker.model, hand_length_m=0.188)
        >>> while not calibration.add(tracker(frame), camera).done: ...
        >>> calibration.measure().shape
    """

    def __init__(self, model: HandModel, *, hand_length_m: float | None = None) -> None:
        low, high = HAND_LENGTHS_M
        if hand_length_m is not None and not low <= hand_length_m <= high:
            raise ValueError(
                f"hand length must lie between {low * 1e3:.0f} and {high * 1e3:.0f} mm, found "
                f"{hand_length_m * 1e3:g} mm (measure from the wrist to the middle fingertip)"
            )
        self._model = model
        self._given_m = hand_length_m
        self._last_s: float | None = None
        self._last: TrackedHand | None = None
        self._restart()

    def _restart(self) -> None:
        self._held_s = 0.0
        self._lost_s = 0.0
        self._betas: list[np.ndarray] = []
        self._lengths_m: list[float] = []

    def posed(self, hands: Sequence[TrackedHand], camera: Camera) -> TrackedHand | str:
        """Return the one hand that is held as it should be, or what to do instead."""
        seen = [hand for hand in hands if hand.state == "tracked"]
        if not seen:
            return "hold one open hand before the camera"
        complaints = [complaint(hand, camera) for hand in seen]
        good = [hand for hand, wrong in zip(seen, complaints, strict=True) if wrong is None]
        if len(good) > 1:
            return "show one open hand only"
        if good:
            return good[0]
        best = max(range(len(seen)), key=lambda i: seen[i].score)
        return complaints[best] or ""

    def add(
        self,
        hands: Sequence[TrackedHand],
        camera: Camera,
        *,
        enlarged: float | None = None,
    ) -> CalibrationStep:
        """Take in the hands of one frame.

        Args:
            hands: what the tracker found.
            camera: the frame's camera.
            enlarged: how many times larger than fitted the hand really is, by something beside it;
                needed where no hand length was given.
        """
        hand = self.posed(hands, camera)
        step_s = self._step_s(hands)
        previous, self._last = self._last, None if isinstance(hand, str) else hand
        if isinstance(hand, str):
            return self._refused(hand, step_s)
        if previous is None or is_moving(previous, hand):
            return self._refused("hold still", step_s)
        if self._given_m is None and enlarged is None:
            return self._refused("hold a bank card flat beside the hand", step_s)
        self._held_s += step_s
        self._lost_s = 0.0
        self._betas.append(np.array(hand.params.betas))
        if enlarged is not None:
            fitted_m = hand.params.scale * length_of(self._model, hand.params.betas)
            self._lengths_m.append(enlarged * fitted_m)
        return CalibrationStep(self._progress)

    def measure(self) -> HandMeasure:
        """Return what was found.

        Raises:
            ValueError: not enough was seen, or the frames disagree; the message says what to do.
        """
        if self._progress < 1:
            raise ValueError("the palm was not held long enough; hold it for three seconds")
        betas = np.clip(np.median(self._betas, axis=0), -10, 10)
        length_m, sd_m = self._given_m, 0.0
        if length_m is None:
            length_m = float(np.median(self._lengths_m))
            sd_m = 1.4826 * float(np.median(np.abs(np.array(self._lengths_m) - length_m)))
        low, high = HAND_LENGTHS_M
        if sd_m > _LARGEST_SPREAD * length_m or not low <= length_m <= high:
            raise ValueError(
                f"the card says {length_m * 1e3:.0f} mm give or take {sd_m * 1e3:.0f} mm, which is no "
                "hand's length; lay hand and card flat on one table and look from above"
            )
        scale = length_m / length_of(self._model, betas)
        return HandMeasure(HandShape(tuple(map(float, betas)), scale), length_m, sd_m)

    @property
    def _progress(self) -> float:
        return min(self._held_s / HOLD_S, len(self._betas) / _FEWEST, 1.0)

    def _step_s(self, hands: Sequence[TrackedHand]) -> float:
        """Return the time since the last frame that had a hand in it."""
        if not hands:
            return _LONGEST_STEP_S / 3
        now_s = hands[0].timestamp_s
        before_s, self._last_s = self._last_s, now_s
        return 0.0 if before_s is None else min(max(now_s - before_s, 0.0), _LONGEST_STEP_S)

    def _refused(self, reason: str, step_s: float) -> CalibrationStep:
        self._lost_s += step_s
        if self._lost_s > FORGIVEN_S:
            self._restart()
        return CalibrationStep(min(self._progress, 0.999), reason)


def length_of(model: HandModel, betas: np.ndarray) -> float:
    """Return the flat hand's length (m) at scale 1: wrist joint to middle fingertip."""
    rest = model.v_template.double().numpy() + model.shapedirs.double().numpy() @ betas
    wrist = model.J_regressor.double().numpy()[0] @ rest
    return float(np.linalg.norm(rest[model.tip_ids[2]] - wrist))
