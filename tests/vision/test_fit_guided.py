"""The fit with a guess: it starts there, is pulled there, and yields to what is seen."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams, HandShape
from tracker.geometry.metrics import pa_mpjpe_mm
from tracker.geometry.skinning import RuntimeHand
from tracker.vision.fit_guided import SHAPE_ONLY, GuessTrust, GuidedFitter
from tracker.vision.fit_residuals import SPANS
from tracker.vision.fitter import Evidence, FitterConfig, HandFitter

K = np.array([[1000.0, 0, 640], [0, 990, 360], [0, 0, 1]])


@pytest.fixture(scope="module")
def fitter() -> HandFitter:
    return HandFitter(HandModel.load())


@pytest.fixture(scope="module")
def skinner() -> RuntimeHand:
    return RuntimeHand(HandModel.load())


@pytest.fixture(scope="module")
def truth(fitter: HandFitter) -> HandParams:
    """A half-closed hand half a metre away, of a shape of its own."""
    rng = np.random.default_rng(4)
    axes, mean = fitter.pose_axes
    pose = mean + axes @ np.where(np.arange(30) < 8, rng.normal(size=30), 0)
    turn = Rotation.from_euler("xyz", [2.6, 0.5, 0.4]).as_rotvec()
    betas = np.r_[0.6, -0.5, np.zeros(8)]
    return HandParams(turn, pose.reshape(15, 3), betas, np.array([0.02, -0.03, 0.5]), 1.03)


def seen(truth: HandParams, skinner: RuntimeHand) -> Evidence:
    joints = skinner.skin(truth)[1].astype(np.float64)
    uvw = joints @ K.T
    return Evidence(uvw[:, :2] / uvw[:, 2:], np.ones(21), None, K)


def off_mm(params: HandParams, truth: HandParams, skinner: RuntimeHand) -> float:
    a, b = (skinner.skin(p)[1] for p in (params, truth))
    return 1e3 * float(np.linalg.norm(a - a[0] - (b - b[0]), axis=-1).mean())


def pose_off_mm(params: HandParams, truth: HandParams, skinner: RuntimeHand) -> float:
    """What is left when size and rotation are put right."""
    a, b = (skinner.skin(p)[1].astype(np.float64) for p in (params, truth))
    return pa_mpjpe_mm(a[None], b[None])


def test_a_hand_and_its_state_are_the_same(fitter, truth, skinner):
    again = fitter.params(GuidedFitter(fitter).state(truth))
    np.testing.assert_allclose(skinner.skin(again)[0], skinner.skin(truth)[0], atol=1e-5)


def test_a_true_guess_tells_what_pixels_do_not(fitter, truth, skinner):
    evidence = seen(truth, skinner)
    alone = pose_off_mm(fitter.cold(evidence).params, truth, skinner)
    guided = GuidedFitter(fitter)
    cold = guided.cold(evidence, truth)
    assert pose_off_mm(cold.params, truth, skinner) < 0.5 * alone
    warm = guided.warm(evidence, cold.state, truth)
    assert pose_off_mm(warm.params, truth, skinner) < 0.8 * alone


def test_a_wrong_guess_yields_to_what_is_seen(fitter, truth, skinner):
    evidence = seen(truth, skinner)
    size_px = float(np.ptp(evidence.uv, axis=0).max())
    turned = (
        Rotation.from_rotvec([0, 0, 2.0]) * Rotation.from_rotvec(truth.global_orient)
    ).as_rotvec()
    wrong = HandParams(turned, np.zeros((15, 3)), np.zeros(10), np.array([0.2, 0.1, 0.9]), 1.0)
    assert GuidedFitter(fitter).cold(evidence, wrong).reprojection_px < 0.02 * size_px


def test_a_photographs_hand_is_laid_onto_its_pixels_and_keeps_its_directions(
    fitter, truth, skinner
):
    """Landmarks of another hand than the model can be: each fingertip is half a bone too far."""
    evidence = seen(truth, skinner)
    stretched = evidence.uv.copy()
    for tip in range(4, 21, 4):
        stretched[tip] += 0.3 * (stretched[tip] - stretched[tip - 1])
    evidence = replace(evidence, uv=stretched)
    guided = GuidedFitter(fitter)
    before = guided.cold(evidence, truth)
    alone, followed = (guided.laid(evidence, before, followed=f) for f in (False, True))
    assert alone.reprojection_px < 0.8 * before.reprojection_px
    assert not np.allclose(alone.state.betas, before.state.betas, atol=0.01)
    assert followed.reprojection_px < 0.9 * before.reprojection_px
    np.testing.assert_array_equal(followed.state.betas, before.state.betas)
    for after in (alone, followed):
        assert turned_deg(before.params, after.params, skinner) < 4


def turned_deg(a: HandParams, b: HandParams, skinner: RuntimeHand) -> float:
    """Mean angle between the bones of two hands."""
    joints = (skinner.skin(params)[1] for params in (a, b))
    a, b = (j[SPANS[:, 1]] - j[SPANS[:, 0]] for j in joints)
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def test_a_guess_that_tells_nothing_of_the_pose_lays_nothing(fitter, truth, skinner):
    evidence, guided = seen(truth, skinner), GuidedFitter(fitter, SHAPE_ONLY)
    fit = guided.cold(evidence, truth)
    assert guided.laid(evidence, fit, followed=True) is fit


def test_a_fit_that_went_wrong_is_brought_back_by_the_guess(fitter, truth, skinner):
    evidence, guided = seen(truth, skinner), GuidedFitter(fitter)
    astray = HandParams(
        *(
            (
                Rotation.from_rotvec([0, 2.4, 0]) * Rotation.from_rotvec(truth.global_orient)
            ).as_rotvec(),
        ),
        *(truth.hand_pose, truth.betas, truth.transl, truth.scale),
    )
    lost = guided.state(astray)
    assert off_mm(fitter.warm(evidence, lost).params, truth, skinner) > 20
    assert off_mm(guided.warm(evidence, lost, truth).params, truth, skinner) < 8


def test_shape_alone_pulls_at_nothing_else(fitter, truth, skinner):
    evidence = seen(truth, skinner)
    other = HandParams(np.zeros(3), np.ones((15, 3)), truth.betas, np.zeros(3) + 1, truth.scale)
    a, b = (GuidedFitter(fitter, SHAPE_ONLY).cold(evidence, guess) for guess in (truth, other))
    np.testing.assert_allclose(a.state.pose, b.state.pose, atol=1e-9)
    tight = GuessTrust(pose_sd=math.inf, shape_sd=0.01, scale_sd=0.001)
    found = GuidedFitter(fitter, tight).cold(evidence, other).state
    np.testing.assert_allclose(found.betas, truth.betas, atol=0.05)
    assert math.exp(found.log_scale) == pytest.approx(truth.scale, rel=0.01)


def test_a_known_shape_replaces_the_guesses_and_keeps_the_picture(truth, skinner):
    shape = HandShape((0.0,) * 10, 1.2)
    known = HandFitter(HandModel.load(), FitterConfig(shape=shape))
    guided = GuidedFitter(known)
    grown = guided.with_known_shape(truth)
    assert grown.scale == 1.2
    before, after = (seen(params, skinner).uv for params in (truth, grown))
    assert np.linalg.norm(before - after, axis=-1).max() < 0.04 * np.ptp(before, axis=0).max()
    result = guided.cold(seen(truth, skinner), truth)
    np.testing.assert_allclose(result.state.betas, 0, atol=1e-12)
    assert GuidedFitter(HandFitter(HandModel.load())).with_known_shape(truth) is truth
