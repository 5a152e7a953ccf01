"""A network for one person: learned for a few steps, measured, written and used."""

import copy
import dataclasses
import io
import json
import os
import signal
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from rich.console import Console

import train.personalise_clip as reading
import train.personalise_mix as mixing
import train.personalise_run as work
from tracker.geometry.hand_model import HandModel
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.model_files import shipped_network
from tracker.vision.network import NetworkConfig, S2HandNetwork
from tracker.vision.network_files import read_header, read_network, write_network
from tracker.vision.records import Frame
from train.__main__ import main
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.datasets.video_frames import video_frames
from train.personalise import report
from train.personalise_clip import PersonClip, ReadConfig, SeenHand, read_person
from train.personalise_fit import FitConfig, PersonTrainer
from train.personalise_measure import Measured, compare, measure_others
from train.personalise_mix import between, share_to_keep
from train.personalise_network import skin_parameter, with_person
from train.personalise_run import PersonaliseConfig, person_start, run

DEMO = Path(__file__).resolve().parents[2] / "apps" / "demo" / "demo.mp4"
SMALL = FitConfig(batch=4, colored=4, replay=2)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module")
def shipped(hand: HandModel) -> S2HandNetwork:
    file = shipped_network()
    assert file is not None
    return read_network(file, hand)


