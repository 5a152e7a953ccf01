from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.metrics import pa_mpjpe_mm
from tracker.geometry.skinning import RuntimeHand
from tracker.vision.fit_kernels import axis_angle_of
from tracker.vision.fit_problem import FitProblem
from tracker.vision.fit_residuals import BONES_2D, LENGTH, LIMITS, PRIORS, REPROJECTION, SPANS_3D
from tracker.vision.fitter import Evidence, FitState, FitterConfig, HandFitter

K = np.array([[1000.0, 0, 640], [0, 990, 360], [0, 0, 1]])
SEEN = np.ones(21)
BLOCKS = {
    "reprojection": slice(REPROJECTION, BONES_2D),
    "bones in the image": slice(BONES_2D, SPANS_3D),
    "spans in space": slice(SPANS_3D, LIMITS),
    "joint limits": slice(LIMITS, LENGTH),
    "hand length": slice(LENGTH, PRIORS),
    "priors and anchors": slice(PRIORS, None),
}


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module")
def hand(model: HandModel) -> RuntimeHand:
    return RuntimeHand(model)


@pytest.fixture(scope="module")
def fitter(model: HandModel) -> HandFitter:
    return HandFitter(model)


def random_state(rng: np.random.Generator, n: int = FitterConfig().n_pose) -> FitState:
    """A plausible pose before the camera, fingers up or to the side."""
    arrays = read_hand_file()
    spread = arrays.hands_coeffs.std(0)[:n]
    turn = Rotation.from_rotvec(rng.normal(size=3) * 0.6) * Rotation.from_euler("x", np.pi)
    return FitState(
        rotation=turn.as_matrix(),
        wrist=rng.uniform([-0.1, -0.05, 0.45], [0.1, 0.1, 0.7]),
        log_scale=0.0,
        pose=rng.choice(arrays.hands_coeffs)[:n] / spread,
        betas=0.7 * rng.normal(size=10),
    )


def observe(
    hand: RuntimeHand,
    params: HandParams,
    rng: np.random.Generator | None = None,
    noise: tuple[float, float] = (2.0, 0.006),
) -> tuple[Evidence, np.ndarray]:
    """Evidence of a hand, with noise in pixels and metres if there is a generator; its joints."""
    joints = hand.skin(params)[1].astype(np.float64)
    uv, xyz = (joints @ K.T)[:, :2] / joints[:, 2:], joints.copy()
    if rng is not None:
        uv = uv + rng.normal(size=uv.shape) * noise[0]
        xyz += rng.normal(size=xyz.shape) * noise[1]
    return Evidence(uv, SEEN, xyz, K), joints


def fitted_joints(hand: RuntimeHand, params: HandParams) -> np.ndarray:
    return hand.skin(params)[1].astype(np.float64)


def pa_mm(joints: np.ndarray, truth: np.ndarray) -> float:
    return pa_mpjpe_mm(joints[None], truth[None])


@pytest.fixture
def tense_problem(model, hand, rng) -> FitProblem:
    """A problem in which every residual is at work: outliers, broken limits, a stated length."""
    fitter = HandFitter(model, FitterConfig(hand_length_m=0.2))
    state = replace(
        random_state(rng), pose=4 * rng.normal(size=FitterConfig().n_pose), log_scale=0.1
    )
    evidence, _ = observe(hand, fitter.params(state), rng, noise=(8.0, 0.02))
    return fitter.warm_problem(replace(evidence, confidence=rng.uniform(size=21)), state)


@pytest.mark.parametrize("block", BLOCKS)
def test_jacobian_is_the_derivative_of_the_residuals(tense_problem, rng, block):
    x = 0.02 * rng.normal(size=tense_problem.free)
    step = 1e-6
    columns = []
    for k in range(tense_problem.free):
        change = np.zeros(tense_problem.free)
        change[k] = step
        ahead, behind = (tense_problem.residuals(x + s * change) for s in (1, -1))
        columns.append((ahead - behind) / (2 * step))
    numeric = np.stack(columns, 1)[BLOCKS[block]]
    exact = tense_problem.jacobian(x)[BLOCKS[block]]
    assert np.abs(exact).max() > 0
    assert np.abs(numeric - exact).max() < 1e-6 * np.abs(exact).max()


def test_without_noise_the_hand_is_recovered(model, hand, rng):
    trusting = FitterConfig(reprojection_sd=1e-3, span_3d_sd=1e-3, bone_2d_sd=1e-2)
    fitter = HandFitter(model, replace(trusting, cold_iterations=60, tolerance=1e-12))
    for _ in range(5):
        state = random_state(rng)
        evidence, joints = observe(hand, fitter.params(state))
        fit = fitter.cold(evidence)
        assert fit.reprojection_px < 0.05
        assert pa_mm(fitted_joints(hand, fit.params), joints) < 0.1


