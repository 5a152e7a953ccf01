import pytest
import torch

from tracker.geometry.hand_model import HandModel
from tracker.vision.network import NetworkConfig, S2HandNetwork, decode
from tracker.vision.network_joints import JointHead

SIDE = 128


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module", params=["mobilenetv4_conv_small", "efficientnet_b0"])
def network(request, hand: HandModel) -> S2HandNetwork:
    torch.manual_seed(0)
    config = NetworkConfig(encoder=request.param, input_px=SIDE, joint_maps=True)
    return S2HandNetwork(config.for_hand(hand)).eval()


@pytest.fixture
def rgb() -> torch.Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def peaked(head: JointHead, place: tuple[float, float], cells: int = 16) -> torch.Tensor:
    """Where the head reads all joints when its maps have one sharp peak."""
    heat = torch.full((1, 21, cells, cells), -30.0)
    heat[:, :, int(place[1] * cells), int(place[0] * cells)] = 30.0
    head.heat = torch.nn.Identity()
    head.lateral = torch.nn.ModuleList([torch.nn.Identity()] * 3)
    head.mix = torch.nn.Identity()
    head.words = torch.nn.Linear(21, 16)
    empty = torch.zeros(1, 21, cells // 2, cells // 2)
    seen, _ = head(heat, empty, torch.zeros(1, 21, cells // 4, cells // 4))
    torch.testing.assert_close(seen.sureness, torch.ones(1, 21))
    return seen.place[0]


@torch.no_grad()
def test_a_peak_is_read_at_the_middle_of_its_cell_x_before_y():
    place = peaked(JointHead((8, 8, 8)), (0.25, 0.75))
    torch.testing.assert_close(place, torch.tensor([[4.5 / 16, 12.5 / 16]]).expand(21, 2))


@torch.no_grad()
def test_an_untrained_network_sees_every_joint_in_the_middle(network, rgb):
    seen = network(rgb).seen
    assert seen.heat.shape == (2, 21, 16, 16)
    assert (seen.place - 0.5).abs().max() < 0.2
    assert seen.sureness.max() < 0.1


def test_what_is_seen_moves_the_hand_and_learns_from_it(network, hand, rgb):
    output = network(rgb)
    joints = decode(output, hand).joints
    (reached,) = torch.autograd.grad(joints.square().sum(), network.joints.heat.weight)
    assert reached.abs().max() > 0


@torch.no_grad()
def test_networks_without_maps_are_what_they_were(hand, rgb):
    config = NetworkConfig(encoder="mobilenetv4_conv_small", input_px=SIDE).for_hand(hand)
    network = S2HandNetwork(config).eval()
    assert network(rgb).seen is None
    assert not any(name.startswith("joints") for name in network.state_dict())
    assert NetworkConfig.published().joint_maps is False


@torch.no_grad()
def test_a_network_with_maps_can_be_exported(network, rgb):
    if network.config.encoder != "mobilenetv4_conv_small":
        pytest.skip("one encoder is enough")
    program = torch.export.export(network, (rgb,))
    expected, found = network(rgb), program.module()(rgb)
    torch.testing.assert_close(found.seen.place, expected.seen.place)
    torch.testing.assert_close(found.transl, expected.transl)
