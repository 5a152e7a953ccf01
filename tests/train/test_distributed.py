"""Two processes are one: same path, one writer, and an end for all when one ends."""

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tracker.geometry.hand_model import HandModel
from tracker.geometry.losses import confident_mean, shared_batch
from train.checkpoints import read_checkpoint
from train.config import Intervals, TrainConfig, Validation
from train.distributed import ALONE, Processes, SharedBatchNorm, with_shared_normalisation
from train.errors import TrainingError
from train.metrics_log import read_metrics
from train.presets import PRESETS
from train.run_folder import RunFolder
from train.sources import training_stream
from train.trainer import Trainer

REPOSITORY = Path(__file__).resolve().parents[2]
SMOKE = PRESETS["smoke"]
STEPS = 5
TINY = dataclasses.replace(
    SMOKE,
    # Two steps of 3D, one of 2D, two of both; every loss that a sum over the batch normalises.
    stages=tuple(
        dataclasses.replace(stage, epochs=epochs)
        for stage, epochs in zip(SMOKE.stages, (1.0, 0.5, 1.0), strict=True)
    ),
    data=("synthetic,noisy=yes",),
    variant="code",
    epoch_samples=8,
    validation=Validation("synthetic,seed=9,count=4", batch=4),
    every=Intervals(log=1, pictures=100, validate=100, checkpoint=2),
)
APART = dataclasses.replace(TINY, shared_normalisation=False)
START = "import torch; torch.set_num_threads(1)\n"


def pair(program: str, *arguments: str) -> list[subprocess.CompletedProcess[str]]:
    """Run a program in two processes as `torchrun` would, and wait for both."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    command = [sys.executable, "-c", START + program, *arguments]
    started = [
        subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **where, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()
    return [
        subprocess.CompletedProcess(command, process.returncode, *texts)
        for process, texts in zip(started, said, strict=True)
    ]


def weights_after(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.networks.state_dict().items()}


def steps(config: TrainConfig) -> list[dict[str, Tensor]]:
    """Weights and numbers at the start and after each step, all in double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        trainer = Trainer(config, HandModel.load().to(dtype=torch.float64))
        found = [weights_after(trainer)]
        with training_stream(config, 0) as stream:
            for _ in range(STEPS):
                batch = next(stream).map(lambda t: t.double() if t.is_floating_point() else t)
                numbers = trainer.advance(batch)[1]
                found.append(weights_after(trainer) | {"loss": numbers["loss"]})
    finally:
        torch.set_default_dtype(torch.float32)
    return found


def layers() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(1)
    body = nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5, momentum=0.3), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 3), nn.BatchNorm1d(3))
    return nn.Sequential(body, head).double(), torch.randn(6, 2, 9, 7).double()


def normalised(module: nn.Module, x: Tensor, processes: Processes) -> dict[str, Tensor]:
    """One pass forwards and backwards of a loss that is no plain mean of the layer's output."""
    x = x.clone().requires_grad_()
    y = module(x)
    (y.sin() * torch.arange(1.0, 4).double()).mean().backward()
    processes.mean_gradients(list(module.parameters()))
    gradients = {name: p.grad for name, p in module.named_parameters()}
    return {"y": y.detach(), "x": x.grad, **gradients, **dict(module.named_buffers())}


