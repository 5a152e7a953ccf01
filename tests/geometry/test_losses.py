import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracker.geometry.losses import (
    LossWeights,
    confident_mean,
    consistency_loss,
    huber,
    keypoint_loss,
    lengths,
    location_loss,
    orientation_loss,
    truth_loss,
)
from tracker.geometry.skeleton import JOINTS

NAN = float("nan")
WRIST, TIP, MCP = (JOINTS.index(name) for name in ("wrist", "ring_tip", "index_mcp"))


def hands(seed: int, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 21, 2, generator=generator, dtype=torch.float64) * 224


def ones(batch: int = 2) -> torch.Tensor:
    return torch.ones(batch, 21, dtype=torch.float64)


def shifted(uv: torch.Tensor, joint: int, offset: tuple[float, float], row: int = 0):
    moved = uv.clone()
    moved[row, joint] += torch.tensor(offset, dtype=uv.dtype)
    return moved


@pytest.mark.parametrize(
    ("offset", "penalty"), [((0, 0), 0), ((3, 0), 0.9), ((3, 4), 2.5), ((6, 8), 7.5)]
)
def test_huber_is_squared_up_to_five_pixels_and_linear_beyond(offset, penalty):
    assert huber(torch.tensor([offset], dtype=torch.float64)).item() == pytest.approx(penalty)


@given(st.floats(0, 30), st.floats(0, 2 * math.pi))
def test_huber_is_the_smooth_l1_of_the_distance(distance, angle):
    offset = torch.tensor([distance * math.cos(angle), distance * math.sin(angle)])
    expected = torch.nn.functional.smooth_l1_loss(offset.norm(), torch.zeros(()), beta=5.0)
    torch.testing.assert_close(huber(offset), expected, atol=1e-5, rtol=1e-5)


def test_location_loss_by_hand():
    target, confidence = hands(0), ones()
    confidence[0, TIP], confidence[1] = 0.5, 0.25
    moved = shifted(shifted(target, TIP, (6, 8)), MCP, (3, 0), row=1)
    loss = location_loss(moved, target, confidence)
    assert loss.item() == pytest.approx((0.5 * 7.5 + 0.25 * 0.9) / 42)


def test_the_codes_location_loss_by_hand():
    target = hands(0, 1)
    confidence = torch.zeros(1, 21, dtype=torch.float64)
    confidence[0, WRIST], confidence[0, TIP], confidence[0, MCP] = 1.0, 0.8, 0.5
    moved = shifted(shifted(target, WRIST, (6, 8)), MCP, (3, 0))
    squares = [2.0**2, 1.2**2, 0.5**2]
    expected = (7.5 * squares[0] + 0.9 * squares[2]) / sum(squares)
    loss = location_loss(moved, target, confidence, variant="code")
    assert loss.item() == pytest.approx(expected)


def test_orientation_loss_by_hand():
    target = torch.zeros(1, 21, 2, dtype=torch.float64)
    target[0, :, 1] = -torch.arange(21) * 10.0
    confidence = ones(1)
    confidence[0, TIP], confidence[0, TIP - 1] = 0.5, 0.8
    turned = target.clone()
    turned[0, TIP] = target[0, TIP - 1] + torch.tensor([10.0, 0.0])
    loss = orientation_loss(turned, target, confidence)
    assert loss.item() == pytest.approx(0.4 * 2 / 20, rel=1e-4)


@given(st.floats(0.2, 5), st.floats(-300, 300), st.floats(-300, 300))
def test_orientation_does_not_depend_on_place_and_size(scale, du, dv):
    uv, target = hands(1), hands(2)
    changed = scale * uv + torch.tensor([du, dv], dtype=torch.float64)
    loss = orientation_loss(uv, target, ones())
    torch.testing.assert_close(
        orientation_loss(changed, target, ones()), loss, atol=1e-4, rtol=1e-4
    )
    assert loss > 0.1


def test_orientation_changes_when_the_hand_turns():
    uv = hands(1)
    quarter = uv @ torch.tensor([[0.0, 1], [-1, 0]], dtype=torch.float64)
    assert orientation_loss(quarter, uv, ones()).item() == pytest.approx(2, rel=1e-3)


def test_keypoint_loss_sums_over_the_stacks():
    target, confidence = hands(0), ones()
    confidence[0, TIP] = 0.5
    stacks = torch.stack([shifted(target, TIP, (6, 8)), shifted(target, MCP, (3, 0), row=1)])
    loss = keypoint_loss(stacks, target, confidence)
    assert loss.item() == pytest.approx((0.5 * 7.5 + 0.9) / 42)
    code = keypoint_loss(stacks, target, confidence, variant="code")
    assert code.item() == pytest.approx((0.25 * 10 + 3) / 41.25)


