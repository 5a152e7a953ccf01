import dataclasses
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracker.geometry.camera import project
from tracker.geometry.hand_model import HandModel
from tracker.geometry.losses import location_loss
from tracker.geometry.rotations import matrix_from_axis_angle
from tracker.geometry.shading import Light, shade
from tracker.geometry.skeleton import JOINTS
from tracker.vision.network import NetworkConfig, NetworkOutput, S2HandNetwork, decode, hand_params
from tracker.vision.network_heads import RawGeometry
from tracker.vision.network_placement import PAPER_FACING, sight, turn_to_sight

SIDE = 128
WRIST, KNUCKLE, TIP, THUMB = (
    JOINTS.index(name) for name in ("wrist", "middle_mcp", "middle_tip", "thumb_tip")
)
K = torch.tensor([[300.0, 0, 64], [0, 300, 64], [0, 0, 1]])


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


def small(hand: HandModel, **changes) -> NetworkConfig:
    config = NetworkConfig(encoder="mobilenetv4_conv_small", input_px=SIDE)
    return dataclasses.replace(config.for_hand(hand), **changes)


@pytest.fixture(scope="module")
def network(hand: HandModel) -> S2HandNetwork:
    torch.manual_seed(0)
    return S2HandNetwork(small(hand)).eval()


@pytest.fixture(scope="module")
def published(hand: HandModel) -> S2HandNetwork:
    torch.manual_seed(0)
    return S2HandNetwork(small(hand, rotation="axis_angle", paper=True)).eval()


@pytest.fixture
def rgb() -> torch.Tensor:
    return torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def placed(network: S2HandNetwork, hand: HandModel, K: torch.Tensor, **raw: torch.Tensor):
    """Joints of hands whose raw geometry is zero but for what is given."""
    batch = len(next(iter(raw.values())))
    sizes = {"pose": 30, "betas": 10, "scale": 1, "transl": 3}
    sizes["rotation"] = 6 if network.config.rotation == "rot6d" else 3
    parts = {name: torch.zeros(batch, size) for name, size in sizes.items()} | raw
    scale, orient, transl = network._placed(RawGeometry(**parts), K.expand(batch, 3, 3))
    with torch.no_grad():
        empty = network(torch.zeros(1, 3, SIDE, SIDE))
    fields = {"scale": scale, "global_orient": orient, "transl": transl}
    output = empty._replace(pose=parts["pose"], betas=parts["betas"], **fields)
    return decode(output, hand).joints


@torch.no_grad()
def test_training_starts_from_an_upright_hand_in_the_middle(network, hand, rgb):
    output = network(rgb, K.expand(3, 3, 3))
    joints = decode(output, hand).joints
    uv = project(joints, K.expand(3, 3, 3))
    assert (uv[:, KNUCKLE] - SIDE / 2).abs().max() < 1
    assert (uv[:, WRIST, 1] > SIDE / 2 + 15).all()
    assert (uv[:, TIP, 1] < SIDE / 2).all()
    assert (joints[:, THUMB, 2] < joints[:, KNUCKLE, 2] - 0.02).all()
    assert ((uv > 0) & (uv < SIDE)).all()
    assert (output.scale - 1).abs().max() < 0.01


@torch.no_grad()
def test_training_starts_with_skin_in_about_its_own_colour(network, rgb):
    output = network(rgb)
    gains, ambient, directional, direction = output.light.split([2, 3, 3, 3], -1)
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(3))
    light = Light(
        (gains[0, :1] * ambient[0]).numpy(),
        (gains[0, 1:] * directional[0]).numpy(),
        direction[0].numpy(),
    )
    toward_camera = torch.tensor([[0.0, 0.0, -1.0]]).expand(output.texture.shape[1], 3)
    shaded = torch.from_numpy(shade(output.texture[0].numpy(), toward_camera.numpy(), light))
    assert (shaded / torch.tensor([0.78125, 0.5859375, 0.5859375]) - 1).abs().max() < 0.15


@given(st.floats(-20, 20), hnp.arrays("float32", 3, elements=st.floats(-2, 2, width=32)))
@settings(max_examples=15)
def test_no_size_shows_in_the_picture(network, hand, size, transl):
    raw = {"scale": torch.tensor([[0.0], [size]]), "transl": torch.tensor(transl).expand(2, 3)}
    joints = placed(network, hand, K, **raw)
    uv = project(joints, K.expand(2, 3, 3))
    torch.testing.assert_close(uv[1], uv[0], atol=2e-3, rtol=1e-4)
    if abs(size) > 1:
        assert (joints[0] - joints[1]).abs().max() > 0.05