IN_TWO = """
import sys
from train.distributed import process_group, with_shared_normalisation
from train.errors import TrainingError
from tracker.geometry.hand_model import HandModel
from train.sources import training_stream
from train.trainer import Trainer
from tests.train.test_distributed import APART, TINY, layers, normalised, steps
with process_group("cpu") as processes:
    module, x = layers()
    module = with_shared_normalisation(module, torch.device("cpu"))
    part = normalised(module, x.chunk(2)[processes.rank], processes)
    found, apart = steps(TINY), steps(APART)
    def refuse():
        raise TrainingError("no")
    try:
        processes.first_does(refuse)
    except TrainingError as problem:
        refused = type(problem).__name__
    done = [refused, processes.first_does(lambda: 5), processes.any(processes.rank == 1)]
    trainer = Trainer(TINY, HandModel.load())
    with training_stream(TINY, 0) as stream:
        batch = next(stream)
    if processes.rank == 1:
        batch.rgb[0, 0, 3, 3] = float("nan")
    try:
        trainer.advance(batch)
    except TrainingError as problem:
        done.append((type(problem).__name__, str(problem), batch.source))
    torch.save((part, found, done, apart[-1]), f"{sys.argv[1]}/{processes.rank}.pt")
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> list[tuple]:
    folder = tmp_path_factory.mktemp("two")
    for process in pair(IN_TWO, str(folder)):
        assert process.returncode == 0, process.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_two_halves_are_normalised_as_one_batch(shared):
    module, x = layers()
    expected = normalised(module, x, ALONE)
    parts = [part for part, *_ in shared]
    for name in ("y", "x"):
        joined = torch.cat([part[name] for part in parts])
        # A process's loss is twice its share of the whole one.
        torch.testing.assert_close(
            joined / (2 if name == "x" else 1), expected[name], rtol=0, atol=1e-12
        )
    for part in parts:
        for name in expected.keys() - {"y", "x"}:
            torch.testing.assert_close(part[name], expected[name], rtol=0, atol=1e-12)


def test_two_processes_take_the_path_of_one(shared):
    """In double precision, where rounding leaves room to tell a mistake from noise.

    In single precision there is none: only to add up one batch in another order changes these
    weights by a tenth of their first step, because Adam's first steps have the size of the
    learning rate however small, or doubtful, the gradient is.
    """
    alone = steps(TINY)
    start = alone[0]
    trained = [name for name in start if "running" not in name and "num_batches" not in name]
    for step, expected in enumerate(alone[1:], 1):
        for _, found, *_ in shared:
            torch.testing.assert_close(found[step]["loss"], expected["loss"], rtol=1e-8, atol=0)
            away = sum(float((found[step][n] - expected[n]).square().sum()) for n in trained)
            moved = sum(float((expected[n] - start[n]).square().sum()) for n in trained)
            assert away**0.5 < 1e-6 * moved**0.5, step
            for name in start.keys() - set(trained):
                torch.testing.assert_close(
                    found[step][name], expected[name], rtol=1e-6, atol=1e-9, msg=name
                )
    first, second = (found for _, found, *_ in shared)
    for a, b in zip(first, second, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_processes_may_normalise_each_by_its_own_part(shared):
    first, second = (apart for *_, apart in shared)
    together = shared[0][1][-1]
    running = {name for name in first if "running_mean" in name}
    for name in first:
        if "running" not in name:
            assert torch.equal(first[name], second[name]), name
    assert not any(torch.equal(first[name], second[name]) for name in running)
    assert not all(torch.equal(first[name], together[name]) for name in first if "weight" in name)


def test_what_the_first_cannot_do_stops_the_others_too(shared):
    assert shared[0][2][:3] == ["TrainingError", 5, True]
    assert shared[1][2][:3] == ["PeerRefusedError", None, True]
    assert ALONE.first_does(lambda: 5) == 5


def test_the_process_with_the_broken_sample_tells_of_it(shared):
    (innocent, _, _), (kind, said, sources) = (done[3] for _, _, done, _ in shared)
    assert innocent == "PeerRefusedError"
    assert kind == "NotFiniteError"
    assert sources[0] in said
    folder = RunFolder(Path("run"))
    assert folder.broken_batch(3, 1) != folder.broken_batch(3)


def test_the_normalising_sum_is_the_whole_batchs():
    values, confidence = torch.rand(8).double(), torch.rand(8).double()
    halves = [(values[:4], confidence[:4]), (values[4:], confidence[4:])]
    mean = confidence.square().sum() / 2
    with shared_batch(lambda total: mean):
        shares = [confident_mean(*half) for half in halves]
    torch.testing.assert_close(torch.stack(shares).mean(), confident_mean(values, confidence))


def test_shared_layers_keep_their_tensors_and_names():
    module, x = layers()
    names = list(module.state_dict())
    tensors = list(module.parameters())
    expected = module.eval()(x)
    changed = with_shared_normalisation(module, torch.device("cpu"))
    assert sum(isinstance(layer, SharedBatchNorm) for layer in changed.modules()) == 2
    assert list(changed.state_dict()) == names
    assert all(a is b for a, b in zip(changed.parameters(), tensors, strict=True))
    assert torch.equal(changed(x), expected)
    rows = x.contiguous(memory_format=torch.channels_last)
    layer = SharedBatchNorm(2).double()
    assert layer(rows).is_contiguous(memory_format=torch.channels_last)


def test_a_batch_that_cannot_be_shared_is_refused():
    assert Processes(1, 2).share(8) == 4
    assert ALONE.share(3) == 3
    for batch in (7, 2):
        with pytest.raises(TrainingError, match=f"batch of {batch} .* 2 processes"):
            Processes(0, 2).share(batch)


LEAVE = """
import weakref
import torch.distributed as dist
from train.distributed import process_group
with process_group("cpu") as processes:
    # As PyTorch's compiler does at an optimiser's first step.
    import torch.distributed.nn
    group = weakref.ref(dist.group.WORLD)
    processes.of_first([1.0])
