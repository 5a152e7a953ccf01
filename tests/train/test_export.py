"""A run's network as one small file."""

import dataclasses
from pathlib import Path

import pytest
import torch

import train.__main__ as command
from tracker.geometry.hand_model import HandModel
from tracker.vision.network import NetworkConfig, S2HandNetwork
from tracker.vision.network_files import read_header, read_network, write_network
from train.__main__ import main
from train.config import Validation
from train.errors import TrainingError
from train.export import MIB, MOST_MIB, check_size, chosen_network, write_checked
from train.presets import PRESETS
from train.run_folder import RunFolder

SMALL = NetworkConfig(encoder="mobilenetv4_conv_small", input_px=128)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module")
def network(hand) -> S2HandNetwork:
    torch.manual_seed(0)
    return S2HandNetwork(SMALL.for_hand(hand)).eval()


def keep(path: Path, network: S2HandNetwork, hand: HandModel, stage: str, step: int) -> None:
    path.parent.mkdir(exist_ok=True)
    write_network(path, network, hand, {"stage": stage, "step": str(step)})


def test_a_run_becomes_one_file_of_half_the_size(network, hand, tmp_path, capsys):
    run = RunFolder(tmp_path / "run")
    keep(run.best, network, hand, "joint", 7)
    out = tmp_path / "deep" / "small.safetensors"
    assert main(["export", str(run.path), "--out", str(out), "--half"]) == 0
    assert out.stat().st_size < 0.52 * run.best.stat().st_size
    assert "of step 7, 6.8 MiB" in capsys.readouterr().err.replace("\n", " ")
    assert read_header(out).about["from"] == "best.safetensors"
    again = read_network(out, hand).state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again[name], value, rtol=1e-3, atol=1e-4)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize(
    ("best", "last", "taken"),
    [("joint", "joint", "best"), ("3d", "joint", "network"), (None, "joint", "network")],
)
def test_the_best_counts_only_from_the_last_stage(network, hand, tmp_path, best, last, taken):
    """One that was best before colours were learned has none."""
    run = RunFolder(tmp_path / "run")
    for path, stage in ((run.best, best), (run.network, last)):
        if stage is not None:
            keep(path, network, hand, stage, 1)
    assert chosen_network(run.path) == run.path / f"{taken}.safetensors"


def test_a_folder_without_networks_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="no network"):
        chosen_network(tmp_path)


def test_too_large_a_file_is_not_written(network, hand, tmp_path):
    out = tmp_path / "large.safetensors"
    with pytest.raises(TrainingError, match=r"6\.8 MiB, more than 5; its geometry has 5\d%"):
        write_checked(out, network, hand, {}, most_mib=5.0)
    with pytest.raises(TrainingError, match="--half"):
        write_checked(out, network, hand, {}, half=False, most_mib=7.0)
    assert list(tmp_path.iterdir()) == []


def test_every_preset_s_network_fits(hand):
    for preset in PRESETS.values():
        check_size(preset.network, hand)


def test_the_size_is_known_before_training(network, hand, tmp_path, capsys):
    out = tmp_path / "small.safetensors"
    size = write_checked(out, network, hand, {})
    check_size(SMALL, hand, (size + 1) / MIB)
    with pytest.raises(TrainingError, match="has 7"):
        check_size(NetworkConfig(encoder="efficientnet_b3", joint_maps=True), hand)
    command = ["fit", "--preset", "smoke", "--out", str(tmp_path / "run")]
    export = ["--export", str(tmp_path / "x.safetensors"), "--network.encoder", "efficientnet_b3"]
    assert main([*command, *export]) == 2
    assert f"more than {MOST_MIB:g}" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def test_fit_exports_when_it_is_done(tmp_path, monkeypatch):
    run, out = tmp_path / "run", tmp_path / "small.safetensors"
    tiny = dataclasses.replace(
        PRESETS["smoke"],
        stages=PRESETS["smoke"].stages[:1],
        batch=2,
        epoch_samples=4,
        validation=Validation("synthetic,seed=9,count=2", batch=2),
    )
    monkeypatch.setitem(command.PRESETS, "smoke", tiny)
    fit = ["fit", "--out", str(run), "--export", str(out)]
    assert main([*fit, "--preset", "smoke", "--until", "1"]) == 0
    assert not out.exists()
    assert main([*fit, "--resume"]) == 0
    assert read_header(out).about["stage"] == "3d"