def test_the_loss_in_the_picture_cannot_shrink_the_hand(network, hand):
    """The published end-to-end training collapses through this gradient."""
    scale = torch.full((1, 1), 0.2, requires_grad=True)
    uv = project(placed(network, hand, K, scale=scale), K[None])
    target = torch.full_like(uv, 64.0)
    (shrinking,) = torch.autograd.grad(location_loss(uv, target, torch.ones(1, 21)), scale)
    assert shrinking.abs().item() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("extreme", [-1e3, 1e3])
@pytest.mark.parametrize("focal_px", [110.0, 300.0, 2000.0])
def test_however_wrong_the_network_a_hand_stays_before_the_camera_and_is_no_point(
    network, hand, extreme, focal_px
):
    wide = torch.tensor([[focal_px, 0, 64], [0, focal_px, 64], [0, 0, 1]])
    raw = {
        "transl": torch.tensor([[0.0, 0, extreme], [extreme, extreme, extreme]]),
        "scale": torch.full((2, 1), extreme),
        "rotation": torch.randn(2, 6, generator=torch.Generator().manual_seed(1)),
    }
    joints = placed(network, hand, wide, **raw)
    assert (joints[..., 2] > 0).all()
    uv = project(joints, wide.expand(2, 3, 3))
    assert (uv[0].amax(0) - uv[0].amin(0)).max() > SIDE / 2 / 3 * 0.6


@torch.no_grad()
def test_twice_the_focal_length_is_twice_as_far(network, hand):
    far = placed(network, hand, K, transl=torch.zeros(1, 3))
    double = torch.tensor([[600.0, 0, 64], [0, 600, 64], [0, 0, 1]])
    further = placed(network, hand, double, transl=torch.zeros(1, 3))
    ratio = further[0, KNUCKLE, 2] / far[0, KNUCKLE, 2]
    assert 1.8 < ratio < 2.0


@torch.no_grad()
def test_a_crop_from_the_frames_corner_shows_the_same_hand(network, hand):
    corner = torch.tensor([[300.0, 0, -100], [0, 300, 190], [0, 0, 1]])
    raw = {"transl": torch.tensor([[0.1, -0.2, 0.1]])}
    centred = project(placed(network, hand, K, **raw), K[None])
    aside = placed(network, hand, corner, **raw)
    uv = project(aside, corner[None])
    torch.testing.assert_close(uv[:, KNUCKLE], centred[:, KNUCKLE], atol=1e-2, rtol=0)
    # Seen from its own line of sight the hand is the same; the picture's plane is oblique to it.
    assert (uv - centred).norm(dim=-1).max() < 0.4 * SIDE / 2
    level = turn_to_sight(sight(torch.tensor([[64.0, 64.0]]), corner[None]))[0]
    local = (aside - aside[:, KNUCKLE : KNUCKLE + 1]) @ level
    straight = placed(network, hand, K, **raw)
    straight = straight - straight[:, KNUCKLE : KNUCKLE + 1]
    torch.testing.assert_close(local, straight, atol=1e-5, rtol=0)


