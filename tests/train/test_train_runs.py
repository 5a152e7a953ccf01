"""Runs in their folders: interrupted, killed, resumed, broken and refused."""

import dataclasses
import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

import train.loop
from tracker.geometry.hand_model import HandModel
from tracker.vision.network_files import read_header, read_network
from train.checkpoints import read_checkpoint, write_checkpoint
from train.config import Intervals, TrainConfig, Validation
from train.errors import NotFiniteError, TrainingError
from train.loop import FitResult, fit
from train.metrics_log import read_metrics
from train.presets import PRESETS
from train.run_folder import RunFolder
from train.sources import training_stream
from train.trainer import Trainer

REPOSITORY = Path(__file__).resolve().parents[2]
SMOKE = PRESETS["smoke"]
TINY = dataclasses.replace(
    SMOKE,
    # Ten steps: 4 of 3D, 2 of 2D, 4 of both.
    stages=tuple(
        dataclasses.replace(stage, epochs=epochs)
        for stage, epochs in zip(SMOKE.stages, (2.0, 1.0, 2.0), strict=True)
    ),
    epoch_samples=8,
    validation=Validation("synthetic,seed=9,count=4", batch=4),
    every=Intervals(log=1, pictures=100, validate=100, checkpoint=3),
)


def quiet() -> Console:
    return Console(file=io.StringIO())


def run(path: Path, config: TrainConfig = TINY, until: int | None = None) -> FitResult:
    return fit(RunFolder.start(path, config), config, until=until, console=quiet())


