"""The moving pieces of the open hand's builder: angles, sampler, skinning, correctives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from train.open_hand.anthropometry import CHAINS, DIGITS, hand_length, skeleton, template_skeleton
from train.open_hand.capsules import penetration_depth, segment_distances
from train.open_hand.joint_angles import (
    angles_from_rotations,
    hand_pose_from_angles,
    limits_deg,
    rotations_from_angles,
    rotations_from_hand_pose,
)
from train.open_hand.model import OpenHand
from train.open_hand.named_poses import named_poses
from train.open_hand.pose_correctives import corrective_targets, fit_pose_directions, pose_features
from train.open_hand.pose_space import ALLOWED_OVERLAP, draw_angles, pose_space, sample_poses
from train.open_hand.posing import hand_model, pose_vertices
from train.open_hand.skinning import dual_quaternion_blend, forward_kinematics, linear_blend

SHIPPED = Path(__file__).parents[2] / "weights" / "open_hand.npz"


@pytest.fixture(scope="module")
def hand() -> OpenHand:
    return OpenHand.load(SHIPPED)


def test_template_hand_has_the_mean_length():
    assert hand_length(template_skeleton()) == pytest.approx((0.1902 + 0.1762) / 2)


@pytest.mark.parametrize("digit", DIGITS)
def test_flexion_moves_a_fingertip_to_the_palm(digit: str):
    bones = template_skeleton()
    angles = np.zeros((1, 15, 3))
    angles[0, CHAINS[digit][1] - 1, 0] = 30
    turns, offsets = forward_kinematics(bones.joints, rotations_from_angles(bones.axes, angles))
    last, tip = CHAINS[digit][2], bones.tips[DIGITS.index(digit)]
    moved = turns[0, last] @ tip + offsets[0, last] - tip
    assert moved @ bones.axes[last, 1] < -0.005


@settings(max_examples=20, deadline=None)
@given(arrays(float, (2, 15, 3), elements=st.floats(-85, 85)))
def test_angles_survive_rotations_and_axis_angles(angles: np.ndarray):
    axes = skeleton().axes
    back = angles_from_rotations(axes, rotations_from_angles(axes, angles))
    np.testing.assert_allclose(back, angles, atol=1e-6)
    rotations = rotations_from_hand_pose(hand_pose_from_angles(axes, angles))
    np.testing.assert_allclose(rotations, rotations_from_angles(axes, angles), atol=1e-9)


def test_sampled_poses_keep_limits_and_distance():
    poses = sample_poses(300, np.random.default_rng(7))
    assert poses.shape == (300, 15, 3)
    rotations = rotations_from_hand_pose(poses)
    angles = angles_from_rotations(template_skeleton().axes, rotations)
    low, high = np.moveaxis(limits_deg()[1:], -1, 0)
    assert (angles > low - 1e-6).all()
    assert (angles < high + 1e-6).all()
    assert penetration_depth(rotations).max() <= ALLOWED_OVERLAP + 1e-9


def test_sampling_follows_its_generator_and_accepts_most():
    first, again, other = (sample_poses(40, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    angles = draw_angles(600, np.random.default_rng(3))
    depth = penetration_depth(rotations_from_angles(template_skeleton().axes, angles))
    assert 0.7 < (depth <= ALLOWED_OVERLAP).mean() < 0.97


def test_no_poses_are_an_empty_array():
    assert sample_poses(0, np.random.default_rng(0)).shape == (0, 15, 3)


def test_sampled_poses_range_from_open_to_fist():
    poses = sample_poses(500, np.random.default_rng(4))
    angles = angles_from_rotations(template_skeleton().axes, rotations_from_hand_pose(poses))
    bend = angles[:, [CHAINS[d][1] - 1 for d in DIGITS[1:]], 0].mean(1)
    assert np.percentile(bend, 5) < 15
    assert np.percentile(bend, 95) > 80


def test_crossing_thumb_and_finger_are_seen_as_deep():
    bones = template_skeleton()
    angles = np.zeros((2, 15, 3))
    angles[1, CHAINS["index"][0] - 1, 1] = -25
    depth = penetration_depth(rotations_from_angles(bones.axes, angles))
    assert depth[0] == 0
    assert depth[1] > 0.004


def test_segment_distance_agrees_with_dense_sampling(rng: np.random.Generator):
    a0, a1, b0, b1 = rng.normal(size=(4, 200, 3))
    t = np.linspace(0, 1, 101)[:, None, None]
    a, b = a0 + t * (a1 - a0), b0 + t * (b1 - b0)
    dense = np.linalg.norm(a[:, None] - b[None], axis=-1).min((0, 1))
    exact = segment_distances(a0, a1, b0, b1)
    assert (exact <= dense + 1e-12).all()
    np.testing.assert_allclose(exact, dense, atol=0.03)


def test_pose_components_reproduce_the_poses():
    poses = sample_poses(120, np.random.default_rng(6))
    space = pose_space(poses)
    back = space.mean + space.coefficients @ space.components
    np.testing.assert_allclose(back.reshape(-1, 15, 3), poses, atol=1e-12)
    assert (np.diff(space.sd) <= 1e-12).all()


def test_skinning_agrees_with_the_hand_model(hand: OpenHand):
    model = hand_model(replace(hand, posedirs=np.zeros_like(hand.posedirs)))
    poses = sample_poses(5, np.random.default_rng(8))
    vertices = hand.v_template.astype(float)
    joints, weights = hand.J_regressor.astype(float) @ vertices, hand.weights.astype(float)
    moves = forward_kinematics(joints, rotations_from_hand_pose(poses))
    np.testing.assert_allclose(
        linear_blend(vertices, weights, *moves), pose_vertices(model, poses), atol=1e-9
    )


def test_rigid_parts_move_alike_in_both_skins(hand: OpenHand):
    poses = sample_poses(5, np.random.default_rng(9))
    vertices, weights = hand.v_template.astype(float), np.eye(16)[hand.weights.argmax(1)]
    moves = forward_kinematics(hand.J.astype(float), rotations_from_hand_pose(poses))
    linear = linear_blend(vertices, weights, *moves)
    np.testing.assert_allclose(dual_quaternion_blend(vertices, weights, *moves), linear, atol=1e-12)


def test_pose_directions_explain_most_of_the_difference(hand: OpenHand):
    weights = hand.weights.astype(float)
    weights /= weights.sum(1, keepdims=True)
    vertices, joints = hand.v_template.astype(float), hand.J.astype(float)
    fitted, unseen = np.split(
        rotations_from_hand_pose(sample_poses(200, np.random.default_rng(2))), [160]
    )
    directions = fit_pose_directions(vertices, joints, weights, fitted)
    wanted = corrective_targets(vertices, joints, weights, unseen)
    left = wanted - np.einsum("vak,nk->nva", directions, pose_features(unseen))
    assert (left**2).mean() < 0.05 * (wanted**2).mean()


@pytest.mark.parametrize("name", named_poses())
def test_named_poses_do_not_cross_deeply(name: str):
    rotations = rotations_from_hand_pose(named_poses()[name][None])
    assert penetration_depth(rotations)[0] < 2e-3