@pytest.fixture(scope="module")
def filmed() -> PersonClip:
    """Made-up hands as if they were a clip's, ten a second."""
    hands = SyntheticHands(SyntheticConfig(size_px=128, seed=11, count=40))
    seen = [
        SeenHand(hands[i], 0, "right", 3 * i, i / 10, np.full(10, 0.3), 1.05) for i in range(40)
    ]
    return PersonClip("filmed", tuple(seen), 120)


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the drawn demo clip."""
    return film(tmp_path_factory.mktemp("clips") / "demo.mp4", demo_frames(75)[15:])


def demo_frames(count: int) -> list[np.ndarray]:
    return [rgb for _, (_, rgb) in zip(range(count), video_frames(DEMO), strict=False)]


def film(path: Path, frames: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.height, stream.width = frames[0].shape[:2]
        stream.bit_rate = 8_000_000
        for rgb in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    return path


def trainer_of(
    shipped: S2HandNetwork, hand: HandModel, clip: PersonClip, config: FitConfig = SMALL
) -> tuple[S2HandNetwork, PersonTrainer]:
    network = copy.deepcopy(shipped)
    twin = with_person(network, person_start(network, clip))
    return network, PersonTrainer(network, twin, hand, clip, config)


def test_a_few_steps_teach_what_is_seen(shipped, hand, filmed):
    few = filmed.part(range(8))
    _, trainer = trainer_of(shipped, hand, few, dataclasses.replace(SMALL, batch=8, colored=8))
    before, start = compare(trainer.objective, shipped, trainer.twin, few)
    for step in range(16):
        trainer.step(step / 16)
    trainer.close()
    _, after = compare(trainer.objective, shipped, trainer.twin, few)
    assert after.reprojection_percent < 0.93 * start.reprojection_percent
    assert after.texture_l1 < start.texture_l1
    assert after.hand_length_spread_percent < 1e-3 < before.hand_length_spread_percent


def test_the_network_rests_first_and_its_statistics_always(shipped, hand, filmed):
    network, trainer = trainer_of(shipped, hand, filmed)
    person = [p.detach().clone() for p in trainer.twin.geometry.betas.parameters()]
    trainer.step(0.0)
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, shipped.get_parameter(name))
    assert not torch.equal(person[-1], list(trainer.twin.geometry.betas.parameters())[-1])
    trainer.step(0.3)
    trainer.close()
    moved = [
        n for n, p in network.named_parameters() if not torch.equal(p, shipped.get_parameter(n))
    ]
    assert any(name.startswith("geometry.pose") for name in moved)
    for name, value in network.named_buffers():
        assert torch.equal(value, shipped.get_buffer(name))


def test_joints_are_learned_in_few_passes_and_light_after_them(shipped, hand, filmed):
    config = dataclasses.replace(SMALL, passes=1)
    network, trainer = trainer_of(shipped, hand, filmed.part(range(8)), config)
    trainer.step(0.0)
    assert [trainer.step(share)[0].name for share in (0.2, 0.21)] == ["joints"] * 2
    pose = network.geometry.pose[0].weight.detach().clone()
    assert trainer.step(0.22)[0].name == "light and skin"  # 8 hands, 4 a step: it was one pass
    light = network.appearance.light[0].weight.detach().clone()
    trainer.step(0.9)
    trainer.close()
    assert torch.equal(pose, network.geometry.pose[0].weight)
    assert not torch.equal(light, network.appearance.light[0].weight)
    assert not torch.equal(pose, shipped.geometry.pose[0].weight)


def test_the_background_tints_no_part_of_the_skin(shipped, hand, filmed):
    """On a blue screen, with the mesh not on the hand everywhere: one tint for all of the skin."""
    blue = [replaced_background(seen) for seen in filmed.hands[:8]]
    clip = dataclasses.replace(filmed, hands=tuple(blue))
    spread: list[float] = []
    for weight in (0.0, FitConfig().one_tint):
        config = dataclasses.replace(SMALL, one_tint=weight)
        _, trainer = trainer_of(shipped, hand, clip, config)
        start = skin_of(trainer)
        for _ in range(16):
            trainer.step(0.1)
        trainer.close()
        change = skin_of(trainer) - start
        tint = change - change.mean(1, keepdim=True)
        spread.append(float(tint.std(0).mean()))
        assert change.abs().mean() > 0.05  # the skin as a whole does learn
    assert spread[1] < 0.6 * spread[0]


def replaced_background(seen: SeenHand) -> SeenHand:
    rgb = seen.sample.rgb.copy()
    rgb[:, : rgb.shape[1] // 2] = (60, 120, 255)
    return dataclasses.replace(seen, sample=dataclasses.replace(seen.sample, rgb=rgb))


def skin_of(trainer: PersonTrainer) -> torch.Tensor:
    skin = skin_parameter(trainer.twin)
    assert skin is not None
    return skin.detach().clone().unflatten(0, (-1, 3))


def test_the_same_seed_learns_the_same(shipped, hand, filmed):
    ends: list[torch.Tensor] = []
    for seed in (0, 0, 1):
        _, trainer = trainer_of(shipped, hand, filmed, dataclasses.replace(SMALL, seed=seed))
        trainer.step(0.0)
        trainer.step(0.3)
        trainer.close()
        ends.append(torch.cat([p.detach().flatten() for p in trainer.twin.geometry.parameters()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


@pytest.mark.parametrize(("allowed", "kept"), [(9.0, 1.0), (0.02, None), (-0.9, 0.0)])
def test_as_much_is_kept_as_others_allow(shipped, hand, filmed, monkeypatch, allowed, kept):
    monkeypatch.setattr(mixing, "_HANDS", 16)
    monkeypatch.setattr(mixing, "MOST_FORGOTTEN", allowed)
    network, trainer = trainer_of(shipped, hand, filmed)
    trainer.close()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in (network.geometry.trunk[0], network.geometry.pose[0]):
            noise = torch.randn(layer.weight.shape, generator=rng)
            layer.weight += layer.weight.std() * noise
    share = share_to_keep(trainer.objective, shipped, trainer.twin)
    assert share == kept or (kept is None and 0 < share < 1)

    def worse_by(share: float) -> float:
        made = SyntheticHands(SyntheticConfig(size_px=128, seed=mixing._SEED, count=16))
        mixed = between(shipped, trainer.twin, share)
        old, new = measure_others(trainer.objective, shipped, mixed, made)
        return new / old - 1

    if kept is None:
        assert worse_by(share) <= allowed < worse_by(share + 0.1)


def test_from_clip_to_tracker(clip_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(work, "_OTHERS", 8)
    monkeypatch.setattr(mixing, "_HANDS", 32)
    out = tmp_path / "me"
    status = main(["personalise", str(clip_file), "--out", str(out), "--steps", "12"])
    told = capsys.readouterr().err
    assert status == 0, told
    file = out / "personal.safetensors"
    assert f"--mode fused --network {file}" in told.replace("\n", " ")
    assert (out / "before_after.png").stat().st_size > 20_000
    numbers = json.loads((out / "numbers.json").read_text())
    assert numbers["after"]["reprojection_percent"] < numbers["before"]["reprojection_percent"]
    assert numbers["steps"] == 12
    assert read_header(file).about["share_kept"] == f"{numbers['share_kept']:g}"
    assert json.loads(read_header(file).about["person"]) == numbers["person"]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["personal.safetensors", "before_after.png", "numbers.json"]
    )
    tracker = HandTracker(HandTrackerConfig(mode="network", network=str(file), smoothing=None))
    hands = [h for rgb in demo_frames(40)[38:] for h in tracker(Frame(rgb))]
    assert hands
    for found in hands:
        np.testing.assert_allclose(found.params.betas, numbers["person"]["betas"], atol=1e-3)


@pytest.fixture
def ready(filmed: PersonClip, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clip has been read already."""
    monkeypatch.setattr(work, "read_person", lambda *_: filmed)
    monkeypatch.setattr(work, "_OTHERS", 8)
    monkeypatch.setattr(mixing, "_HANDS", 8)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def asked(out: Path, **changes: object) -> PersonaliseConfig:
    file = shipped_network()
    assert file is not None
    config = PersonaliseConfig(Path("filmed.mp4"), out, file, steps=9, fit=SMALL)
    return dataclasses.replace(config, **changes)


