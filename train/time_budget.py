"""Fit a run into minutes: measure what each part of it takes here, and scale all stages alike.

A schedule that is cut off never reaches its small learning rates, where most of the accuracy is
gained; one that is scaled does. So the time is settled before the first step, and what was settled
is an ordinary configuration: a resumed run follows it exactly, however long it takes by then.

What is measured runs on a trainer that is thrown away, with batches of the real stream.
"""

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from rich.console import Console

from tracker.geometry.hand_model import HandModel
from train.batch import TrainBatch
from train.checkpoints import write_checkpoint
from train.config import TrainConfig
from train.datasets.mixing import Stream, ordered_batches
from train.distributed import PeerRefusedError, this_process
from train.errors import TrainingError
from train.panels import panel
from train.predictor import pick_device
from train.sources import training_stream, validation_set
from train.stages import Stage
from train.trainer import Trainer
from train.validate import validate

RESERVE: Final = 0.05
"""Part of the time kept back: a machine is rarely as quick for long as it is for seconds."""
_ENDING_S: Final = 3.0
"""For starting the program, exporting the network and closing the log."""
FEWEST_STEPS: Final = 10
"""A stage with fewer steps teaches nothing."""
_WINDOW: Final = 0.01
"""Part of the time for which each stage is timed."""
_LONGEST_WINDOW_S: Final = 6.0
_FEWEST_TIMED: Final = 4
_LONGEST_WARMUP: Final = 0.1
"""Of a stage: beyond this, its warm-up is shortened."""
_LONGEST_MEMORY: Final = 0.08
"""Of a run: beyond this, the running mean of the weights forgets sooner."""
_ENDLESS_EPOCHS: Final = 1e6


@dataclass(frozen=True)
class Speed:
    """What the parts of a run take on this machine, seconds."""

    step_s: tuple[float, ...]
    """A step of each stage, waiting for its batch included."""
    validation_s: float
    picture_s: float
    checkpoint_s: float
    start_s: float
    """From the start of the loop to its first batch."""


def fitted(
    config: TrainConfig, minutes: float, *, began_s: float, out: Path, console: Console
) -> TrainConfig:
    """Return the run with all stages scaled by one factor, so that it ends in time.

    All processes of a run call this, and get the same; the first one says what was found.

    Args:
        config: the run.
        minutes: from its start to the exported network.
        began_s: `time.monotonic` when it was started.
        out: folder of the run, on whose disk checkpoints are timed; it need not exist.
        console: where one line is said.

    Raises:
        TrainingError: the time is too short for anything.
        HandloomError: the run could not start.
    """
    if not 0 < minutes < 60 * 24 * 365:
        raise TrainingError(f"a run can take minutes above 0 and up to a year, found {minutes}")
    processes = this_process()
    speed = measured_speed(config, out, 60 * minutes)
    (spent_s,) = processes.of_first([time.monotonic() - began_s])
    chosen = scaled_to(config, speed, (1 - RESERVE) * (60 * minutes - spent_s) - _ENDING_S)
    if not processes.first:
        if chosen is None:
            raise PeerRefusedError("the time is too short for the run")
        return chosen
    if chosen is None:
        raise _too_short(config, speed, minutes, spent_s)
    taken_s = spent_s + run_s(chosen, speed) + _ENDING_S
    steps = " + ".join(str(count) for count in _stage_steps(chosen))
    factor = chosen.stages[0].epochs / config.stages[0].epochs
    console.print(
        f"measured {_words(config, speed)}; chosen {steps} steps, {factor:.3g} times those "
        f"configured: about {taken_s / 60:.1f} of {minutes:g} minutes",
        soft_wrap=True,
    )
    return chosen


def scaled_to(config: TrainConfig, speed: Speed, seconds: float) -> TrainConfig | None:
    """Return the longest run that ends within some seconds; None where even a tiny one does not."""
    least = _least(config)
    if run_s(scaled(config, least), speed) > seconds:
        return None
    low, high = least, 2 * least
    while run_s(scaled(config, high), speed) <= seconds:
        low, high = high, 2 * high
    # Thirty halvings leave a billionth, less than a step.
    for _ in range(30):
        middle = (low + high) / 2
        fits = run_s(scaled(config, middle), speed) <= seconds
        low, high = (middle, high) if fits else (low, middle)
    return scaled(config, low)


