"""The fit with a guess at the whole hand: the network's, as a prior and as one more start.

The guess pulls at pose, shape and scale like the previous frame does, each with its own deviation;
two such pulls together are one, at their weighted mean. Rotation and place are only a start: the
landmarks tell both better. Where guess and fit turn the palm differently, both starts are
followed and the cheaper end is taken.

What is shown is the fit laid onto its pixels: joints keep their depths and move to where the
landmarks are seen; bones then follow the directions between those places. In a picture alone the
shape gives them their lengths; a hand that is followed keeps its own. What is remembered for the next
frame is the fit before that, or the pixels' noise would be taken for pose.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from tracker.geometry.hand_params import HandParams
from tracker.vision.fit_problem import FitProblem
from tracker.vision.fit_residuals import MIN_SD_PX, Target, Weights, pulls
from tracker.vision.fitter import N_SIZE, Evidence, FitResult, FitState, HandFitter

DISAGREE_RAD: Final = 0.5
"""Turn between guess and current fit from which both are starts."""
_MORE_STEPS: Final = 8
_HOLD_TWIST: Final = 0.1
_SURE: Final = 0.5
"""Confidence of a landmark above which a joint is moved onto it."""
_CLEARLY: Final = 0.8
"""Share of the cost at which the other start wins; a hand must not flicker between two tilts."""


@dataclass(frozen=True)
class Laying:
    """How a hand is laid onto its pixels."""

    noise: float
    """What is left of `reprojection_sd` meanwhile."""
    span_sd: float
    """How closely directions are kept, as `span_3d_sd`."""
    steps: int
    shape_sd: float | None = None
    """Of `betas`, where bones may have the lengths they are seen with; None keeps the shape."""


@dataclass(frozen=True)
class GuessTrust:
    """Deviations of the guess, in the units of `FitterConfig`, and what it changes for the rest.

    Chosen on the sets that `FitterConfig` names, with a network of 13.3 mm PA-MPJPE: a cold fit goes
    from 12.15 to 11.70 mm, and from 1.07 to 1.00 times MediaPipe's 2D error. What concerns hands that
    are followed was chosen on the two clips that the 78 photographs are from and one more
    (`benchmarks --only clips`): from landmarks alone to fused, PA-MPJPE goes from 12.0 to 10.9 mm
    there, and the 2D error down by 9 and 14 %.
    """

    pose_sd: float = 0.35
    """Infinite: the guess knows nothing of the pose, and is no start."""
    following: float = 0.7
    """What is left of `pose_sd` while a hand is followed: a guess differs from the next one, and the
    smoothing takes their mean. Laid onto its pixels, the hand is where it is seen all the same."""
    shape_sd: float = 1.5
    """What a picture tells of the shape is little."""
    scale_sd: float = 0.3
    landmark_noise: float = 2 / 3
    """What is left of `reprojection_sd` in a cold fit: with a prior for depth, pixels may be followed
    closer. From frame to frame that would only follow their noise."""
    span_noise: float = 1.6
    """What `span_3d_sd` grows by in a cold fit: the guess tells of depth too."""
    alone: Laying = Laying(noise=0.3, span_sd=0.04, steps=6, shape_sd=1.7)
    """For a fit of one picture. With half the `span_sd` the 2D error is 1 % larger and PA-MPJPE 0.3 mm
    smaller."""
    followed: Laying = Laying(noise=0.6, span_sd=0.03, steps=2)
    """For a hand that has a next frame. Closer to its pixels it would follow their noise."""


SHAPE_ONLY: Final = GuessTrust(pose_sd=math.inf, landmark_noise=1.0, span_noise=1.0)


@dataclass(frozen=True)
class Guess:
    """What a network says of a hand, to be weighed against what is seen."""

    params: HandParams
    only_shape: bool = False
    """Pose and place are of another moment, or no better than a mean."""


class GuidedFitter:
    """A fitter that is given a guess for each frame."""

    def __init__(self, fitter: HandFitter, trust: GuessTrust | None = None) -> None:
        self._fitter = fitter
        self._trust = trust or GuessTrust()
        self._tells_pose = math.isfinite(self._trust.pose_sd)
        self._pose_from_angles = np.linalg.pinv(fitter.pose_axes[0])
        model = fitter.model.to("cpu")
        rest = np.concatenate([model.v_template[..., None], model.shapedirs], -1)
        self._wrist = np.einsum("v,vck->ck", model.J_regressor[0].numpy(), rest).astype(np.float64)

    def cold(self, evidence: Evidence, guess: HandParams) -> FitResult:
        """Fit one frame on its own, from the usual starts and from the guess."""
        state = self.state(guess)
        usual = self._fitter.cold_problems(evidence)
        own = [self._started(usual[0], state)] if self._tells_pose else []
        problems = [self._pulled(problem, state, None) for problem in (*usual, *own)]
        steps = self._fitter.config.cold_iterations
        return min((self._fitter.solve(p, steps) for p in problems), key=lambda fit: fit.cost)

    def warm(
        self,
        evidence: Evidence,
        previous: FitState,
        guess: HandParams,
        *,
        lock_shape: bool = False,
        iterations: int = 2,
    ) -> FitResult:
        """Go on from the previous frame, and from the guess where that is another hand altogether."""
        state = self.state(guess)
        problem = self._fitter.warm_problem(evidence, previous, lock_shape=lock_shape)
        pulled = self._pulled(problem, state, previous)
        fit = self._fitter.solve(pulled, iterations)
        if not math.isfinite(fit.cost):
            return self.cold(evidence, guess)
        if not self._tells_pose or _turn_between(state.rotation, fit.state.rotation) < DISAGREE_RAD:
            return fit
        # Both get as many steps: what is only on its way must not lose to what has arrived.
        fit = self._fitter.solve(pulled, _MORE_STEPS)
        other = self._fitter.solve(
            self._pulled(self._started(problem, state), state, previous), _MORE_STEPS
        )
        return other if other.cost < _CLEARLY * fit.cost else fit

    def laid(self, evidence: Evidence, fit: FitResult, *, followed: bool) -> FitResult:
        """Return a fit laid onto its pixels: what to show of it, not what to go on from.

        A guess that tells nothing of the pose leaves it as it is.
        """
        if not self._tells_pose or not math.isfinite(fit.cost):
            return fit
        laying = self._trust.followed if followed else self._trust.alone
        return self._fitter.solve(self._laid(evidence, fit.state, laying), laying.steps)

    def with_known_shape(self, params: HandParams) -> HandParams:
        """Return the hand with the shape from a calibration, if there is one; as big in the picture."""
        shape = self._fitter.config.shape
        if shape is None:
            return params
        betas = np.array(shape.betas, np.float64)
        grown = self._length_m(betas, shape.scale) / self._length_m(params.betas, params.scale)
        place = grown * (self._wrist_m(params.betas, params.scale) + params.transl)
        transl = place - self._wrist_m(betas, shape.scale)
        return replace(params, betas=betas, scale=shape.scale, transl=transl)

    def _length_m(self, betas: Float[np.ndarray, " 10"], scale: float) -> float:
        """Return the flat hand's length."""
        return scale * self._fitter.flat_length_m(betas)

    def _wrist_m(self, betas: Float[np.ndarray, " 10"], scale: float) -> Float[np.ndarray, " 3"]:
        """Return the wrist of a hand that is not moved yet."""
        return scale * (self._wrist[:, 0] + self._wrist[:, 1:] @ betas)

    def state(self, params: HandParams) -> FitState:
        """Return hand parameters, with the known shape, in the coordinates of the solver."""
        params = self.with_known_shape(params)
        pose = self._pose_from_angles @ (params.hand_pose.ravel() - self._fitter.pose_axes[1])
        return FitState(
            rotation=Rotation.from_rotvec(params.global_orient).as_matrix(),
            wrist=self._wrist_m(params.betas, params.scale) + params.transl,
            log_scale=math.log(params.scale),
            pose=pose,
            betas=np.asarray(params.betas, np.float64),
        )

    def _pulled(
        self, problem: FitProblem, guess: FitState, previous: FitState | None
    ) -> FitProblem:
        """Return the problem with the guess's pull, beside the previous frame's if there is one."""
        weights = problem.weights
        own = Weights(**(weights._asdict() | self._own_pulls(following=previous is not None)))
        count = problem.values.size
        hold, before = _anchors(own, count), _anchors(weights, count)
        if previous is None:
            before = np.zeros(count)
        total = hold**2 + before**2
        free = total > 0
        values = problem.values.copy()
        wanted = _vector(guess)
        mean = (hold**2 * wanted + before**2 * values) / np.where(free, total, 1)
        inside = free & (np.arange(count) < problem.free)
        values[inside] = mean[inside]
        weights = _with_anchors(weights, np.sqrt(total))
        problem = replace(problem, values=values, weights=weights)
        return self._trusting_pixels(problem) if previous is None else problem

    def _trusting_pixels(self, problem: FitProblem) -> FitProblem:
        """Return a cold problem that follows pixels closer, and 3D landmarks less."""
        spans_3d = problem.weights.spans_3d / self._trust.span_noise
        return replace(
            problem,
            weights=problem.weights._replace(spans_3d=spans_3d),
            target=_nearer(problem.target, self._trust.landmark_noise),
        )

    def _laid(self, evidence: Evidence, state: FitState, laying: Laying) -> FitProblem:
        """Return the problem that follows pixels but keeps the depth of a hand's joints."""
        joints = _onto_pixels(self._fitter.joints(state), evidence)
        problem = self._fitter.warm_problem(
            replace(evidence, xyz=joints), state, lock_shape=laying.shape_sd is None
        )
        # Joints are known here however sure their landmarks were.
        spans = problem.target.spans.copy()
        spans[:, 3] = spans[:, :3].any(1)
        target = _nearer(problem.target._replace(spans=spans), laying.noise)
        # What the prior knows of poses is in the directions already; all they leave open is twist.
        weights = problem.weights._replace(
            pose=0.0,
            anchor_pose=_HOLD_TWIST,
            anchor_shape=0.0,
            shape=0.0 if laying.shape_sd is None else 1 / laying.shape_sd,
            spans_3d=1 / laying.span_sd,
        )
        return replace(problem, weights=weights, target=target)

    def _own_pulls(self, *, following: bool) -> dict[str, float]:
        trust = self._trust
        pose_sd = trust.pose_sd * (trust.following if following else 1.0)
        return {
            "anchor_pose": 1 / pose_sd,
            "anchor_shape": 1 / trust.shape_sd,
            "anchor_scale": 1 / trust.scale_sd,
        }

    @staticmethod
    def _started(problem: FitProblem, guess: FitState) -> FitProblem:
        """Return the problem begun at the guess's rotation and place."""
        values = problem.values.copy()
        values[3:6] = guess.wrist
        return replace(problem, rotation=np.ascontiguousarray(guess.rotation), values=values)


