"""From landmarks to a hand: Levenberg-Marquardt on pixels, directions, joint limits and priors.

`HandFitter.cold` needs nothing but one frame's evidence; `warm` goes on from the previous frame.
Everything here is about a right hand: a left one is mirrored on the way in and back on the way out.

The pose is held in the principal poses of the open hand for every hand file, because axis-angles
mean the same in all of them and a file need not carry samples to learn a prior from.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Float

from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams, HandShape
from tracker.geometry.joint_limits import joint_frames, joint_limits
from tracker.vision.fit_kernels import parameters
from tracker.vision.fit_kinematics import HandTables, forward, new_chain
from tracker.vision.fit_problem import FitProblem
from tracker.vision.fit_residuals import MIN_DEPTH, Target, Weights, flat_length, prepare
from tracker.vision.fit_start import PALM, rotation_between, tilted_rotations, wrist_from_pixels

LENGTH_SD: Final = 0.005
"""How exactly a stated hand length is kept, as a logarithm: half a percent."""
HAND_LENGTHS_M: Final = (0.08, 0.30)
"""From a newborn's hand to beyond the longest on record."""
N_SIZE: Final = 11
"""State values that a locked shape keeps: log scale and ten betas, the last ones."""
LARGEST: Final = 1e6
"""3D landmarks beyond this are no landmarks."""
_UNSEEN: Final = np.full((21, 3), np.nan)


@dataclass(frozen=True)
class FitterConfig:
    """How far each source of knowledge is trusted: `_sd` is a standard deviation.

    The defaults were chosen on 78 photographs with triangulated joints and 166 with 2D labels. There
    a cold fit has 0.57 times the PA-MPJPE of the landmark model's own 3D landmarks (11.7 mm against
    20.6 mm), at 1.06 times MediaPipe's 2D error. A looser `reprojection_sd` gains nothing in 3D, a
    tighter one or a wider `shape_sd` buys 2D (3 %) for 3D (10 %).
    """

    reprojection_sd: float = 0.006
    """Landmark noise along each axis as a fraction of the hand's larger side in the image; that of
    the landmark model was measured. It is never less than a quarter of a pixel."""
    huber: float = 4.0
    """Deviations beyond which a landmark counts linearly instead of quadratically."""
    bone_2d_sd: float = 0.5
    """Direction of a bone in the image, as a difference of unit vectors (about radians)."""
    span_3d_sd: float = 0.25
    """The same in space, for bones and the line of the knuckles."""
    limit_sd_rad: float = 0.1
    """Joint angles beyond their limits (E_J), radians."""
    pose_sd: float = 0.75
    """Principal pose coefficients, in units of the spread of sampled poses."""
    shape_sd: float = 1.0
    """`betas`."""
    scale_sd: float = 0.09
    """Logarithm of the scale."""
    length_sd: float = 0.02
    """Logarithm of the hand's length about the mean hand's, where it is not known. One camera sees
    size only through perspective, which small errors of the landmarks mimic: left free, the fit
    makes every hand small and near."""
    hand_length_m: float | None = None
    """Wrist to middle fingertip of the flat hand in metres, where it is known."""
    shape: HandShape | None = None
    """Shape and scale, where they are known from a calibration: every fit then keeps them exactly,
    and `hand_length_m` has no effect."""
    anchor_pose_sd: float = 1.25
    """Change of pose coefficients from frame to frame, in the units of `pose_sd`."""
    anchor_shape_sd: float = 0.3
    """Change of `betas` from frame to frame."""
    anchor_scale_sd: float = 0.06
    """Change of the logarithm of the scale from frame to frame."""
    n_pose: int = 30
    """Principal poses to solve for: 30 of 45 hold 99.96 % of the variance of sampled poses."""
    cold_iterations: int = 40
    """Most steps of a cold fit from each start."""
    tolerance: float = 1e-5
    """Relative decrease of the cost at which a fit stops."""

    def __post_init__(self) -> None:
        low, high = HAND_LENGTHS_M
        if self.hand_length_m is not None and not low <= self.hand_length_m <= high:
            raise ValueError(
                f"hand length must lie between {low * 1e3:.0f} and {high * 1e3:.0f} mm, found "
                f"{self.hand_length_m * 1e3:g} mm (measure from the wrist to the middle fingertip)"
            )
        if not 1 <= self.n_pose <= 45:
            raise ValueError(f"n_pose must lie between 1 and 45, found {self.n_pose}")