print(group())
"""


def test_nothing_keeps_the_group_past_its_end():
    """Its threads would abort the program, now and then, while Python shuts down."""
    assert [(done.returncode, done.stdout) for done in pair(LEAVE)] == [(0, "None\n")] * 2


FIT = """
import os, signal, sys
from train import loop
from train.__main__ import main
disturbance, when, rank = sys.argv[1], int(sys.argv[2]), int(os.environ["RANK"])
advance = loop.Trainer.advance
def disturbed(self, batch):
    done = advance(self, batch)
    if rank == 1 and self.step == when:
        os.kill(os.getpid(), getattr(signal, disturbance))
    return done
loop.Trainer.advance = disturbed
sys.exit(main(["fit", *sys.argv[3:]]))
"""


def test_the_life_of_a_run_of_two(tmp_path):
    """Interrupted after its first step, killed after its third, finished by `torchrun`."""
    file, out = tmp_path / "tiny.json", ("--out", str(tmp_path / "run"))
    file.write_text(TINY.to_json())
    folder = RunFolder(tmp_path / "run")

    # One process alone is asked to stop, and both do, after the same step.
    first, second = pair(FIT, "SIGINT", "1", "--config", str(file), *out)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "stopped after step 1" in first.stderr.replace("\n", " ")
    assert not second.stderr.strip()
    assert read_checkpoint(folder.checkpoint)["trainer"]["step"] == 1
    (row,) = read_metrics(folder.metrics, "train")
    with training_stream(TINY, 0) as stream:
        alone = Trainer(TINY, HandModel.load()).advance(next(stream))[1]
    assert row["loss"] == pytest.approx(float(alone["loss"]), rel=1e-4)

    first, second = pair(FIT, "SIGKILL", "3", "--resume", *out)
    assert (first.returncode, second.returncode) == (2, -9)
    (line,) = first.stderr.strip().splitlines()
    assert "another process of this run has ended" in line
    assert "--resume" in line
    assert read_checkpoint(folder.checkpoint)["trainer"]["step"] == 2

    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launch, "-m", "train", "fit", "--resume", *out]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(folder.checkpoint)["trainer"]["step"] == STEPS
    assert [row["step"] for row in read_metrics(folder.metrics, "train")] == [1, 2, 3, 4, 5]
    assert len(read_metrics(folder.metrics, "validation")) == 1
    networks = sorted(path.name for path in folder.path.glob("*.safetensors"))
    assert networks == ["best.safetensors", "network.safetensors"]