def _nearer(target: Target, noise: float) -> Target:
    """Return a target of whose landmark noise so much is left: its pixels are followed closer."""
    return target._replace(sd_px=max(target.sd_px * noise, MIN_SD_PX))


def _onto_pixels(
    joints: Float[np.ndarray, "21 3"], evidence: Evidence
) -> Float[np.ndarray, "21 3"]:
    """Return joints at their own depths where their landmarks are seen; unsure ones stay."""
    rays = np.c_[evidence.uv, np.ones(21)] @ np.linalg.inv(evidence.K).T
    sure = (evidence.confidence > _SURE) & np.isfinite(evidence.uv).all(1)
    return np.where(sure[:, None], rays * joints[:, 2:], joints)


def _vector(state: FitState) -> Float[np.ndarray, " m"]:
    size = np.array([state.log_scale])
    return np.concatenate([np.zeros(3), state.wrist, state.pose, size, state.betas])


def _anchors(weights: Weights, count: int) -> Float[np.ndarray, " m"]:
    """Return the weight of the anchor on each value."""
    prior, anchor = np.empty(count), np.empty(count)
    pulls(weights, count, prior, anchor)
    return anchor


def _with_anchors(weights: Weights, anchors: Float[np.ndarray, " m"]) -> Weights:
    last = anchors.size - N_SIZE
    return weights._replace(
        anchor_pose=float(anchors[6]),
        anchor_scale=float(anchors[last]),
        anchor_shape=float(anchors[last + 1]),
    )


def _turn_between(a: Float[np.ndarray, "3 3"], b: Float[np.ndarray, "3 3"]) -> float:
    """Return the angle of the rotation from one to the other."""
    return float(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1)))
