import pytest
import torch
from torch import nn

from tracker.vision import efficientnet
from tracker.vision.efficientnet import EfficientNet, round_channels, timm_names
from tracker.vision.mobilenet import MobileNetV4Small

TIMM_MNV4S_PARAMETERS = 3_774_024
MNV4S_HEAD = 960 * 1280 + 2 * 1280 + 1280 * 1000 + 1000


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("efficientnet_b0", 4_007_548),
        ("efficientnet_b3", 10_696_232),
        ("efficientnet_lite0", 4_652_008 - 1_281_000),
    ],
)
def test_parameters_are_as_many_as_timms(name, count):
    assert parameters(EfficientNet(name)) == count


def test_the_mobilenet_has_timms_parameters_without_its_classifier():
    assert parameters(MobileNetV4Small()) == TIMM_MNV4S_PARAMETERS - MNV4S_HEAD


def test_parameters_have_timms_names_and_shapes():
    state = EfficientNet().state_dict()
    assert len(state) == 358
    assert state["conv_stem.weight"].shape == (32, 3, 3, 3)
    assert state["bn1.running_var"].shape == (32,)
    assert state["blocks.0.0.conv_dw.weight"].shape == (32, 1, 3, 3)
    assert state["blocks.0.0.se.conv_reduce.bias"].shape == (8,)
    assert state["blocks.0.0.conv_pw.weight"].shape == (16, 32, 1, 1)
    assert state["blocks.1.1.se.conv_expand.weight"].shape == (144, 6, 1, 1)
    assert state["blocks.2.0.conv_dw.weight"].shape == (144, 1, 5, 5)
    assert state["blocks.5.3.conv_pwl.weight"].shape == (192, 1152, 1, 1)
    assert state["blocks.6.0.bn3.running_mean"].shape == (320,)
    assert state["conv_head.weight"].shape == (1280, 320, 1, 1)
    assert state["bn2.bias"].shape == (1280,)
    small = MobileNetV4Small().state_dict()
    assert small["blocks.0.0.bn1.weight"].shape == (32,)
    assert small["blocks.2.0.dw_start.conv.weight"].shape == (64, 1, 5, 5)
    assert small["blocks.2.1.dw_mid.bn.weight"].shape == (192,)
    assert small["blocks.3.3.pw_exp.conv.weight"].shape == (384, 128, 1, 1)
    assert small["blocks.4.0.conv.weight"].shape == (960, 128, 1, 1)


@pytest.mark.parametrize(
    ("encoder", "channels", "tap"),
    [
        (EfficientNet("efficientnet_b0"), 1280, 24),
        (EfficientNet("efficientnet_b3"), 1536, 32),
        (EfficientNet("efficientnet_lite0"), 1280, 24),
        (MobileNetV4Small(), 960, 32),
    ],
    ids=["b0", "b3", "lite0", "mnv4s"],
)
def test_features_are_where_they_should_be(encoder, channels, tap):
    with torch.no_grad():
        features = encoder.eval()(torch.rand(2, 3, 64, 96))
    assert features.final.shape == (2, channels, 2, 3)
    assert features.tap.shape == (2, tap, 16, 24)
    assert (encoder.feature_channels, encoder.tap_channels) == (channels, tap)


def test_the_tap_sees_a_small_place_and_the_end_the_whole_picture():
    torch.manual_seed(0)
    encoder = EfficientNet().eval()
    picture = torch.rand(1, 3, 64, 64)
    changed = picture.clone()
    changed[..., :4, :4] = 0
    with torch.no_grad():
        before, after = encoder(picture), encoder(changed)
    tap = (before.tap - after.tap).abs().amax(1)[0]
    # Squeeze and excitation carries a little of any change everywhere, even at the start.
    assert tap[:3, :3].max() > 30 * tap[10:, 10:].max()
    assert (before.final - after.final).abs().amax(1).min() > 0


@pytest.mark.parametrize("encoder", [EfficientNet(), MobileNetV4Small()], ids=["b0", "mnv4s"])
def test_signals_neither_die_nor_explode_at_the_start(encoder):
    torch.manual_seed(0)
    features = encoder.train()(torch.randn(4, 3, 64, 64))
    features.final.square().mean().backward()
    assert 0.1 < features.final.std() < 10
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert encoder.conv_stem.weight.grad.abs().max() > 0


@pytest.mark.parametrize(("channels", "rounded"), [(19.2, 24), (38.4, 40), (16.0, 16), (3.0, 8)])
def test_channels_are_multiples_of_eight(channels, rounded):
    assert round_channels(channels) == rounded


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0"])
def test_weights_under_the_other_packages_names_find_their_places(name):
    encoder = EfficientNet(name)
    state = encoder.state_dict()
    renamed, flat = {}, iter(range(100))
    numbers: dict[str, int] = {}
    other = {v: k for k, v in efficientnet._OTHER_BLOCKS.items()}
    first = {v: k for k, v in efficientnet._FIRST_BLOCK.items()}
    outside = {v: k for k, v in efficientnet._OUTSIDE.items()}
    for key, value in state.items():
        if not key.startswith("blocks."):
            layer, parameter = key.split(".")
            renamed[f"{outside[layer]}.{parameter}"] = value
            continue
        _, stage, index, layer = key.split(".", 3)
        layer, parameter = layer.rsplit(".", 1)
        block = f"{stage}.{index}"
        if block not in numbers:
            numbers[block] = next(flat)
        names = first if stage == "0" else other
        renamed[f"_blocks.{numbers[block]}.{names[layer]}.{parameter}"] = value
    renamed["_fc.weight"] = torch.zeros(1000, 1280)
    found = timm_names(encoder, renamed)
    assert set(found) == set(state)
    assert all(torch.equal(found[key], state[key]) for key in state)
    assert timm_names(encoder, state) == state


@pytest.mark.parametrize(
    "encoder", [EfficientNet("efficientnet_lite0"), MobileNetV4Small()], ids=["lite0", "mnv4s"]
)
def test_a_frozen_beginning_neither_learns_nor_counts(encoder):
    encoder.freeze(2)
    encoder.train()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    features = encoder(torch.rand(2, 3, 64, 64))
    features.final.square().mean().backward()
    kept = ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.")
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is None) == name.startswith(kept), name
    moved = {k for k, v in encoder.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert not any(name.startswith(kept) for name in moved)
    encoder.eval()
    assert not encoder.training
    assert not encoder.blocks[3].training