def test_consistency_loss_by_hand_and_for_both_branches():
    uv = hands(0).requires_grad_()
    other = shifted(uv.detach(), TIP, (6, 8)).requires_grad_()
    loss = consistency_loss(uv, other)
    assert loss.item() == pytest.approx(7.5 / 42)
    loss.backward()
    torch.testing.assert_close(uv.grad, -other.grad)
    assert uv.grad.abs().max() > 0


LOSSES = {
    "location": location_loss,
    "location, code": lambda *a: location_loss(*a, variant="code"),
    "orientation": orientation_loss,
    "keypoints": lambda uv, *a: keypoint_loss(uv[None].expand(2, *uv.shape), *a),
    "keypoints, code": lambda uv, *a: keypoint_loss(uv[None], *a, variant="code"),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


@each_loss
@pytest.mark.parametrize("garbage", [NAN, float("inf"), 1e30])
def test_joints_that_were_not_seen_are_not_read(loss, garbage):
    target, confidence = hands(2), ones()
    confidence[0, TIP] = confidence[1, MCP] = 0
    wrong = target.clone()
    wrong[0, TIP] = wrong[1, MCP] = garbage
    uv, same = hands(1).requires_grad_(), hands(1).requires_grad_()
    expected = loss(same, target, confidence)
    found = loss(uv, wrong, confidence)
    found.backward()
    expected.backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(uv.grad, same.grad)


@each_loss
def test_without_confidence_there_is_no_loss_and_no_gradient(loss):
    uv = hands(1).requires_grad_()
    value = loss(uv, torch.full_like(uv, NAN), torch.zeros(2, 21, dtype=torch.float64))
    value.backward()
    assert value.item() == 0
    assert uv.grad.count_nonzero() == 0


@each_loss
def test_the_loss_is_zero_at_the_target_with_zero_gradient(loss):
    uv = hands(1).requires_grad_()
    value = loss(uv, uv.detach(), ones())
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-20)
    assert uv.grad.abs().max() < 1e-12


@each_loss
def test_broken_predictions_of_seen_joints_show(loss):
    uv = hands(1)
    uv[0, MCP] = NAN
    assert loss(uv, hands(2), ones()).isnan()


@each_loss
def test_gradients_are_exact(loss):
    confidence = ones() * torch.linspace(0, 1, 21, dtype=torch.float64)
    target = hands(2)
    near = (target + 2 * torch.randn_like(target)).requires_grad_()
    assert torch.autograd.gradcheck(lambda uv: loss(uv, target, confidence), near)


@each_loss
def test_more_confidence_weighs_more(loss):
    uv, target = hands(1), hands(1)
    uv[0, TIP] += torch.tensor([-5, 11.0], dtype=torch.float64)
    low, high = ones(), ones()
    low[0, TIP] = 0.3
    assert loss(uv, target, low) < 0.7 * loss(uv, target, high)


def test_a_hand_that_is_a_point_has_finite_gradients():
    uv = torch.full((1, 21, 2), 100.0, dtype=torch.float64, requires_grad=True)
    loss = location_loss(uv, hands(2, 1), ones(1)) + orientation_loss(uv, hands(2, 1), ones(1))
    loss.backward()
    assert uv.grad.isfinite().all()


def test_lengths_of_zero_have_no_gradient():
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    lengths(vectors).sum().backward()
    torch.testing.assert_close(vectors.grad, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))


def test_confident_mean_by_hand():
    values, confidence = torch.tensor([1.0, 5.0]), torch.tensor([1.0, 0.5])
    assert confident_mean(values, confidence).item() == pytest.approx(2.25 / 1.25)


def test_terms_are_weighted_as_published():
    terms = {"location": torch.tensor(4.0), "orientation": torch.tensor(0.5)}
    assert LossWeights().total(terms).item() == pytest.approx(4e-3 + 0.05)
    extra = {"mean_color": torch.tensor(1.0), "laplacian": torch.tensor(1.0)}
    assert LossWeights().total(extra).item() == 0
    assert LossWeights.code().total(extra).item() == pytest.approx(0.101)


@pytest.mark.parametrize("terms", [{}, {"colour": torch.tensor(1.0)}])
def test_terms_without_a_weight_are_refused(terms):
    with pytest.raises(ValueError, match=r"must be among location.*found (none|colour)"):
        LossWeights().total(terms)


def test_truth_is_measured_from_the_wrist_and_only_where_it_is_known():
    joints = torch.rand(3, 21, 3, dtype=torch.float64)
    truth = joints + torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    assert truth_loss(joints, truth) < 1e-12
    truth[0, 5, 0] += 0.021
    torch.testing.assert_close(
        truth_loss(joints, truth), torch.tensor(0.021 / 63, dtype=torch.float64)
    )
    truth[0, 20] = torch.nan
    joints.requires_grad_()
    unknown = truth_loss(joints, truth)
    unknown.backward()
    assert unknown < 1e-12
    assert joints.grad is not None
    assert joints.grad.isfinite().all()