def test_noise_stays_below_bounds(fitter, hand, rng):
    errors, landmark_errors, depths = [], [], []
    for _ in range(40):
        evidence, joints = observe(hand, fitter.params(random_state(rng)), rng)
        found = fitted_joints(hand, fitter.cold(evidence).params)
        errors.append(pa_mm(found, joints))
        landmark_errors.append(pa_mm(evidence.xyz, joints))
        depths.append(abs(found[0, 2] / joints[0, 2] - 1))
    assert np.median(errors) < 3.0
    assert np.quantile(errors, 0.9) < 5.0
    assert np.median(errors) < 0.4 * np.median(landmark_errors)
    assert np.median(depths) < 0.10


def test_pixels_alone_give_the_pose(fitter, hand, rng):
    errors = []
    for _ in range(40):
        evidence, joints = observe(hand, fitter.params(random_state(rng)), rng)
        fit = fitter.cold(replace(evidence, xyz=None))
        errors.append(pa_mm(fitted_joints(hand, fit.params), joints))
    assert np.median(errors) < 5.0


def test_3d_landmarks_may_have_any_origin_and_scale(fitter, hand, rng):
    evidence, _ = observe(hand, fitter.params(random_state(rng)), rng)
    other = replace(evidence, xyz=3 * evidence.xyz + np.array([1.0, 2.0, -5.0]))
    first, second = fitter.cold(evidence).params, fitter.cold(other).params
    assert np.allclose(first.transl, second.transl, atol=1e-3)
    assert np.allclose(first.hand_pose, second.hand_pose, atol=1e-2)


def test_a_left_hand_is_fitted_in_the_mirror(model, fitter, rng):
    left = RuntimeHand(model.mirrored())
    params = fitter.params(random_state(rng)).mirrored()
    evidence, joints = observe(left, params, rng)
    flip = np.array([-1.0, 1.0, 1.0])
    mirrored_K = K.copy()
    mirrored_K[0, 2] = 1280 - K[0, 2]
    mirrored = Evidence(evidence.uv * [-1, 1] + [1280, 0], SEEN, evidence.xyz * flip, mirrored_K)
    found = fitter.cold(mirrored).params.mirrored()
    assert pa_mm(left.skin(found)[1].astype(np.float64), joints) < 5.0


def test_a_locked_shape_stays_exactly(fitter, hand, rng):
    state = random_state(rng)
    evidence, _ = observe(hand, fitter.params(state), rng)
    start = replace(state, betas=state.betas + 0.5, pose=state.pose + 0.3)
    locked = fitter.warm(evidence, start, lock_shape=True).state
    assert np.array_equal(locked.betas, start.betas)
    assert locked.log_scale == start.log_scale
    assert not np.allclose(locked.pose, start.pose)
    loose = fitter.warm(evidence, start).state
    assert not np.allclose(loose.betas, start.betas)


def test_cost_never_rises(fitter, hand, rng):
    for _ in range(10):
        evidence, _ = observe(hand, fitter.params(random_state(rng)), rng)
        problem = fitter.cold_problems(evidence)[0]
        costs = [problem.solve(n, 0.0)[2] for n in range(12)]
        assert all(np.diff(costs) <= 0)
        assert costs[-1] < 0.5 * costs[0]


def test_cost_is_half_the_squared_residuals(tense_problem):
    rows = tense_problem.residuals(np.zeros(tense_problem.free))
    assert tense_problem.solve(0, 0.0)[2] == pytest.approx(0.5 * rows @ rows)


def test_tracking_follows_a_moving_hand(fitter, hand, rng):
    first, last = random_state(rng), random_state(rng)
    turn = Rotation.from_matrix(last.rotation @ first.rotation.T).as_rotvec()
    errors, state = [], None
    for t in np.linspace(0, 1, 60):
        pose = (1 - t) * first.pose + t * last.pose
        rotation = Rotation.from_rotvec(t * turn).as_matrix() @ first.rotation
        truth = replace(first, pose=pose, rotation=rotation)
        evidence, joints = observe(hand, fitter.params(truth), rng)
        fit = fitter.cold(evidence) if state is None else fitter.warm(evidence, state)
        state = fit.state
        errors.append(pa_mm(fitted_joints(hand, fit.params), joints))
    assert np.median(errors) < 3.5
    assert max(errors) < 10


