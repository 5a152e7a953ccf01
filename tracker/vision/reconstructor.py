"""From landmarks to a placed hand: fit, lock the shape once it is known, smooth, skin."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from jaxtyping import Float

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skinning import RuntimeHand
from tracker.vision.fit_guided import SHAPE_ONLY, Guess, GuidedFitter
from tracker.vision.fitter import Evidence, FitResult, FitState, FitterConfig, HandFitter
from tracker.vision.mirroring import canonical_landmarks, restore_params, restore_points
from tracker.vision.records import Landmarks, Reconstruction, Side
from tracker.vision.smoothing import HandSmoother, SmoothingConfig

_MORE_STEPS: Final = 8
_OUTSIDE: Final = 0.15
"""Confidence of a landmark outside the picture: there the landmark model only guesses."""
_LOOSE_FIT: Final = 0.025
"""Reprojection error, as a share of the hand's size, at which two steps were too few: it moved fast."""
_BAD_FIT: Final = 0.10
"""Reprojection error, as a share of the hand's size, at which a warm fit is tried again from cold."""


@dataclass
class HandMemory:
    """What is known of one hand from earlier frames; `HandReconstructor` reads and writes it."""

    smoother: HandSmoother | None
    fit: FitState | None = None
    shape_sum: Float[np.ndarray, " 11"] = field(default_factory=lambda: np.zeros(11))
    """Confidence-weighted sum of betas and log scale."""
    shape_weight: float = 0.0
    locked: bool = False