def _least(config: TrainConfig) -> float:
    return FEWEST_STEPS / min(_stage_steps(config))


def scaled(config: TrainConfig, factor: float) -> TrainConfig:
    """Return the run with every stage, and the memory of what is too long for it, scaled."""
    epoch_steps = config.epoch_samples // config.batch
    stages = tuple(_scaled_stage(stage, factor, epoch_steps) for stage in config.stages)
    run = dataclasses.replace(config, stages=stages)
    steps = sum(
        count for stage, count in zip(run.stages, _stage_steps(run), strict=True) if stage.hand
    )
    forgetful = max(0.0, 1 - 1 / max(_LONGEST_MEMORY * steps, 1.0))
    return dataclasses.replace(run, ema=min(config.ema, forgetful))


def _scaled_stage(stage: Stage, factor: float, epoch_steps: int) -> Stage:
    steps = max(1, round(factor * stage.epochs * epoch_steps))
    return dataclasses.replace(
        stage,
        epochs=factor * stage.epochs,
        decay_epochs=factor * stage.decay_epochs,
        warmup_steps=min(stage.warmup_steps, int(_LONGEST_WARMUP * steps)),
    )


def run_s(config: TrainConfig, speed: Speed) -> float:
    """Return how long a whole run takes, with all it measures, draws and saves, seconds."""
    every, ends, ending_s = config.every, config.timetable().ends, 0.0
    total = speed.start_s
    for stage, first, end, step_s in zip(
        config.stages, (0, *ends), ends, speed.step_s, strict=False
    ):
        ending_s = speed.picture_s + speed.checkpoint_s + speed.validation_s * stage.hand
        total += (end - first) * step_s
        total += _times(every.pictures, first, end) * speed.picture_s
        total += _times(every.checkpoint, first, end) * speed.checkpoint_s
        total += _times(every.validate, first, end) * speed.validation_s * stage.hand
    return total + ending_s


def _times(interval: int, first: int, end: int) -> int:
    """Return how many multiples of an interval lie behind `first`, up to `end`."""
    return end // interval - first // interval


def measured_speed(config: TrainConfig, out: Path, seconds: float) -> Speed:
    """Time the parts of a run; the same numbers in all processes.

    Args:
        config: the run.
        out: folder of the run.
        seconds: the whole run may take; more of them allow for longer looks.
    """
    found = this_process().of_first(_measured(config, out, seconds))
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # the trainer that was measured is gone by now
    return Speed(tuple(found[:-4]), *found[-4:])


def _measured(config: TrainConfig, out: Path, seconds: float) -> list[float]:
    """Return the numbers of `Speed` in their order; only the first process has the last ones."""
    then = time.perf_counter()
    endless = tuple(dataclasses.replace(s, epochs=_ENDLESS_EPOCHS) for s in config.stages)
    device = pick_device(config.device)
    trainer = Trainer(
        dataclasses.replace(config, stages=endless), HandModel.load(config.hand_model), device
    )
    window_s = min(_WINDOW * seconds, _LONGEST_WINDOW_S)
    with training_stream(config, 0) as stream:
        batch = next(stream).to(device)
        start_s = time.perf_counter() - then
        steps_s = [_step_s(trainer, stream, i, window_s) for i in range(len(config.stages))]
        if device.type == "cuda":
            # Batches that lay ready hide a slow loader; on a processor the two cannot be told apart.
            least_s = _loading_s(trainer, stream, window_s)
            steps_s = [max(step_s, least_s) for step_s in steps_s]
    others_s = trainer.processes.first_does(lambda: _others_s(trainer, batch, out, window_s))
    return [*steps_s, *(others_s or (0.0, 0.0, 0.0)), start_s]