def test_ctrl_c_keeps_what_was_learned(ready, tmp_path, monkeypatch):
    step = PersonTrainer.step

    def interrupted(self: PersonTrainer, share: float):
        if self.steps == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, share)

    monkeypatch.setattr(PersonTrainer, "step", interrupted)
    outcome = run(asked(tmp_path, steps=500), quiet())
    assert (outcome.stopped, outcome.steps) == (True, 5)
    assert (tmp_path / "numbers.json").exists()


def test_a_network_that_is_no_better_is_not_written(ready, tmp_path, monkeypatch):
    good, bad = Measured(5.0, 0.1, 0.1, 1.0), Measured(5.1, 0.09, 0.09, 0.0)
    monkeypatch.setattr(work, "compare", lambda *_: (good, bad))
    config, console = asked(tmp_path, steps=2), quiet()
    (tmp_path / "personal.safetensors").write_bytes(b"an earlier one")
    assert report(config, run(config, console), console) == 1
    assert "was not written" in said(console)
    assert (tmp_path / "personal.safetensors").read_bytes() == b"an earlier one"
    assert json.loads((tmp_path / "numbers.json").read_text())["better"] is False


def test_a_network_without_colours_or_maps_can_be_personal_too(ready, tmp_path, hand):
    config = NetworkConfig("mobilenetv4_conv_small", 128, texture=False).for_hand(hand)
    write_network(tmp_path / "plain.safetensors", S2HandNetwork(config), hand)
    outcome = run(asked(tmp_path, network=tmp_path / "plain.safetensors"), quiet())
    assert np.isnan(outcome.after.texture_l1)
    assert "texture_l1" not in (tmp_path / "numbers.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{tmp}/none.mp4"], "cannot be read as video"),
        (["{tmp}/noise.mp4"], "cannot be read as video"),
        (["{tmp}/empty.mp4"], "no hand was found"),
        (["{tmp}/short.mp4"], "only"),
        (["{tmp}/short.mp4", "--network", "{tmp}/noise.mp4"], "network"),
        (["{tmp}/short.mp4", "--network", "{tmp}/other.safetensors"], "was trained for the hand"),
        (["{tmp}/short.mp4", "--out", "{tmp}/noise.mp4"], "a file stands where a folder"),
        (["{tmp}/short.mp4", "--minutes", "0"], "--minutes"),
        (["{tmp}/short.mp4", "--steps", "0"], "--steps"),
        (["{tmp}/short.mp4", "--fov", "500"], "--fov"),
    ],
)
def test_mistakes_are_one_line(arguments, told, tmp_path, hand, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 9)
    film(tmp_path / "empty.mp4", [np.zeros((96, 128, 3), np.uint8)] * 3)
    film(tmp_path / "short.mp4", demo_frames(20)[15:])
    stranger = dataclasses.replace(hand, model_id="stranger")
    network = S2HandNetwork(NetworkConfig("mobilenetv4_conv_small", 128).for_hand(hand))
    write_network(tmp_path / "other.safetensors", network, stranger)
    assert main(["personalise", *(a.format(tmp=tmp_path) for a in arguments)]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert told in message
    assert "Traceback" not in message


def test_left_hands_are_read_as_right_ones(clip_file, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "FEWEST_HANDS", 10)
    mirror = film(tmp_path / "mirror.mp4", [f[:, ::-1].copy() for f in demo_frames(40)[15:]])
    sides: set[str] = set()
    for file in (clip_file, mirror):
        hands = read_person(file, ReadConfig(128)).hands
        sides |= {seen.side for seen in hands}
        for seen in hands:
            sample = seen.sample
            assert sample.truth is not None
            assert sample.truth.xyz is not None
            homogeneous = sample.truth.xyz @ sample.K.T
            apart = homogeneous[:, :2] / homogeneous[:, 2:] - sample.uv
            size = np.ptp(sample.uv, axis=0).max()
            assert np.median(np.linalg.norm(apart, axis=1)) < 0.06 * size
    assert sides == {"left", "right"}