class HandReconstructor:
    """Fit hands of one model; each hand's past lives in its own `HandMemory`.

    `alone` says that every picture is one of its own: bones may have the lengths they are seen with.
    """

    def __init__(
        self,
        model: HandModel,
        fitter: FitterConfig,
        smoothing: SmoothingConfig | None,
        lock_after: int,
        *,
        alone: bool = False,
    ) -> None:
        self._fitter = HandFitter(model, fitter)
        self._guided = GuidedFitter(self._fitter)
        self._shape_guided = GuidedFitter(self._fitter, SHAPE_ONLY)
        self._skinner = RuntimeHand(model)
        self._wrist_at_rest = (model.J_regressor @ model.v_template)[0].double().numpy()
        self._smoothing = smoothing
        self._lock_after = lock_after
        self._alone = alone

    def new_memory(self) -> HandMemory:
        """Return the memory of a hand not seen before."""
        return HandMemory(self._new_smoother())

    def restart(self, memory: HandMemory) -> None:
        """Prepare for a hand that was away: its shape is still known, its pose is not."""
        memory.fit = None
        memory.smoother = self._new_smoother()

    def set_smoothing(
        self, smoothing: SmoothingConfig | None, memories: Iterable[HandMemory]
    ) -> None:
        """Smooth otherwise from now on, these hands too; they may jump once by what was smoothed."""
        self._smoothing = smoothing
        for memory in memories:
            memory.smoother = self._new_smoother()

    def warmup(self, camera: Camera, guess: Guess | None = None) -> Reconstruction:
        """Compile what is compiled at first use, by following a still hand before `camera`.

        A guess, whatever it says, has what guesses need compiled too.
        """
        rest = HandParams(
            np.array([np.pi, 0, 0]), np.zeros((15, 3)), np.zeros(10), np.array([0, 0, 0.5]), 1.0
        )
        joints = self._skinner.skin(rest)[1].astype(np.float64)
        seen = Landmarks(camera.project(joints), joints - joints.mean(0), presence=1.0, right=1.0)
        memory = self.new_memory()
        for told in (None, guess):
            self(memory, seen, camera, "right", 1 / 30, told)
        return self(memory, seen, camera, "right", 1 / 30)

    def _new_smoother(self) -> HandSmoother | None:
        config = self._smoothing
        return None if config is None else HandSmoother(config, self._wrist_at_rest)

    def __call__(
        self,
        memory: HandMemory,
        landmarks: Landmarks,
        camera: Camera,
        side: Side,
        dt_s: float,
        guess: Guess | None = None,
    ) -> Reconstruction:
        """Return the hand that explains `landmarks`, `dt_s` seconds after the previous call.

        `guess` is another's idea of the hand, as a right one in the camera of its mirror image.
        """
        seen, view = canonical_landmarks(landmarks, camera, side)
        evidence = _evidence(seen, view)
        result = self._fit(memory, evidence, guess)
        self._learn_shape(memory, result, landmarks.presence)
        if guess is not None:
            result = self._guide(guess).laid(evidence, result, followed=not self._alone)
        return self._shown(memory, result.params, result.reprojection_px, side, dt_s)

    def follow(
        self,
        params: HandParams,
        memory: HandMemory,
        landmarks: Landmarks,
        camera: Camera,
        side: Side,
        dt_s: float,
    ) -> Reconstruction:
        """Return the hand of `params` itself, smoothed; landmarks only tell how well it fits.

        `params` are those of a right hand in the camera of its mirror image. A known shape is put
        in their place, nearer or further so that the hand keeps its size in the picture.
        """
        seen, view = canonical_landmarks(landmarks, camera, side)
        params = self._guided.with_known_shape(params)
        apart = view.project(self._skinner.skin(params)[1].astype(np.float64)) - seen.uv
        error_px = float(np.sqrt(np.square(apart).sum(-1).mean()))
        return self._shown(memory, params, error_px, side, dt_s)

    def _shown(
        self, memory: HandMemory, params: HandParams, error_px: float, side: Side, dt_s: float
    ) -> Reconstruction:
        smoother = memory.smoother
        params = params if smoother is None else smoother(params, dt_s)
        vertices, joints = self._skinner.skin(params)
        return Reconstruction(
            params=restore_params(params, side),
            vertices=restore_points(vertices, side),
            joints=restore_points(joints, side),
            reprojection_px=error_px,
        )

    def _fit(self, memory: HandMemory, evidence: Evidence, guess: Guess | None) -> FitResult:
        """Go on from the last frame; begin afresh where that does not explain what is seen."""
        if guess is not None and guess.only_shape and memory.locked:
            guess = None  # the shape is settled
        if memory.fit is None:
            result = self._cold(evidence, guess)
        else:
            result = self._warm(evidence, memory, guess)
            size_px = float(np.ptp(evidence.uv, axis=0).max())
            if result.reprojection_px > _LOOSE_FIT * size_px:
                result = self._warm(evidence, memory, guess, _MORE_STEPS)
            if result.reprojection_px > _BAD_FIT * size_px:
                afresh = self._cold(evidence, guess)
                result = min(result, afresh, key=lambda r: r.reprojection_px)
        memory.fit = result.state
        return result

    def _cold(self, evidence: Evidence, guess: Guess | None) -> FitResult:
        if guess is None:
            return self._fitter.cold(evidence)
        return self._guide(guess).cold(evidence, guess.params)

    def _warm(
        self, evidence: Evidence, memory: HandMemory, guess: Guess | None, iterations: int = 2
    ) -> FitResult:
        assert memory.fit is not None
        if guess is None:
            return self._fitter.warm(
                evidence, memory.fit, lock_shape=memory.locked, iterations=iterations
            )
        return self._guide(guess).warm(
            *(evidence, memory.fit, guess.params),
            lock_shape=memory.locked,
            iterations=iterations,
        )

    def _guide(self, guess: Guess) -> GuidedFitter:
        return self._shape_guided if guess.only_shape else self._guided

    def _learn_shape(self, memory: HandMemory, result: FitResult, weight: float) -> None:
        """Average the shape over the first frames and hold it from then on."""
        if memory.locked or self._lock_after <= 0:
            return
        state = result.state
        memory.shape_sum += weight * np.append(state.betas, state.log_scale)
        memory.shape_weight += weight
        if memory.shape_weight >= self._lock_after:
            mean = memory.shape_sum / memory.shape_weight
            memory.fit = replace(state, betas=mean[:-1], log_scale=float(mean[-1]))
            memory.locked = True


def _evidence(landmarks: Landmarks, camera: Camera) -> Evidence:
    """Weigh the landmarks: those outside the picture are hardly seen."""
    height, width = camera.hw
    inside = ((landmarks.uv >= 0) & (landmarks.uv <= np.array([width, height]))).all(-1)
    confidence = np.where(inside, 1.0, _OUTSIDE)
    return Evidence(landmarks.uv, confidence, landmarks.xyz, camera.K)


def agreement(reprojection_px: float, size_px: float) -> float:
    """Return in [0, 1] how well the mesh explains the landmarks: 0.37 at 7 % of the hand's size."""
    return math.exp(-((reprojection_px / (0.07 * size_px)) ** 2))
