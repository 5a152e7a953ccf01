from dataclasses import replace

import numpy as np
import pytest
import torch

from tracker.geometry.hand_model import HandModel
from tracker.geometry.joint_limits import joint_frames, joint_limits, rotations_from_angles
from tracker.geometry.losses_priors import (
    MANO_BONE_M,
    anatomical_limit_loss,
    bone_prior_m,
    cotangent_laplacian,
    joint_limit_loss,
    laplacian_loss,
    scale_loss,
    shape_loss,
)
from tracker.geometry.rotations import axis_angle_from_matrix
from tracker.geometry.skeleton import JOINTS, MANO_JOINTS

F64 = torch.float64
ROW = {name: i for i, name in enumerate(MANO_JOINTS[1:])}


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load().to(dtype=F64)


def flat(batch: int = 1) -> torch.Tensor:
    return torch.zeros(batch, 15, 3, dtype=F64)


def test_shape_loss_by_hand():
    betas = torch.zeros(2, 10, dtype=F64)
    betas[0, 1], betas[0, 2] = 3, -4
    assert shape_loss(betas).item() == pytest.approx(2.5)
    assert shape_loss(betas, variant="code").item() == pytest.approx(25 / 20)


def test_scale_loss_by_hand():
    joints = torch.zeros(2, 21, 3, dtype=F64)
    joints[0, JOINTS.index("middle_pip"), 2] = 0.03
    joints[1, JOINTS.index("middle_mcp"), 0] = 0.02
    expected = (0.0018 + 0.0082) / 2
    assert scale_loss(joints).item() == pytest.approx(expected)
    assert scale_loss(joints, 0.025).item() == pytest.approx(0.005)


def test_the_bone_expected_is_the_hands_own_or_the_published_one(hand):
    shaped = hand.with_shape(torch.zeros(1, 10, dtype=F64))
    mesh = shaped.with_pose(torch.zeros(1, 3, dtype=F64), flat()).skin()
    assert scale_loss(mesh.joints, bone_prior_m(hand)).item() == pytest.approx(0, abs=1e-9)
    assert bone_prior_m(replace(hand, model_id="mano")) == MANO_BONE_M


@pytest.mark.parametrize(
    ("joint", "pose_deg", "excess_deg"),
    [
        ("index_mcp", (7, -13, 110), 2 + 3 + 2 * 10),
        ("middle_pip", (-6, 6, -30), 1 + 1 + 2 * 20),
        ("pinky_mcp", (-20, 20, 100), 0),
        ("ring_dip", (0, 10, 0), 5),
        ("thumb_cmc", (-10, 40, 30), 10 + 6.25 + 2 * 7.5),
        ("thumb_mcp", (0, 0, 90), 2 * 67.5),
        ("thumb_ip", (0, 0, 90), 0),
    ],
)
def test_the_published_limits_by_hand(joint, pose_deg, excess_deg):
    pose = flat(2)
    pose[1, ROW[joint]] = torch.deg2rad(torch.tensor(pose_deg, dtype=F64))
    loss = joint_limit_loss(pose)
    assert loss.item() == pytest.approx(np.deg2rad(excess_deg) / (2 * 48), abs=1e-12)


def test_anatomical_limits_by_hand(hand):
    frames, limits = joint_frames(hand), joint_limits(hand)
    angles = flat()
    angles[0, ROW["index_pip"], 0] = np.deg2rad(130)
    pose = axis_angle_from_matrix(rotations_from_angles(angles, frames))
    loss = anatomical_limit_loss(pose, frames, limits)
    assert loss.item() == pytest.approx(np.deg2rad(20) / 45)


def test_the_flat_hand_is_free(hand):
    assert joint_limit_loss(flat()).item() == 0
    assert anatomical_limit_loss(flat(), joint_frames(hand), joint_limits(hand)).item() == 0


def test_gradients_are_exact_also_at_zero(hand):
    frames, limits = joint_frames(hand), joint_limits(hand)
    generator = torch.Generator().manual_seed(0)
    bent = torch.randn(2, 15, 3, generator=generator, dtype=F64)

    def anatomical(pose):
        return anatomical_limit_loss(pose, frames, limits)

    for pose in (bent, flat(), flat() + 1e-9):
        assert torch.autograd.gradcheck(anatomical, pose.clone().requires_grad_())
    assert torch.autograd.gradcheck(joint_limit_loss, bent.clone().requires_grad_())
    joints = torch.randn(2, 21, 3, generator=generator, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(scale_loss, joints)
    betas = torch.randn(2, 10, generator=generator, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(shape_loss, betas)


@pytest.mark.parametrize("loss", [shape_loss, scale_loss, joint_limit_loss])
def test_gradients_at_zero_are_finite(loss):
    size = {shape_loss: (2, 10), scale_loss: (2, 21, 3), joint_limit_loss: (2, 15, 3)}[loss]
    values = torch.zeros(size, dtype=F64, requires_grad=True)
    loss(values).backward()
    assert values.grad.isfinite().all()


GRID = torch.tensor([[x, y, 0.0] for y in range(3) for x in range(3)], dtype=F64)
GRID_FACES = torch.tensor([f for i in (0, 1, 3, 4) for f in ([i, i + 1, i + 4], [i, i + 4, i + 3])])


def test_the_laplacian_of_a_square_grid_is_the_five_point_stencil():
    laplacian = cotangent_laplacian(GRID, GRID_FACES).to_dense()
    expected = torch.zeros(9, dtype=F64)
    expected[[1, 3, 5, 7]], expected[4] = 1, -4
    torch.testing.assert_close(laplacian[4], expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(laplacian, laplacian.T)
    torch.testing.assert_close(laplacian.sum(1), torch.zeros(9, dtype=F64))


def test_a_bump_costs_and_its_removal_pays():
    laplacian = cotangent_laplacian(GRID, GRID_FACES)
    bumpy = GRID.clone()
    bumpy[4, 2] = 0.3
    both = torch.stack([GRID, bumpy]).requires_grad_()
    flat_loss = laplacian_loss(both[:1], laplacian)
    bump_loss = laplacian_loss(both[1:], laplacian)
    assert bump_loss > flat_loss + 0.1
    (slope,) = torch.autograd.grad(bump_loss, both)
    assert slope[1, 4, 2] > 0
    assert torch.autograd.gradcheck(
        lambda v: laplacian_loss(v, laplacian), bumpy[None].requires_grad_()
    )


def test_triangles_without_area_do_not_break_the_laplacian(hand):
    folded = GRID.clone()
    folded[1] = folded[0]
    assert cotangent_laplacian(folded, GRID_FACES).values().isfinite().all()
    own = cotangent_laplacian(hand.v_template, hand.faces)
    assert own.values().isfinite().all()
    assert laplacian_loss(hand.v_template[None], own).item() < 0.02