@given(hnp.arrays("float64", 2, elements=st.floats(-3, 3)))
def test_the_line_of_sight_is_reached_by_the_shortest_turn(slope):
    ray = torch.tensor([*slope, 1.0], dtype=torch.float64)
    turn = turn_to_sight(ray)
    torch.testing.assert_close(turn @ turn.T, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(turn[:, 2], ray / ray.norm())
    angle = torch.arccos(((turn.trace() - 1) / 2).clamp(-1, 1))
    torch.testing.assert_close(angle.cos(), 1 / ray.norm())


def test_sight_is_the_inverse_of_projection():
    skewed = torch.tensor([[300.0, 7, 60], [0, 280, 70], [0, 0, 1]])
    uv = torch.tensor([[10.0, 100.0]])
    ray = sight(uv, skewed[None]) * 0.7
    torch.testing.assert_close(project(ray[:, None], skewed[None])[:, 0], uv)


@torch.no_grad()
def test_the_published_network_turns_the_hand_about_the_models_origin(published, hand):
    turn, transl = torch.tensor([[0.3, -0.8, 0.5]]), torch.tensor([[0.02, -0.03, 0.7]])
    raw = {"rotation": turn, "transl": transl, "scale": torch.tensor([[-0.9]])}
    joints = placed(published, hand, K, **raw)
    half_turn = torch.tensor([[torch.pi, 0, 0]])
    shaped = hand.with_shape(torch.zeros(1, 10))
    model = shaped.with_pose(half_turn, hand.pose_from_pca(torch.zeros(1, 30))).skin().joints
    expected = 0.9 * model @ matrix_from_axis_angle(turn).mT + transl
    torch.testing.assert_close(joints, expected, atol=1e-5, rtol=0)
    expected_facing = matrix_from_axis_angle(half_turn)[0]
    torch.testing.assert_close(torch.tensor(PAPER_FACING), expected_facing, atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_published_network_starts_as_published(published, rgb):
    output = published(rgb)
    torch.testing.assert_close(output.scale, torch.full((3,), 0.95), atol=1e-4, rtol=0)
    raw = published.geometry(published.encoder(rgb).final.mean((2, 3)))
    torch.testing.assert_close(raw.transl, torch.tensor([[0, 0, 0.65]] * 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        output.texture[0, 0], torch.tensor([0.653, 0.527, 0.527]), atol=2e-3, rtol=0
    )
    assert output.light.std(-1).max() < 0.02 * output.light.mean()


@pytest.mark.parametrize("rotation", ["rot6d", "axis_angle"])
def test_gradients_at_no_turn_are_finite_and_not_zero(hand, rotation):
    network = S2HandNetwork(small(hand, rotation=rotation)).eval()
    turn = torch.zeros(1, 6 if rotation == "rot6d" else 3, requires_grad=True)
    joints = placed(network, hand, K, rotation=turn)
    (slope,) = torch.autograd.grad((joints * torch.linspace(-1, 1, 63).view(21, 3)).sum(), turn)
    assert slope.isfinite().all()
    assert slope.abs().max() > 1e-3


@torch.no_grad()
def test_both_forms_of_rotation_start_alike(hand, network):
    other = S2HandNetwork(small(hand, rotation="axis_angle")).eval()
    zero = torch.zeros(1, 3)
    torch.testing.assert_close(
        placed(other, hand, K, transl=zero), placed(network, hand, K, transl=zero)
    )


@torch.no_grad()
@pytest.mark.parametrize("with_K", [False, True])
def test_the_exported_program_says_the_same_for_any_number_of_crops(network, with_K):
    count = torch.export.Dim("count", min=1, max=64)
    example, crops = torch.rand(2, 3, SIDE, SIDE), torch.rand(5, 3, SIDE, SIDE)
    arguments = (example, K.expand(2, 3, 3)) if with_K else (example,)
    program = torch.export.export(network, arguments, dynamic_shapes=({0: count},) * (1 + with_K))
    others = (crops, K.expand(5, 3, 3)) if with_K else (crops,)
    found, expected = program.module()(*others), network(*others)
    assert found.seen is expected.seen is None
    for one, other in zip(found[:-1], expected[:-1], strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
def test_places_and_turns_keep_full_precision_under_autocast(network, rgb):
    with torch.autocast("cpu", torch.bfloat16):
        output = network(rgb, K.expand(3, 3, 3))
    assert {part.dtype for part in output[:-1]} == {torch.float32}
    turn = output.global_orient.double()
    torch.testing.assert_close(
        turn @ turn.mT, torch.eye(3, dtype=torch.float64).expand(3, 3, 3), atol=1e-6, rtol=0
    )


@torch.no_grad()
def test_parameters_for_the_tracker_make_the_same_hand(network, hand, rgb):
    output = network(rgb, K.expand(3, 3, 3))
    output = output._replace(betas=output.betas + 0.5, pose=output.pose - 0.4)
    mesh = decode(output, hand)
    for index, params in enumerate(hand_params(output, hand)):
        one = {name: torch.tensor(value).float()[None] for name, value in vars(params).items()}
        shaped = hand.with_shape(one["betas"])
        posed = shaped.with_pose(
            one["global_orient"], one["hand_pose"], one["transl"], one["scale"]
        )
        torch.testing.assert_close(
            posed.skin().vertices[0], mesh.vertices[index], atol=1e-6, rtol=0
        )


def test_decoding_has_exact_gradients_also_at_zero_angles(hand):
    precise = hand.to(dtype=torch.float64)
    flat = torch.linalg.solve(precise.hands_components.T, -precise.hands_mean)[None]
    zero = torch.zeros(1, 3, dtype=torch.float64)
    place = torch.tensor([[0.01, -0.02, 0.5]], dtype=torch.float64)
    size = torch.tensor([0.9], dtype=torch.float64)
    betas = torch.full((1, 10), 0.1, dtype=torch.float64)
    colors = torch.zeros(1, 778, 3, dtype=torch.float64)
    light = torch.zeros(1, 11, dtype=torch.float64)

    def joints(pose, betas, scale, turn, transl):
        orient = matrix_from_axis_angle(turn)
        output = NetworkOutput(pose, betas, scale, orient, transl, colors, light)
        return decode(output, precise).joints

    assert hand.pose_from_pca(flat.float()).abs().max() < 1e-6
    inputs = tuple(part.requires_grad_() for part in (flat, betas, size, zero, place))
    assert torch.autograd.gradcheck(joints, inputs)


@torch.no_grad()
def test_without_a_head_for_it_every_hand_has_the_mean_skin(hand, rgb):
    network = S2HandNetwork(small(hand, texture=False)).eval()
    output = network(rgb)
    assert output.texture.shape == (3, 778, 3)
    torch.testing.assert_close(output.texture[2, 5], torch.tensor([0.78125, 0.5859375, 0.5859375]))
    assert output.light.shape == (3, 11)
    assert not [name for name, _ in network.named_parameters() if "appearance" in name]


def test_a_few_steps_bring_the_joints_closer(hand):
    torch.manual_seed(0)
    network = S2HandNetwork(small(hand)).train()
    rgb, target = torch.rand(4, 3, SIDE, SIDE), 44 + 40 * torch.rand(4, 21, 2)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses: list[float] = []
    for _ in range(12):
        uv = project(decode(network(rgb, K.expand(4, 3, 3)), hand).joints, K.expand(4, 3, 3))
        loss = location_loss(uv, target, torch.ones(4, 21))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@torch.no_grad()
def test_normalisation_is_part_of_the_network(hand, rgb):
    torch.manual_seed(0)
    with_it = S2HandNetwork(small(hand)).eval()
    without = S2HandNetwork(small(hand, normalise=False)).eval()
    without.load_state_dict(with_it.state_dict())
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    for one, other in zip(with_it(rgb), without((rgb - mean) / std), strict=True):
        torch.testing.assert_close(one, other)


def test_crops_of_another_size_are_refused(network):
    with pytest.raises(ValueError, match=r"128 x 128 pixels, found \(224, 224\)"):
        network(torch.rand(1, 3, 224, 224))


def test_left_hands_are_refused(network, hand, rgb):
    with pytest.raises(ValueError, match="right hands only"):
        decode(network(rgb), hand.mirrored())


def test_a_configuration_comes_back_from_json(hand):
    config = small(hand, texture=False, rotation="axis_angle", paper=True)
    assert NetworkConfig.from_json(config.to_json()) == config
    assert config.vertices == 778
    assert config.wrist_at_rest == pytest.approx((0.087, 0.005, -0.005), abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "resnet50"}, "encoder must be one of"),
        ({"input_px": 100}, "multiple of 32"),
        ({"input_px": "224"}, "input_px must be like 224"),
        ({"vertices": True}, "vertices must be like"),
        ({"vertices": 10**9}, "between 1 and 20000"),
        ({"pose_components": 46}, "between 1 and 45"),
        ({"rotation": "euler"}, "rotation must be one of"),
        ({"wrist_at_rest": [0, 0]}, "wrist_at_rest must be like"),
        ({"wrist_at_rest": [0, [], 0]}, "wrist_at_rest must be like"),
        ({"knuckle_at_rest": [0, 0, float("nan")]}, "must be finite"),
        ({"colour": 1}, "does not know.*colour"),
    ],
)
def test_a_strange_configuration_is_refused(changes, message):
    values = json.loads(NetworkConfig().to_json()) | changes
    with pytest.raises(ValueError, match=message):
        NetworkConfig.from_json(json.dumps(values))


def test_a_configuration_that_is_no_object_is_refused():
    with pytest.raises(ValueError, match="JSON object"):
        NetworkConfig.from_json("[1]")
