from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracker.geometry.hand_model import HandModel
from tracker.geometry.joint_limits import (
    joint_angles,
    joint_frames,
    joint_limits,
    limit_violation,
    rotations_from_angles,
)
from tracker.geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle
from tracker.geometry.skeleton import JOINTS, MANO_JOINTS

ROW = {name: i for i, name in enumerate(MANO_JOINTS[1:])}
FLEXION, ABDUCTION, TWIST = range(3)
FRAMES = joint_frames(HandModel.load().to(dtype=torch.float64))


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.load().to(dtype=torch.float64)


def tip_moved(model: HandModel, joint: str, angle: int, degrees: float, tip: str) -> torch.Tensor:
    """How far a fingertip goes when one joint turns by one angle."""
    angles = torch.zeros(1, 15, 3, dtype=torch.float64)
    angles[0, ROW[joint], angle] = np.deg2rad(degrees)
    pose = axis_angle_from_matrix(rotations_from_angles(angles, joint_frames(model)))
    zero = torch.zeros(1, 10, dtype=torch.float64)
    shaped = model.with_shape(zero)
    moved = shaped.with_pose(zero[:, :3], pose).skin().joints
    rest = shaped.with_pose(zero[:, :3], torch.zeros_like(pose)).skin().joints
    return (moved - rest)[0, JOINTS.index(tip)]


@given(
    st.floats(-170, 170),
    st.floats(-80, 80),
    st.floats(-170, 170),
    st.sampled_from(list(ROW.values())),
)
def test_angles_come_back(flexion, abduction, twist, row):
    angles = torch.zeros(1, 15, 3, dtype=torch.float64)
    angles[0, row] = torch.deg2rad(torch.tensor([flexion, abduction, twist], dtype=torch.float64))
    found = joint_angles(rotations_from_angles(angles, FRAMES), FRAMES)
    torch.testing.assert_close(found, angles, atol=1e-9, rtol=0)


def test_a_finger_flexed_by_110_degrees_is_not_folded_back():
    angles = torch.zeros(1, 15, 3, dtype=torch.float64)
    angles[..., FLEXION] = np.deg2rad(110)
    angles[..., ABDUCTION] = np.deg2rad(3)
    found = torch.rad2deg(joint_angles(rotations_from_angles(angles, FRAMES), FRAMES))
    torch.testing.assert_close(found, torch.rad2deg(angles), atol=1e-6, rtol=0)


def test_frames_are_right_handed_rotations():
    identity = torch.eye(3, dtype=torch.float64).expand(15, 3, 3)
    torch.testing.assert_close(FRAMES @ FRAMES.mT, identity)
    torch.testing.assert_close(torch.linalg.det(FRAMES), torch.ones(15, dtype=torch.float64))


@pytest.mark.parametrize("finger", ["index", "middle", "ring", "pinky"])
def test_flexion_bends_to_the_palm_and_abduction_to_the_thumb(model, finger):
    assert tip_moved(model, f"{finger}_mcp", FLEXION, 40, f"{finger}_tip")[1] < -0.03
    assert tip_moved(model, f"{finger}_mcp", ABDUCTION, 15, f"{finger}_tip")[2] > 0.01


def test_the_thumb_abducts_out_of_the_plane_of_the_palm(model):
    assert tip_moved(model, "thumb_cmc", ABDUCTION, 30, "thumb_tip")[1] < -0.03


def test_a_left_hand_in_the_mirrored_pose_has_the_same_angles(model, rng):
    pose = torch.from_numpy(rng.normal(size=(4, 15, 3)) * 0.5)
    right = joint_angles(matrix_from_axis_angle(pose), joint_frames(model))
    mirrored = matrix_from_axis_angle(pose * pose.new_tensor([1, -1, -1]))
    left = joint_angles(mirrored, joint_frames(model.mirrored()))
    torch.testing.assert_close(left, right)


def test_angles_are_differentiable_also_at_rest():
    def angles(pose):
        return joint_angles(matrix_from_axis_angle(pose), FRAMES)

    rest = torch.zeros(1, 15, 3, dtype=torch.float64, requires_grad=True)
    bent = torch.full_like(rest, 0.3).requires_grad_()
    assert torch.autograd.gradcheck(angles, (rest,))
    assert torch.autograd.gradcheck(angles, (bent,))


def test_violation_is_the_distance_beyond_a_limit(model):
    limits = joint_limits(model)
    inside = limits.mean(-1)[None]
    assert limit_violation(inside, limits).count_nonzero() == 0
    angles = inside.clone()
    angles[0, ROW["index_pip"], FLEXION] = np.deg2rad(130)
    angles[0, ROW["pinky_mcp"], ABDUCTION] = np.deg2rad(-30)
    excess = torch.rad2deg(limit_violation(angles, limits))
    assert excess[0, ROW["index_pip"], FLEXION] == pytest.approx(20)
    assert excess[0, ROW["pinky_mcp"], ABDUCTION] == pytest.approx(10)
    assert excess.count_nonzero() == 2


def test_the_flat_hand_is_within_all_limits(model):
    flat = torch.eye(3, dtype=torch.float64).expand(1, 15, 3, 3)
    assert limit_violation(joint_angles(flat, FRAMES), joint_limits(model)).count_nonzero() == 0


def test_foreign_hands_get_slack_where_their_flat_pose_differs(model):
    ours = torch.rad2deg(joint_limits(model))
    slack = torch.rad2deg(joint_limits(replace(model, model_id="someone's"))) - ours
    torch.testing.assert_close(slack[:, ABDUCTION].abs(), torch.full((15, 2), 10.0).double())
    assert slack[ROW["index_pip"], [FLEXION, TWIST]].count_nonzero() == 0
    assert slack[ROW["thumb_cmc"], TWIST, 0] == pytest.approx(-10)
    assert (slack[..., 0] <= 0).all()
    assert (slack[..., 1] >= 0).all()