def _step_s(trainer: Trainer, stream: Stream, stage: int, window_s: float) -> float:
    """Return what a step of a stage takes once everything is compiled and no batch is left over."""
    trainer.step = trainer.timetable.ends[stage - 1] if stage else 0
    # Batches that were made ahead would make the loader look quicker than it is.
    for _ in range(stream.depth + 3):
        trainer.advance(next(stream).to(trainer.device))
    return _each_s(
        trainer,
        lambda: trainer.advance(next(stream).to(trainer.device)),
        (_FEWEST_TIMED, window_s),
    )


def _loading_s(trainer: Trainer, stream: Stream, window_s: float) -> float:
    """Return how often a batch comes where nobody trains; the steps cannot be quicker for long."""
    for _ in range(stream.depth):
        next(stream)
    return _each_s(trainer, lambda: next(stream), (stream.depth, window_s))


def _each_s(trainer: Trainer, once: Callable[[], object], least: tuple[int, float]) -> float:
    """Return what a call takes, from so many calls and seconds at least; all processes stop together."""
    done, then, enough = 0, _now(trainer), False
    while not trainer.processes.any(enough):
        once()
        done += 1
        enough = done >= least[0] and time.perf_counter() - then >= least[1]
    return (_now(trainer) - then) / done


def _others_s(trainer: Trainer, batch: TrainBatch, out: Path, window_s: float) -> list[float]:
    """Return what a validation, a sheet of pictures and a checkpoint take."""
    network = trainer.best_hand_network
    # The first of each compiles and fills caches.
    panel(trainer.objective, network, batch)
    then = _now(trainer)
    panel(trainer.objective, network, batch)
    picture_s = _now(trainer) - then
    folder = next(place for place in (out, *out.absolute().parents) if place.is_dir())
    with tempfile.TemporaryDirectory(prefix=".handloom-", dir=folder) as scratch:
        then = _now(trainer)
        write_checkpoint(Path(scratch) / "checkpoint.pt", {"trainer": trainer.state()})
        checkpoint_s = _now(trainer) - then
    return [_validation_s(trainer, window_s), picture_s, checkpoint_s]


def _validation_s(trainer: Trainer, window_s: float) -> float:
    """Return what a whole validation takes, from a part of it."""
    config, network, held_out = (
        trainer.config,
        trainer.best_hand_network,
        validation_set(trainer.config),
    )
    count, side = config.validation.batch, config.network.input_px
    validate(trainer.objective, network, [next(ordered_batches(held_out, batch=count, hw_px=side))])
    then = _now(trainer)
    part = _Part(ordered_batches(held_out, batch=count, hw_px=side), then + window_s)
    validate(trainer.objective, network, part)
    return (_now(trainer) - then) * len(held_out) / part.count


class _Part:
    """Batches until a time is over, one at least."""

    def __init__(self, batches: Iterator[TrainBatch], until_s: float) -> None:
        self._batches, self._until_s = batches, until_s
        self.count = 0
        """Samples handed out."""

    def __iter__(self) -> Iterator[TrainBatch]:
        for batch in self._batches:
            self.count += len(batch)
            yield batch
            if time.perf_counter() > self._until_s:
                return


def _now(trainer: Trainer) -> float:
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return time.perf_counter()


def _stage_steps(config: TrainConfig) -> list[int]:
    ends = config.timetable().ends
    return [end - first for first, end in zip((0, *ends), ends, strict=False)]


def _too_short(config: TrainConfig, speed: Speed, minutes: float, spent_s: float) -> TrainingError:
    least_s = run_s(scaled(config, _least(config)), speed) + _ENDING_S
    # A little more than needed, as the next measurement differs.
    needed = math.ceil((spent_s + least_s / (1 - RESERVE)) / 6 + 1) / 10
    return TrainingError(
        f"{minutes:g} minutes are too short for {FEWEST_STEPS} steps of each stage here (measured "
        f"{_words(config, speed)}); give --minutes {needed:g}, a smaller --batch, or fewer samples "
        "in --validation.data"
    )


def _words(config: TrainConfig, speed: Speed) -> str:
    stages = ", ".join(
        f"{stage.name} {config.batch / step_s:.0f}"
        for stage, step_s in zip(config.stages, speed.step_s, strict=True)
    )
    return (
        f"{stages} images/s, a validation {speed.validation_s:.1f} s, a checkpoint "
        f"{speed.checkpoint_s:.2f} s"
    )