@dataclass(frozen=True)
class Evidence:
    """What one frame says about a right hand."""

    uv: Float[np.ndarray, "21 2"]
    """Landmarks in pixels; those that are not finite are ignored."""
    confidence: Float[np.ndarray, " 21"]
    """Trust in each landmark, 0 (ignored) to 1."""
    xyz: Float[np.ndarray, "21 3"] | None
    """Landmarks in camera axes, of any origin and scale; None where there are none."""
    K: Float[np.ndarray, "3 3"]
    """Intrinsic matrix in pixels."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.K).all() and self.K[0, 0] > 0 and self.K[1, 1] > 0):
            raise ValueError(
                f"K needs finite entries and positive focal lengths, found {self.K.tolist()}"
            )


@dataclass(frozen=True)
class FitState:
    """A fitted hand in the coordinates of the solver; `HandFitter.params` explains it to others."""

    rotation: Float[np.ndarray, "3 3"]
    """Of the whole hand about its wrist."""
    wrist: Float[np.ndarray, " 3"]
    """Wrist joint in the camera frame, metres."""
    log_scale: float
    pose: Float[np.ndarray, " n"]
    """Principal pose coefficients in standard deviations of sampled poses."""
    betas: Float[np.ndarray, " 10"]


@dataclass(frozen=True)
class FitResult:
    """A fit and how well it explains the evidence."""

    state: FitState
    params: HandParams
    reprojection_px: float
    """Root mean square distance of projected joints and landmarks; infinite if none was seen."""
    cost: float
    """Half the squared norm of all residuals, each in standard deviations."""
    iterations: int
    """Steps that lowered the cost."""


class HandFitter:
    """Fits one right hand model to landmarks.

    Example:
        >>> fitter = HandFitter(HandModel.load())
        >>> first = fitter.cold(evidence)
        >>> second = fitter.warm(next_evidence, first.state)
    """

    def __init__(self, model: HandModel, config: FitterConfig | None = None) -> None:
        if model.side != "right":
            raise ValueError("the fitter works on right hands; mirror the evidence and the result")
        self.model = model
        self.config = config or FitterConfig()
        self._hand = _tables(model, self.config.n_pose)
        length_m = self.config.hand_length_m or self._mean_length_m()
        self._cold = _weights(self.config, length_m, anchored=False)
        self._warm = _weights(self.config, length_m, anchored=True)
        self._rest = self._rest_state()

    def cold(self, evidence: Evidence) -> FitResult:
        """Fit one frame on its own.

        It starts from both tilts of a palm that look alike and, with 3D landmarks, from the palm
        they show, and keeps the best fit: one start alone ends in a wrong basin in 4 % of pictures.
        """
        fits = [
            self.solve(problem, self.config.cold_iterations)
            for problem in self.cold_problems(evidence)
        ]
        return min(fits, key=lambda fit: fit.cost)

    def warm(
        self,
        evidence: Evidence,
        previous: FitState,
        *,
        lock_shape: bool = False,
        iterations: int = 2,
    ) -> FitResult:
        """Go on from the previous frame, which also anchors pose, shape and scale.

        `lock_shape` keeps `betas` and scale exactly as they are. A previous hand that is not wholly
        in front of the camera is of no use: the frame is then fitted cold.
        """
        problem = self.warm_problem(evidence, previous, lock_shape=lock_shape)
        fit = self.solve(problem, iterations)
        return fit if math.isfinite(fit.cost) else self.cold(evidence)

    def cold_problems(self, evidence: Evidence) -> list[FitProblem]:
        """Return the least-squares problems that `cold` chooses from, one for each start."""
        target = self._prepare(evidence)
        starts = self._starts(target, evidence.xyz)
        values = [_values(start) for start in starts]
        locked = 0 if self.config.shape is None else N_SIZE
        return [
            FitProblem(self._hand, self._cold, target, start.rotation, v, v.size - locked)
            for start, v in zip(starts, values, strict=True)
        ]

    def warm_problem(
        self, evidence: Evidence, previous: FitState, *, lock_shape: bool = False
    ) -> FitProblem:
        """Return the least-squares problem that `warm` works on."""
        values = _values(previous)
        locked = lock_shape or self.config.shape is not None
        free = values.size - N_SIZE if locked else values.size
        target = self._prepare(evidence)
        rotation = np.array(previous.rotation, np.float64, order="C")
        return FitProblem(self._hand, self._warm, target, rotation, values, free)

    def joints(self, state: FitState) -> Float[np.ndarray, "21 3"]:
        """Return a state's joints in the camera frame (m)."""
        return self._points(state) @ state.rotation.T + state.wrist

    def params(self, state: FitState) -> HandParams:
        """Return a state as hand parameters."""
        orient, pose, transl, scale = parameters(self._hand, state.rotation, _values(state))
        return HandParams(orient, pose, state.betas, transl, scale)

    def warmup(self) -> None:
        """Compile everything now (20 s once, a second when cached) instead of at first use."""
        points = self._points(self._rest) + np.array([0.0, 0.0, 0.5])
        K = np.array([[500.0, 0, 0], [0, 500, 0], [0, 0, 1]])
        evidence = Evidence(1000 * points[:, :2], np.ones(21), points, K)
        self.warm(evidence, self.cold(evidence).state)

    def flat_length_m(self, betas: Float[np.ndarray, " 10"]) -> float:
        """Length of the flat hand at scale 1, wrist to middle fingertip."""
        return float(flat_length(self._hand, np.array(betas, np.float64), np.empty(10)))

    def _mean_length_m(self) -> float:
        return self.flat_length_m(np.zeros(10))

    def _rest_state(self) -> FitState:
        """The known hand at the origin, else the mean one, at its stated length if there is one."""
        pose = np.zeros(self.config.n_pose)
        shape, known = self.config.shape, self.config.hand_length_m
        if shape is not None:
            betas = np.array(shape.betas, np.float64)
            return FitState(np.eye(3), np.zeros(3), math.log(shape.scale), pose, betas)
        log_scale = 0.0 if known is None else math.log(known / self._mean_length_m())
        return FitState(np.eye(3), np.zeros(3), log_scale, pose, np.zeros(10))

    def _points(self, state: FitState) -> Float[np.ndarray, "21 3"]:
        """Joints relative to the wrist, scaled, before rotation."""
        chain = new_chain()
        forward(self._hand, state.pose, state.betas, chain)
        return chain.points * math.exp(state.log_scale)

    def _prepare(self, evidence: Evidence) -> Target:
        xyz = _UNSEEN if evidence.xyz is None else evidence.xyz
        K, uv, confidence, xyz = (
            np.array(a, np.float64, order="C")  # a view or a read-only array would compile anew
            for a in (evidence.K, evidence.uv, evidence.confidence, xyz)
        )
        return prepare(K, uv, confidence, xyz, self.config.reprojection_sd)

    def _starts(self, target: Target, xyz: Float[np.ndarray, "21 3"] | None) -> list[FitState]:
        """Return the mean hand, placed as the evidence suggests."""
        rest = self._points(self._rest)
        rotations = list(tilted_rotations(rest[PALM], target.uv[PALM]))
        shapes = [rest @ rotation.T for rotation in rotations]
        if xyz is not None and _is_hand(xyz):
            seen = xyz - xyz[0]
            rotations.append(rotation_between(rest[PALM], seen[PALM]))
            shapes.append(seen * (np.linalg.norm(rest[PALM]) / np.linalg.norm(seen[PALM])))
        nearest = 2 * MIN_DEPTH + float(np.linalg.norm(rest, axis=-1).max())
        wrists = [
            wrist_from_pixels(shape, target.uv, target.confidence, target.K, nearest=nearest)
            for shape in shapes
        ]
        return [
            replace(self._rest, rotation=rotation, wrist=wrist)
            for rotation, wrist in zip(rotations, wrists, strict=True)
        ]

    @property
    def pose_axes(self) -> tuple[Float[np.ndarray, "45 n"], Float[np.ndarray, " 45"]]:
        """Axis-angles (rad) of the finger joints for each pose value, and of the mean pose."""
        return self._hand.axes, self._hand.mean

    def solve(self, problem: FitProblem, iterations: int) -> FitResult:
        """Minimise a problem made by `cold_problems` or `warm_problem` from its start."""
        rotation, values, cost, error_px, taken = problem.solve(iterations, self.config.tolerance)
        last = values.size - N_SIZE
        state = FitState(
            rotation, values[3:6], float(values[last]), values[6:last], values[last + 1 :]
        )
        return FitResult(state, self.params(state), error_px, cost, taken)


