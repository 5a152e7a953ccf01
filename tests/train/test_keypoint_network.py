import pytest
import torch

from tracker.geometry.losses import keypoint_loss
from train.keypoint_network import KeypointConfig, KeypointNetwork, expected_uv

SMALL = KeypointConfig(features=16, stacks=2, depth=3, blocks=1)


def peak(row: int, column: int, size: int = 16) -> torch.Tensor:
    scores = torch.zeros(1, 1, size, size)
    scores[..., row, column] = 200.0
    return scores


def test_the_published_size():
    network = KeypointNetwork()
    assert sum(p.numel() for p in network.parameters()) == 12_581_034
    assert network.stem(torch.zeros(1, 3, 256, 256)).shape == (1, 256, 64, 64)


def test_equal_scores_give_the_middle_of_the_picture():
    uv = expected_uv(torch.zeros(2, 21, 12, 16), 4)
    torch.testing.assert_close(uv, torch.tensor([32.0, 24.0]).expand(2, 21, 2))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (15, 15), (3, 12)])
def test_a_peak_is_found_at_its_pixel(row, column):
    uv = expected_uv(peak(row, column), 4)[0, 0]
    # The outer pixels of map and picture share their centres, at 0.5 and 63.5.
    expected = torch.tensor([column, row]) * 63 / 15 + 0.5
    torch.testing.assert_close(uv, expected, atol=0.6, rtol=0)


def test_two_equal_peaks_give_their_middle():
    uv = expected_uv(peak(2, 3) + peak(12, 3), 4)[0, 0]
    assert uv[1].item() == pytest.approx(7 * 63 / 15 + 0.5, abs=0.6)


def test_regression_is_differentiable():
    scores = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: expected_uv(s, 2), scores)


@torch.no_grad()
@pytest.mark.parametrize("hw", [(64, 64), (50, 33)])
def test_every_stack_has_its_joints_within_the_padded_picture(hw):
    torch.manual_seed(0)
    uv = KeypointNetwork(SMALL).eval()(torch.rand(2, 3, *hw))
    assert uv.shape == (2, 2, 21, 2)
    assert ((uv > 0) & (uv < 64)).all()
    assert not torch.equal(uv[0], uv[1])


@torch.no_grad()
def test_padding_does_not_move_pixels():
    torch.manual_seed(0)
    network = KeypointNetwork(SMALL).eval()
    rgb = torch.rand(1, 3, 50, 64)
    padded = torch.nn.functional.pad(rgb, (0, 0, 0, 14))
    torch.testing.assert_close(network(rgb), network(padded))


def test_it_learns_where_a_spot_is():
    torch.manual_seed(0)
    network = KeypointNetwork(SMALL).train()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    places = torch.tensor([[12, 40], [50, 20], [30, 30], [20, 52.0]])
    rgb = torch.zeros(4, 3, 64, 64)
    for picture, (u, v) in zip(rgb, places.long().tolist(), strict=True):
        picture[:, v - 4 : v + 4, u - 4 : u + 4] = 1
    target, seen = places[:, None].expand(4, 21, 2), torch.ones(4, 21)
    losses: list[float] = []
    for _ in range(30):
        loss = keypoint_loss(network(rgb), target, seen)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@torch.no_grad()
def test_half_precision_still_tells_pixels_apart():
    with torch.autocast("cpu", torch.bfloat16):
        uv = expected_uv(peak(3, 12).bfloat16(), 16)
    torch.testing.assert_close(uv, expected_uv(peak(3, 12), 16), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": 30}, "multiple of 4"),
        ({"stacks": 0}, "stacks must lie"),
        ({"depth": 9}, "depth must"),
    ],
)
def test_impossible_sizes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        KeypointConfig(**changes)