def resume(path: Path) -> FitResult:
    folder, config = RunFolder.resume(path)
    return fit(folder, config, resume=True, console=quiet())


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equal to the last bit."""
    assert type(a) is type(b), where
    if isinstance(a, Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


def assert_same_end(a: Path, b: Path) -> None:
    first, second = (read_checkpoint(RunFolder(path).checkpoint) for path in (a, b))
    assert first["trainer"]["step"] == TINY.timetable().steps == 10
    assert_same(first, second)
    rows = [read_metrics(RunFolder(path).metrics, "train") for path in (a, b)]
    for row in (*rows[0], *rows[1]):
        row.pop("images_per_s")
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0]] == list(range(1, 11))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "unbroken"
    assert run(path).finished
    return path


@pytest.mark.parametrize("until", [5, 6])  # within the 2D stage, and at its end
def test_ten_steps_are_five_and_five(unbroken, tmp_path, until):
    stopped = run(tmp_path / "run", until=until)
    assert not stopped.finished
    assert stopped.step == until
    assert resume(tmp_path / "run").finished
    assert_same_end(tmp_path / "run", unbroken)


def test_a_killed_run_resumes_to_the_same_weights(unbroken, tmp_path):
    """Killed with signal 9 in its eighth step, two steps after its last checkpoint."""
    path = tmp_path / "run"
    RunFolder.start(path, TINY)
    program = (
        "import os, signal, sys, torch\n"
        "from pathlib import Path\n"
        "torch.set_num_threads(1)\n"
        "from train import loop\n"
        "from train.run_folder import RunFolder\n"
        "advance = loop.Trainer.advance\n"
        "def deadly(self, batch):\n"
        "    done = advance(self, batch)\n"
        "    if self.step == 8:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return done\n"
        "loop.Trainer.advance = deadly\n"
        "loop.fit(*RunFolder.resume(Path(sys.argv[1])))\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    ended = subprocess.run(command, check=False, cwd=REPOSITORY, capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert read_checkpoint(RunFolder(path).checkpoint)["trainer"]["step"] == 6
    assert resume(path).finished
    assert_same_end(path, unbroken)


def test_what_a_run_leaves(unbroken):
    folder, config = RunFolder.resume(unbroken)
    assert config == TINY
    environment = json.loads((unbroken / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert (environment["git_commit"] is None) == (not (REPOSITORY / ".git").exists())
    hand = HandModel.load()
    for path in (folder.best, folder.network):
        assert read_header(path).about["step"] == "10"
        network = read_network(path, hand)
        assert network.config == TINY.network.for_hand(hand)
    average = read_checkpoint(folder.checkpoint)["trainer"]["average"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, average[f"module.{name}"])
    (row,) = read_metrics(folder.metrics, "validation")
    assert row["step"] == 10
    assert row["mean_hand_pa_mpjpe_mm"] > 5
    assert row["gain_percent"] == pytest.approx(
        100 * (1 - row["pa_mpjpe_mm"] / row["mean_hand_pa_mpjpe_mm"])
    )
    assert any(folder.events.iterdir())


def poisoned(step: int):
    """Streams whose batch of that step holds a pixel that is no number."""

    def make(config: TrainConfig, start_step: int):
        stream = training_stream(config, start_step)
        plain = stream.__class__.__next__

        class Poisoned(stream.__class__):
            def __next__(self):
                batch = plain(self)
                if self.step - 1 == step:
                    batch.rgb[1, 0, 3, 3] = float("nan")
                return batch

        stream.__class__ = Poisoned
        return stream

    return make


def test_a_loss_that_is_no_number_stops_with_the_batch_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(train.loop, "training_stream", poisoned(3))
    with pytest.raises(NotFiniteError, match="step 3 of stage 3d") as caught:
        run(tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert str(folder.broken_batch(3)) in str(caught.value)
    saved = read_checkpoint(folder.broken_batch(3))
    assert saved["batch"]["rgb"].shape == (4, 3, 128, 128)
    assert saved["batch"]["rgb"].isnan().sum() == 1
    assert saved["batch"]["source"][0] in str(caught.value)
    before = read_checkpoint(folder.checkpoint)["trainer"]
    assert before["step"] == saved["trainer"]["step"] == 3
    for name, value in before["networks"].items():
        # The statistics have seen the batch, the weights have not.
        assert (
            "running_" in name
            or "num_batches" in name
            or torch.equal(value, saved["trainer"]["networks"][name])
        )


def test_an_interrupt_ends_the_step_and_saves(tmp_path, monkeypatch):
    advance = train.loop.Trainer.advance

    def interrupted(self, batch):
        if self.step == 1:
            signal.raise_signal(signal.SIGINT)
        return advance(self, batch)

    monkeypatch.setattr(train.loop.Trainer, "advance", interrupted)
    result = run(tmp_path / "run")
    assert (result.step, result.finished) == (2, False)
    assert read_checkpoint(RunFolder(tmp_path / "run").checkpoint)["trainer"]["step"] == 2


def test_a_folder_holds_one_run(unbroken, tmp_path):
    with pytest.raises(TrainingError, match="holds a run already"):
        RunFolder.start(unbroken, TINY)
    with pytest.raises(TrainingError, match="no run to resume"):
        RunFolder.resume(tmp_path)


def test_a_run_starts_from_the_network_of_another(unbroken, tmp_path):
    file = RunFolder(unbroken).network
    config = dataclasses.replace(TINY, start=file, frozen_stages=1)
    trainer = Trainer(config, HandModel.load())
    expected = read_network(file, HandModel.load()).state_dict()
    assert_same(dict(trainer.networks.hand.state_dict()), dict(expected))
    assert not trainer.networks.hand.encoder.conv_stem.weight.requires_grad
    other = dataclasses.replace(TINY.network, joint_maps=True)
    with pytest.raises(TrainingError, match="same --network options"):
        Trainer(dataclasses.replace(config, network=other), HandModel.load())


def test_another_runs_checkpoint_is_refused(unbroken, tmp_path):
    other = dataclasses.replace(TINY, seed=1)
    folder = RunFolder.start(tmp_path / "other", other)
    folder.checkpoint.write_bytes(RunFolder(unbroken).checkpoint.read_bytes())
    with pytest.raises(TrainingError, match="another configuration"):
        fit(folder, other, resume=True, console=quiet())


def test_checkpoints_are_whole_and_run_no_code(tmp_path):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"step": 1})
    with pytest.raises(AttributeError):
        write_checkpoint(path, {"step": lambda: 2})
    assert read_checkpoint(path)["step"] == 1
    torch.save({"format": Console}, path)
    with pytest.raises(TrainingError, match="cannot be read"):
        read_checkpoint(path)
    path.write_bytes(b"half a fi")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_checkpoint(path)