def _is_hand(xyz: Float[np.ndarray, "21 3"]) -> bool:
    """Whether 3D landmarks are numbers with an extent, in whatever unit."""
    return bool((np.abs(xyz) < LARGEST).all() and np.ptp(xyz[PALM], axis=0).max() > 1 / LARGEST)


def _values(state: FitState) -> Float[np.ndarray, " m"]:
    """The solver's vector: no rotation increment, wrist, pose, log scale, betas."""
    scale = np.array([state.log_scale])
    return np.concatenate((np.zeros(3), state.wrist, state.pose, scale, state.betas))


def _tables(model: HandModel, n_pose: int) -> HandTables:
    """Lay out a hand model and the pose prior for the kernels."""
    model = model.to("cpu", torch.float64)
    prior = read_hand_file()
    sd = prior.hands_coeffs.std(0)[:n_pose]
    tips = list(model.tip_ids)
    rest = np.concatenate([model.v_template[..., None].numpy(), model.shapedirs.numpy()], -1)
    tables = HandTables(
        axes=(prior.hands_components[:n_pose] * sd[:, None]).T,
        mean=prior.hands_mean,
        joints=np.einsum("jv,vck->jck", model.J_regressor.numpy(), rest),
        tips=rest[tips],
        tip_correctives=model.posedirs.numpy()[tips],
        frames=joint_frames(model).numpy(),
        limits=joint_limits(model).numpy(),
    )
    return HandTables(*(np.array(table, np.float64, order="C") for table in tables))


def _weights(config: FitterConfig, length_m: float, *, anchored: bool) -> Weights:
    """Turn deviations into weights; a cold fit has nothing to be anchored to."""
    hold = 1.0 if anchored else 0.0
    known = config.hand_length_m is not None
    return Weights(
        huber=config.huber,
        bones_2d=1 / config.bone_2d_sd,
        spans_3d=1 / config.span_3d_sd,
        limits=1 / config.limit_sd_rad,
        pose=1 / config.pose_sd,
        shape=1 / config.shape_sd,
        scale=1 / config.scale_sd,
        length=1 / (LENGTH_SD if known else config.length_sd),
        log_length=math.log(length_m),
        anchor_pose=hold / config.anchor_pose_sd,
        anchor_shape=hold / config.anchor_shape_sd,
        anchor_scale=hold / config.anchor_scale_sd,
    )