@pytest.mark.parametrize("length_m", [0.15, 0.22])
def test_a_stated_hand_length_is_kept(model, hand, rng, length_m):
    fitter = HandFitter(model, FitterConfig(hand_length_m=length_m))
    evidence, _ = observe(hand, fitter.params(random_state(rng)), rng)
    params = fitter.cold(evidence).params
    flat = replace(params, global_orient=np.zeros(3), hand_pose=np.zeros((15, 3)))
    found = fitted_joints(hand, flat)
    assert np.linalg.norm(found[12] - found[0]) == pytest.approx(length_m, rel=0.01)


def test_an_outlier_hardly_moves_the_hand(fitter, hand, rng):
    evidence, joints = observe(hand, fitter.params(random_state(rng)), rng)
    uv = evidence.uv.copy()
    uv[8] += 300
    found = fitted_joints(hand, fitter.cold(replace(evidence, uv=uv)).params)
    assert np.linalg.norm(found[12] - found[0] - (joints[12] - joints[0])) < 0.03


def test_joints_without_confidence_are_ignored(fitter, hand, rng):
    evidence, _ = observe(hand, fitter.params(random_state(rng)), rng)
    confidence = SEEN.copy()
    confidence[[8, 12]] = 0
    uv = evidence.uv.copy()
    uv[8], uv[12] = 1e5, np.nan
    clean = fitter.cold(replace(evidence, confidence=confidence))
    broken = fitter.cold(replace(evidence, confidence=confidence, uv=uv))
    assert np.allclose(clean.params.hand_pose, broken.params.hand_pose)


def hostile(evidence: Evidence) -> dict[str, Evidence]:
    """Evidence that no hand can have left."""
    return {
        "all landmarks in one place": replace(
            evidence, uv=np.full((21, 2), 300.0), xyz=np.zeros((21, 3))
        ),
        "nothing is seen": replace(evidence, confidence=np.zeros(21)),
        "not a number": replace(
            evidence, uv=np.full((21, 2), np.nan), xyz=np.full((21, 3), np.nan)
        ),
        "huge": replace(evidence, uv=evidence.uv * 1e200, xyz=evidence.xyz * 1e200),
        "scattered": replace(evidence, uv=evidence.uv[::-1] * 50, xyz=evidence.xyz[::-1]),
        "flat 3D landmarks": replace(evidence, xyz=evidence.xyz * np.array([1.0, 1.0, 0.0])),
        "only the tips": replace(evidence, xyz=None, confidence=np.arange(21) % 4 / 4.0),
    }


@pytest.mark.parametrize("case", hostile(Evidence(np.zeros((21, 2)), SEEN, np.zeros((21, 3)), K)))
def test_hostile_evidence_gives_a_finite_hand(fitter, hand, rng, case):
    evidence, _ = observe(hand, fitter.params(random_state(rng)), rng)
    bad = hostile(evidence)[case]
    for fit in (fitter.cold(bad), fitter.warm(bad, fitter.cold(evidence).state)):
        assert np.isfinite(fit.cost)
        assert not np.isnan(fit.reprojection_px)
        assert np.isfinite(hand.skin(fit.params)[0]).all()


def test_landmarks_in_one_place_cost_much_more_than_a_hand(fitter, hand, rng):
    evidence, _ = observe(hand, fitter.params(random_state(rng)))
    bad = hostile(evidence)["all landmarks in one place"]
    assert fitter.cold(bad).cost > 2 * fitter.cold(evidence).cost


def test_a_previous_hand_behind_the_camera_is_forgotten(fitter, hand, rng):
    state = random_state(rng)
    evidence, _ = observe(hand, fitter.params(state), rng)
    behind = replace(state, wrist=state.wrist * np.array([1.0, 1.0, -1.0]))
    assert fitter.warm(evidence, behind).cost == fitter.cold(evidence).cost


@pytest.mark.parametrize("angle", [0.0, 1e-10, 1e-3, 1.0, np.pi - 1e-7, np.pi])
def test_rotation_vectors_are_those_of_scipy(rng, angle):
    for _ in range(5):
        axis = rng.normal(size=3)
        rotation = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
        found = Rotation.from_rotvec(axis_angle_of(rotation.as_matrix()))
        assert (found.inv() * rotation).magnitude() < 1e-7


def test_wrong_arguments_say_what_is_right(model):
    with pytest.raises(ValueError, match="between 80 and 300 mm, found 1800 mm"):
        FitterConfig(hand_length_m=1.8)
    with pytest.raises(ValueError, match="n_pose must lie between 1 and 45, found 0"):
        FitterConfig(n_pose=0)
    with pytest.raises(ValueError, match="positive focal lengths"):
        Evidence(np.zeros((21, 2)), SEEN, None, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="right hands"):
        HandFitter(model.mirrored())
