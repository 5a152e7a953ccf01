from dataclasses import replace

import numpy as np
import pytest
import torch

from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skinning import RuntimeHand


@pytest.fixture(scope="module")
def right() -> HandModel:
    return HandModel.load()


def random_params(rng: np.random.Generator) -> HandParams:
    return HandParams(
        global_orient=rng.normal(size=3) * 2,
        hand_pose=rng.normal(size=(15, 3)) * 0.7,
        betas=rng.normal(size=10),
        transl=rng.normal(size=3),
        scale=float(rng.uniform(0.5, 1.5)),
    )


def reference(model: HandModel, params: HandParams) -> tuple[np.ndarray, np.ndarray]:
    """The differentiable layer in double precision."""
    model = model.to(dtype=torch.float64)
    as_tensor = lambda a: torch.tensor(np.asarray(a, np.float64))[None]  # noqa: E731
    posed = model.with_shape(as_tensor(params.betas)).with_pose(
        as_tensor(params.global_orient),
        as_tensor(params.hand_pose),
        as_tensor(params.transl),
        as_tensor(params.scale),
    )
    mesh = posed.skin()
    return mesh.vertices[0].numpy(), mesh.joints[0].numpy()


@pytest.mark.parametrize("side", ["right", "left"])
def test_agrees_with_the_differentiable_layer(right, rng, side):
    model = right if side == "right" else right.mirrored()
    hand = RuntimeHand(model)
    for _ in range(10):
        params = random_params(rng)
        vertices, joints = hand.skin(params)
        true_vertices, true_joints = reference(model, params)
        assert np.abs(vertices - true_vertices).max() < 1e-6
        assert np.abs(joints - true_joints).max() < 1e-6


def test_a_vertex_may_follow_every_joint(right, rng):
    weights = torch.from_numpy(rng.random((right.v_template.shape[0], 16))).float()
    model = replace(right, lbs_weights=weights / weights.sum(1, keepdim=True))
    params = random_params(rng)
    assert np.abs(RuntimeHand(model).skin(params)[0] - reference(model, params)[0]).max() < 1e-6


def test_the_flat_hand_is_the_template(right):
    params = HandParams(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3), 1.0)
    vertices, joints = RuntimeHand(right).skin(params)
    assert vertices.dtype == joints.dtype == np.float32
    assert np.abs(vertices - right.v_template.numpy()).max() < 1e-7


def test_scale_acts_about_the_model_origin_before_translation(right, rng):
    params = random_params(rng)
    hand = RuntimeHand(right)
    plain = hand.skin(replace(params, scale=1.0, transl=np.zeros(3)))[0]
    placed = hand.skin(params)[0]
    assert np.abs(placed - (params.scale * plain + params.transl)).max() < 1e-6


def test_joints_are_the_regressed_joints_and_the_tips(right, rng):
    vertices, joints = RuntimeHand(right).skin(random_params(rng))
    assert np.array_equal(joints[4::4], vertices[list(right.tip_ids)])


def test_results_are_the_callers_own(right, rng):
    hand = RuntimeHand(right)
    first = hand.skin(random_params(rng))[0]
    kept = first.copy()
    hand.skin(random_params(rng))
    assert np.array_equal(first, kept)
