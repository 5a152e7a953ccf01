import numpy as np
import pytest
import torch

from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.losses import heat_loss
from tracker.geometry.pose_prior import PosePrior


@pytest.fixture(scope="module")
def prior() -> PosePrior:
    return PosePrior.of_open_hand()


def test_the_prior_is_0_at_the_mean_and_1_on_its_own_samples(prior):
    arrays = read_hand_file()
    poses = arrays.hands_mean + arrays.hands_coeffs @ arrays.hands_components
    assert prior.loss(prior.mean.view(1, 15, 3)) < 1e-10
    torch.testing.assert_close(
        prior.loss(torch.tensor(poses, dtype=torch.float32).view(-1, 15, 3)),
        torch.tensor(1.0),
        atol=1e-3,
        rtol=0,
    )


def test_a_finger_that_bends_is_likelier_than_one_that_twists(prior):
    bent, twisted = (prior.mean.view(1, 15, 3).clone() for _ in range(2))
    bent[0, 0, 2] += 0.5  # the index finger's first joint, about its axis of flexion
    twisted[0, 0, 0] += 0.5
    assert prior.loss(twisted) > 2 * prior.loss(bent)


def test_its_gradient_is_right(prior):
    pose = prior.mean.double().view(1, 15, 3) + 0.1
    assert torch.autograd.gradcheck(prior.loss, pose.requires_grad_())


def test_a_file_without_samples_is_refused():
    arrays = read_hand_file()
    bare = type(arrays)(**{**vars(arrays), "hands_coeffs": np.zeros((0, 45))})
    with pytest.raises(ValueError, match="no pose samples"):
        PosePrior.of_samples(bare, 30)


def test_heat_is_least_where_the_map_is_the_gaussian_itself():
    target = torch.full((1, 21, 2), 0.4)
    cells = torch.arange(16) + 0.5
    bump = -((cells - 16 * 0.4) ** 2) / 2
    right = (bump[:, None] + bump[None, :]).expand(1, 21, 16, 16).clone()
    sure = torch.ones(1, 21)
    best = heat_loss(right, target, sure)
    # The entropy of a Gaussian with a deviation of one cell in each direction: 1 + ln(2 pi).
    torch.testing.assert_close(best, torch.tensor(2.8379), atol=1e-3, rtol=0)
    assert heat_loss(right.roll(1, -1), target, sure) > best + 0.4
    assert heat_loss(torch.zeros_like(right), target, sure) > best + 2


def test_unseen_joints_and_joints_outside_have_no_heat():
    heat = torch.randn(1, 21, 8, 8, requires_grad=True)
    outside = torch.full((1, 21, 2), 1.5)
    assert heat_loss(heat, outside, torch.ones(1, 21)) == 0
    unseen = heat_loss(heat, torch.full((1, 21, 2), torch.nan), torch.zeros(1, 21))
    unseen.backward()
    assert unseen == 0
    assert heat.grad is not None
    assert not heat.grad.any()
