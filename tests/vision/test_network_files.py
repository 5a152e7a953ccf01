import dataclasses
import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tracker.errors import ModelFileError, OutputError
from tracker.geometry.hand_model import HandModel
from tracker.vision.efficientnet import EfficientNet
from tracker.vision.mobilenet import MobileNetV4Small
from tracker.vision.network import NetworkConfig, S2HandNetwork
from tracker.vision.network_files import (
    FORMAT,
    load_encoder_weights,
    read_header,
    read_network,
    write_network,
)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module")
def network(hand: HandModel) -> S2HandNetwork:
    torch.manual_seed(0)
    config = NetworkConfig(encoder="mobilenetv4_conv_small", input_px=128)
    return S2HandNetwork(config.for_hand(hand)).eval()


@pytest.fixture
def file(tmp_path: Path, network: S2HandNetwork, hand: HandModel) -> Path:
    path = tmp_path / "hand.safetensors"
    write_network(path, network, hand, {"run": "blue", "commit": "abc"})
    return path


def rewritten(file: Path, hand: HandModel, tensors=None, **metadata: str) -> Path:
    """The same file with other tensors or other metadata."""
    header = read_header(file)
    kept = {
        "format": FORMAT,
        "config": header.config.to_json(),
        "model_id": hand.model_id,
        "sha256": hand.sha256,
        "about": "{}",
    }
    tensors = tensors or {name: value.clone() for name, value in load_file(file).items()}
    save_file(tensors, file, kept | metadata)
    return file


@torch.no_grad()
def test_a_network_in_half_has_half_the_size_and_single_precision_again(
    file, tmp_path, network, hand
):
    small = tmp_path / "half.safetensors"
    write_network(small, network, hand, half=True)
    assert small.stat().st_size < 0.55 * file.stat().st_size
    again = read_network(small, hand)
    for name, value in network.state_dict().items():
        found = again.state_dict()[name]
        assert found.dtype == value.dtype
        exact = value if value.ndim < 2 else value.half().to(value.dtype)
        assert torch.equal(found, exact), name
    assert any(value.dtype == torch.float16 for value in load_file(small).values())


@torch.no_grad()
def test_a_network_comes_back_as_it_was(file, network, hand):
    found = read_network(file, hand)
    assert found.config == network.config
    assert not found.training
    rgb = torch.rand(2, 3, 128, 128)
    for one, other in zip(found(rgb), network(rgb), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_the_header_says_what_it_was_trained_for(file, hand):
    header = read_header(file)
    assert (header.model_id, header.sha256) == (hand.model_id, hand.sha256)
    assert header.about == {"run": "blue", "commit": "abc"}
    assert not list(file.parent.glob("*.part"))


@pytest.mark.parametrize("change", [{"sha256": "f" * 64}, {"model_id": "mano"}])
def test_another_hand_is_refused(file, hand, change):
    with pytest.raises(ModelFileError, match=r"trained for the hand open_hand.*in use is.*--hand"):
        read_network(file, dataclasses.replace(hand, **change))


def test_the_same_hand_mirrored_is_the_same(file, hand):
    assert read_network(file, hand.mirrored()).config.vertices == 778


def test_a_network_of_other_sizes_is_neither_written_nor_read(file, tmp_path, hand):
    header = read_header(file)
    config = dataclasses.replace(header.config, vertices=100)
    with pytest.raises(ValueError, match=r"colours 100 vertices, the hand open_hand.* has 778"):
        write_network(tmp_path / "other.safetensors", S2HandNetwork(config), hand)
    with pytest.raises(ModelFileError, match="colours 100 vertices"):
        read_network(rewritten(file, hand, config=config.to_json()), hand)


def test_a_network_that_cannot_be_written_leaves_nothing(tmp_path, network, hand):
    with pytest.raises(OutputError, match=r"cannot write .*choose another"):
        write_network(tmp_path / "no folder" / "a.safetensors", network, hand)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_networks_are_refused(tmp_path, file, hand):
    empty, text = tmp_path / "empty", tmp_path / "text"
    empty.touch()
    text.write_text("{" * 100)
    cut = tmp_path / "cut"
    cut.write_bytes(file.read_bytes()[:-1000])
    bomb = tmp_path / "bomb"
    bomb.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    foreign = tmp_path / "foreign"
    save_file({"a": torch.zeros(1)}, foreign)
    for path in (empty, text, cut, bomb, foreign, tmp_path, tmp_path / "none", Path("a\0b")):
        with pytest.raises(
            ModelFileError, match=r"^network .* cannot be used: .+; give a "
        ) as info:
            read_network(path, hand)
        assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "handloom-network-9"}, "handloom-network-9"),
        ({"config": "{}"}, "lacks or does not know"),
        ({"config": "["}, "cannot be used"),
        ({"config": "[" * 5000}, "cannot be used"),
        ({"about": "[1]"}, "notes"),
    ],
)
def test_strange_metadata_is_refused(file, hand, metadata, message):
    with pytest.raises(ModelFileError, match=message):
        read_header(rewritten(file, hand, **metadata))


