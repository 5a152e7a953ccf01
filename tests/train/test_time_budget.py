"""A run that fits into minutes: scaled alike, ending in time, and resumed like any other."""

import dataclasses
import io
import time
from pathlib import Path

import pytest
from rich.console import Console

import train.__main__ as command
from tracker.geometry.hand_model import HandModel
from train.__main__ import main
from train.checkpoints import read_checkpoint
from train.config import Intervals, TrainConfig, Validation
from train.errors import TrainingError
from train.presets import PRESETS
from train.run_folder import RunFolder
from train.sources import training_stream
from train.time_budget import (
    FEWEST_STEPS,
    RESERVE,
    Speed,
    _loading_s,
    fitted,
    measured_speed,
    run_s,
    scaled,
    scaled_to,
)
from train.trainer import Trainer

SMOKE = PRESETS["smoke"]
PRESET_SPEED = Speed((0.1,) * 3, 4.0, 0.2, 0.5, 10.0)
TINY = dataclasses.replace(
    SMOKE,
    batch=2,
    epoch_samples=8,
    validation=Validation("synthetic,seed=9,count=4", batch=4),
    every=Intervals(log=1000, pictures=1000, validate=1000, checkpoint=1000),
)

ONE_STAGE = dataclasses.replace(TINY, stages=TINY.stages[:1])


def speed(config: TrainConfig, step_s: float) -> Speed:
    return dataclasses.replace(PRESET_SPEED, step_s=(step_s,) * len(config.stages))


@pytest.mark.parametrize("preset", ["paper", "cpu", "h200"])
@pytest.mark.parametrize("step_s", [0.03, 0.1, 0.6])
@pytest.mark.parametrize("minutes", [10.0, 25.0, 600.0])
def test_a_scaled_run_takes_the_time_and_no_more(preset, step_s, minutes):
    config = PRESETS[preset]
    costs = speed(config, step_s)
    chosen = scaled_to(config, costs, 60 * minutes)
    assert chosen is not None
    # Another step of each stage, or the events that come with steps, would be too much.
    most_s = 2 * (costs.validation_s + costs.picture_s + costs.checkpoint_s) + 3 * step_s
    assert 60 * minutes - most_s <= run_s(chosen, costs) <= 60 * minutes


@pytest.mark.parametrize("factor", [0.003, 0.05, 1.0, 7.0])
def test_all_stages_are_scaled_alike_and_their_rates_keep_their_shape(factor):
    for config in PRESETS.values():
        run = scaled(config, factor)
        before, after = config.timetable(), run.timetable()
        for old, new in zip(before.ends, after.ends, strict=True):
            assert new == pytest.approx(factor * old, abs=len(config.stages))
        for part in (0.3, 0.6, 0.9, 1.0):
            # Apart from where a rate falls at once, and the warm-ups.
            old, new = (t.learning_rate(round(part * t.steps) - 1) for t in (before, after))
            if after.steps > 200:
                assert new == pytest.approx(old, rel=0.25) or part == 0.3
        assert dataclasses.replace(run, stages=config.stages, ema=config.ema) == config


def test_what_is_too_long_for_a_short_run_is_shortened():
    short = scaled(PRESETS["cpu"], 0.01)
    steps = short.timetable().steps
    for stage, count in zip(short.stages, counts(short), strict=True):
        assert stage.warmup_steps <= 0.1 * count
    assert 1 / (1 - short.ema) <= 0.08 * steps + 1
    # And nothing is made longer.
    long = scaled(PRESETS["cpu"], 100.0)
    assert long.ema == PRESETS["cpu"].ema
    assert long.stages[0].warmup_steps == PRESETS["cpu"].stages[0].warmup_steps


def counts(config: TrainConfig) -> list[int]:
    ends = config.timetable().ends
    return [end - first for first, end in zip((0, *ends), ends, strict=False)]


def test_what_a_run_takes_is_counted_as_the_loop_does_it():
    config = dataclasses.replace(
        TINY,
        stages=tuple(
            dataclasses.replace(s, epochs=e)
            for s, e in zip(TINY.stages, (5.0, 3.0, 4.0), strict=True)
        ),
        every=Intervals(log=1, pictures=10, validate=8, checkpoint=7),
    )
    # 20 steps of 3D, 12 of 2D alone, 16 of both: validations at 8, 16, 40, 48 and the end.
    costs = Speed((1.0, 10.0, 100.0), 1e4, 1e6, 1e8, 0.5)
    assert run_s(config, costs) == 0.5 + 20 + 120 + 1600 + 5e4 + 5e6 + 7e8


