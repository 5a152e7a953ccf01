"""The fitter's speed, and against SciPy's least squares on the same residuals from the same start.

Hands are made up: sampled poses, shapes and views at 720p, 2 px of noise on the landmarks and 6 mm
on the 3D landmarks. SciPy gets the same compiled residuals.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from benchmarks.metric import Metric, alternating_ms
from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.metrics import pa_mpjpe_mm
from tracker.geometry.skinning import RuntimeHand
from tracker.vision.fit_problem import FitProblem
from tracker.vision.fitter import Evidence, HandFitter

K = np.array([[1000.0, 0, 640], [0, 1000, 360], [0, 0, 1]])
NOISE_PX, NOISE_M = 2.0, 0.006


@dataclass(frozen=True)
class Scene:
    """Evidence of a made-up hand and the true joints behind it (m)."""

    evidence: Evidence
    landmarks: Float[np.ndarray, "21 3"]
    """The 3D landmarks in the evidence."""
    joints: Float[np.ndarray, "21 3"]


def made_up_scenes(count: int, seed: int = 0) -> list[Scene]:
    """Draw hands in front of a 720p camera, most of them with fingers up or to the side."""
    rng = np.random.default_rng(seed)
    arrays = read_hand_file()
    hand = RuntimeHand(HandModel.load())
    scenes: list[Scene] = []
    for _ in range(count):
        pose = arrays.hands_mean + rng.choice(arrays.hands_coeffs) @ arrays.hands_components
        orient = Rotation.from_rotvec(rng.normal(size=3) * 0.7) * Rotation.from_euler("x", np.pi)
        transl = rng.uniform([-0.15, -0.08, 0.4], [0.15, 0.08, 0.8])
        params = HandParams(
            orient.as_rotvec(), pose.reshape(15, 3), 0.7 * rng.normal(size=10), transl, 1.0
        )
        joints = hand.skin(params)[1].astype(np.float64)
        uv = (joints @ K.T)[:, :2] / joints[:, 2:] + rng.normal(size=(21, 2)) * NOISE_PX
        xyz = joints + rng.normal(size=(21, 3)) * NOISE_M
        scenes.append(Scene(Evidence(uv, np.ones(21), xyz, K), xyz, joints))
    return scenes


def run(quick: bool) -> list[Metric]:
    """Measure warm and cold speed and the distance to SciPy; ratios say how many times better."""
    fitter = HandFitter(HandModel.load())
    fitter.warmup()
    scenes = made_up_scenes(20 if quick else 100)
    starts = [fitter.cold(scene.evidence).state for scene in scenes]
    warm = [
        milliseconds(lambda s=scene, f=first: fitter.warm(s.evidence, f))
        for _ in range(3 if quick else 10)
        for scene, first in zip(scenes[1:], starts, strict=False)
    ]
    cold = [milliseconds(lambda s=scene: fitter.cold(s.evidence)) for scene in scenes]
    fit_mm, landmarks_mm = errors_mm(fitter, scenes)
    return [
        Metric("fit_warm_ms", float(np.median(warm)), "ms"),
        Metric("fit_warm_p95_ms", float(np.quantile(warm, 0.95)), "ms"),
        Metric("fit_cold_ms", float(np.median(cold)), "ms"),
        *against_scipy(fitter, scenes[: 5 if quick else 30]),
        Metric(
            "fit_synthetic_pa_mpjpe_mm",
            fit_mm,
            "mm",
            reference="the noisy 3D landmarks themselves",
            reference_value=landmarks_mm,
            ratio=fit_mm / landmarks_mm,
        ),
    ]


def against_scipy(fitter: HandFitter, scenes: list[Scene]) -> list[Metric]:
    """Solve the same cold fits from the same start, in turn: ours, SciPy's, SciPy's with our Jacobian.

    The headline is SciPy as one calls it: no Jacobian, its own tolerances. Given our exact Jacobian
    and our looser tolerance, what is left is the solvers alone. The start is the palm that the 3D
    landmarks show; from the mirrored tilts, which `cold` also tries, either solver may end in a
    wrong basin, and comparing two of those says nothing.
    """
    problems = [fitter.cold_problems(scene.evidence)[-1] for scene in scenes]
    solvers = (partial(ours, fitter), scipy_as_called, partial(scipy_helped, fitter))
    ms = np.array(
        [
            [np.median(t) for t in alternating_ms([partial(s, p) for s in solvers], rounds=3)]
            for p in problems
        ]
    )
    costs = np.array([[solver(problem) for solver in solvers] for problem in problems])
    medians = np.median(ms, 0)
    speedups = np.median(ms / ms[:, :1], 0)
    cost = float((costs[:, 0] / costs[:, 1]).max())
    names = ("scipy.optimize.least_squares", "the same with our Jacobian and tolerance")
    return [
        Metric(
            "fit_vs_scipy_speedup",
            float(speedups[1]),
            "x",
            names[0] + ", ms",
            float(medians[1]),
            float(speedups[1]),
            "higher",
        ),
        Metric(
            "fit_vs_scipy_jacobian_speedup",
            float(speedups[2]),
            "x",
            names[1] + ", ms",
            float(medians[2]),
            float(speedups[2]),
            "higher",
        ),
        Metric("fit_vs_scipy_solve_ms", float(medians[0]), "ms"),
        Metric("fit_vs_scipy_cost", cost, "of its cost, worst", names[0], 1.0, cost),
    ]


def ours(fitter: HandFitter, problem: FitProblem) -> float:
    """Solve as the fitter does; return the cost."""
    return problem.solve(fitter.config.cold_iterations, fitter.config.tolerance)[2]


def scipy_as_called(problem: FitProblem) -> float:
    """Solve with SciPy's defaults; return the cost."""
    return float(least_squares(problem.residuals, np.zeros(problem.free)).cost)


def scipy_helped(fitter: HandFitter, problem: FitProblem) -> float:
    """Solve with SciPy, our Jacobian and our tolerance; return the cost."""
    jacobian: Any = problem.jacobian  # SciPy's types know only the names of its own schemes
    start = np.zeros(problem.free)
    return float(
        least_squares(problem.residuals, start, jacobian, ftol=fitter.config.tolerance).cost
    )


def errors_mm(fitter: HandFitter, scenes: list[Scene]) -> tuple[float, float]:
    """Return PA-MPJPE of cold fits and of the 3D landmarks they were given."""
    hand = RuntimeHand(fitter.model)
    truth = np.stack([scene.joints for scene in scenes])
    fits = [hand.skin(fitter.cold(scene.evidence).params)[1] for scene in scenes]
    seen = [scene.landmarks for scene in scenes]
    return pa_mpjpe_mm(np.stack(fits).astype(np.float64), truth), pa_mpjpe_mm(np.stack(seen), truth)


def milliseconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1e3