def test_a_configuration_that_is_not_the_tensors_is_refused(file, hand):
    config = dataclasses.replace(read_header(file).config, pose_components=45)
    with pytest.raises(ModelFileError, match=r"geometry.pose.2.bias is \(30,\) instead of \(45,\)"):
        read_network(rewritten(file, hand, config=config.to_json()), hand)


def test_missing_strange_and_broken_tensors_are_named(file, hand):
    tensors = {name: value.clone() for name, value in load_file(file).items()}
    bias = tensors.pop("encoder.bn1.bias")
    with pytest.raises(ModelFileError, match=r"it lacks encoder.bn1.bias"):
        read_network(rewritten(file, hand, tensors), hand)
    with pytest.raises(ModelFileError, match="it holds another, which"):
        read_network(
            rewritten(file, hand, tensors | {"encoder.bn1.bias": bias, "another": bias.clone()}),
            hand,
        )
    broken = tensors | {"encoder.bn1.bias": bias * float("nan")}
    with pytest.raises(ModelFileError, match=r"encoder.bn1.bias has values that are not finite"):
        read_network(rewritten(file, hand, broken), hand)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Made-up weights in the layout of timm's file, classifier included."""
    generator = torch.Generator().manual_seed(3)
    state = {
        name: torch.rand(value.shape, generator=generator)
        for name, value in MobileNetV4Small().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    return state | {
        "conv_head.weight": torch.zeros(1280, 960, 1, 1),
        "norm_head.weight": torch.zeros(1280),
        "classifier.bias": torch.zeros(1000),
    }


def loaded(path: Path) -> dict[str, torch.Tensor]:
    encoder = MobileNetV4Small()
    load_encoder_weights(encoder, path)
    return encoder.state_dict()


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "module.encoder."])
def test_encoder_weights_load_from_either_kind_of_file(tmp_path, weights, prefix):
    named = {f"{prefix}{name}": value for name, value in weights.items()}
    other = {"geometry.trunk.0.bias": torch.zeros(4)} if "encoder" in prefix else {}
    save_file(named | other, tmp_path / "a.safetensors")
    torch.save(named | other, tmp_path / "a.pth")
    torch.save({"epoch": 3, "state_dict": named | other}, tmp_path / "nested.pth")
    for name in ("a.safetensors", "a.pth", "nested.pth"):
        state = loaded(tmp_path / name)
        assert torch.equal(state["conv_stem.weight"], weights["conv_stem.weight"])
        key = "blocks.3.0.dw_mid.bn.running_var"
        assert torch.equal(state[key], weights[key])


@torch.no_grad()
def test_encoder_weights_load_from_a_network_of_ours(file, network):
    encoder = MobileNetV4Small().eval()
    load_encoder_weights(encoder, file)
    rgb = torch.rand(1, 3, 64, 64)
    assert torch.equal(encoder(rgb).final, network.encoder(rgb).final)


def test_weights_of_another_encoder_are_refused(tmp_path, weights):
    save_file(weights, tmp_path / "small.safetensors")
    with pytest.raises(ModelFileError, match=r"it lacks blocks.* more; give timm's weights"):
        load_encoder_weights(EfficientNet(), tmp_path / "small.safetensors")
    b3 = {
        k: v for k, v in EfficientNet("efficientnet_b3").state_dict().items() if "blocks" not in k
    }
    b0 = {k: v for k, v in EfficientNet().state_dict().items() if "blocks" in k}
    save_file(b3 | b0, tmp_path / "mixed.safetensors")
    with pytest.raises(ModelFileError, match=r"conv_stem.weight is \(40, 3, 3, 3\) instead of"):
        load_encoder_weights(EfficientNet(), tmp_path / "mixed.safetensors")


def test_weights_are_not_half_loaded(tmp_path, weights):
    encoder = MobileNetV4Small()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    torch.save({k: v for k, v in weights.items() if k != "bn1.bias"}, tmp_path / "a.pth")
    with pytest.raises(ModelFileError, match=r"it lacks bn1.bias"):
        load_encoder_weights(encoder, tmp_path / "a.pth")
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("was_here"),))


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv_stem.weight": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Evil(), 2))
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "short.pth").write_bytes(b"PK\x03\x04")
    for name in ("evil.pth", "evil.pkl", "list.pth", "short.pth", "missing.pth"):
        with pytest.raises(ModelFileError, match=r"^encoder weights .* cannot be used"):
            load_encoder_weights(MobileNetV4Small(), tmp_path / name)
    assert not (tmp_path / "was_here").exists()


def test_the_configuration_is_stored_as_readable_json(file):
    header = file.read_bytes()[8 : 8 + struct.unpack("<Q", file.read_bytes()[:8])[0]]
    config = json.loads(json.loads(header)["__metadata__"]["config"])
    assert config["encoder"] == "mobilenetv4_conv_small"