def test_a_time_that_is_too_short_says_how_much_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr("train.time_budget.measured_speed", lambda *_: PRESET_SPEED)
    with pytest.raises(TrainingError, match="too short") as caught:
        fitted(SMOKE, 0.2, began_s=time.monotonic(), out=tmp_path, console=quiet())
    needed = float(str(caught.value).partition("--minutes ")[2].partition(",")[0])
    chosen = fitted(SMOKE, needed, began_s=time.monotonic(), out=tmp_path, console=quiet())
    assert min(counts(chosen)) >= FEWEST_STEPS
    for wrong in (0.0, -1.0, float("nan"), 1e12):
        with pytest.raises(TrainingError, match="above 0"):
            fitted(SMOKE, wrong, began_s=0.0, out=tmp_path, console=quiet())


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_one_line_says_what_was_measured_and_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr("train.time_budget.measured_speed", lambda *_: PRESET_SPEED)
    said = io.StringIO()
    console = Console(file=said, width=40)
    chosen = fitted(SMOKE, 5.0, began_s=time.monotonic() - 30, out=tmp_path, console=console)
    line = said.getvalue()
    assert line.count("\n") == 1
    assert "3d 40, 2d 40, joint 40 images/s" in line
    assert f"chosen {' + '.join(map(str, counts(chosen)))} steps" in line
    # 30 s are gone, and a part of the rest is kept back.
    assert run_s(chosen, PRESET_SPEED) < (1 - RESERVE) * 270


def test_measuring_takes_seconds_and_leaves_nothing(tmp_path):
    out = tmp_path / "deep" / "run"
    found = measured_speed(TINY, out, 10.0)
    assert len(found.step_s) == 3
    assert all(0 < value < 60 for value in dataclasses.astuple(found)[1:] + found.step_s)
    assert list(tmp_path.iterdir()) == []


def test_the_loader_is_timed_alone():
    trainer = Trainer(ONE_STAGE, HandModel.load())
    with training_stream(ONE_STAGE, 0) as stream:
        alone_s = _loading_s(trainer, stream, 0.1)
        # Those that lay ready, and as many again at least.
        assert stream.step >= 2 * stream.depth
    assert 0 < alone_s < 10


def test_the_command_measures_scales_and_resumes_exactly(tmp_path, monkeypatch):
    """The timetable is in the folder: an interrupted run takes the path of an unbroken one."""
    slow = dataclasses.replace(PRESET_SPEED, step_s=(4.0,))
    monkeypatch.setattr("train.time_budget.measured_speed", lambda *_: slow)
    monkeypatch.setitem(command.PRESETS, "smoke", ONE_STAGE)
    first, second = tmp_path / "first", tmp_path / "second"
    began = ["fit", "--preset", "smoke", "--minutes", "1.3"]
    assert main([*began, "--out", str(first), "--until", "6"]) == 0
    _, config = RunFolder.resume(first)
    assert FEWEST_STEPS <= min(counts(config)) <= FEWEST_STEPS + 5
    assert main(["fit", "--resume", "--out", str(first)]) == 0
    # The same timetable without measuring.
    assert main(["fit", "--config", str(first / "config.json"), "--out", str(second)]) == 0
    ends = [read_checkpoint(RunFolder(path).checkpoint)["trainer"] for path in (first, second)]
    assert ends[0]["config"] == ends[1]["config"]
    for name, value in ends[0]["networks"].items():
        assert (value == ends[1]["networks"][name]).all(), name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--resume", "--minutes", "3"], "keeps its timetable"),
        (["--minutes", "3"], "holds a run already"),
    ],
)
def test_mistakes_cost_no_time(tmp_path: Path, capsys, monkeypatch, options, said):
    monkeypatch.setattr("train.time_budget.measured_speed", lambda *_: 1 / 0)
    RunFolder.start(tmp_path / "run", TINY)
    assert main(["fit", "--out", str(tmp_path / "run"), *options]) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_two_processes_choose_the_same(tmp_path):
    from tests.train.test_distributed import pair

    program = (
        "import dataclasses, sys\n"
        "from pathlib import Path\n"
        "from rich.console import Console\n"
        "from train.distributed import process_group\n"
        "from train.time_budget import fitted\n"
        "from tests.train.test_time_budget import ONE_STAGE\n"
        "import time\n"
        "config = dataclasses.replace(ONE_STAGE, batch=4, shared_normalisation=False)\n"
        "import train.time_budget as budget\n"
        "budget._LONGEST_WINDOW_S = 0.05\n"
        "with process_group('cpu') as processes:\n"
        "    began = time.monotonic() - 5 * processes.rank\n"
        "    chosen = fitted(config, 60.0, began_s=began, out=Path(sys.argv[1]), console=Console())\n"
        "    print('CHOSEN', chosen.to_json().replace(chr(10), ' '))\n"
    )
    done = pair(program, str(tmp_path))
    assert [process.returncode for process in done] == [0, 0], done[0].stderr + done[1].stderr
    first, second = (process.stdout.partition("CHOSEN ")[2].strip() for process in done)
    assert first == second != ""
    assert "images/s" in done[0].stdout
    assert "images/s" not in done[1].stdout
