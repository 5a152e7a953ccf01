"""The loop around the step: batches in, checkpoints, measurements and pictures out."""

import dataclasses
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import Tensor

from tracker.geometry.hand_model import HandModel
from tracker.stop_request import StopRequest
from tracker.vision.network_files import write_network
from train.batch import TrainBatch
from train.checkpoints import read_checkpoint, write_checkpoint
from train.config import TrainConfig
from train.datasets.mixing import ordered_batches
from train.distributed import this_process
from train.errors import NotFiniteError, TrainingError
from train.metrics_log import MetricsLog
from train.panels import panel
from train.predictor import pick_device
from train.run_folder import RunFolder
from train.sources import training_stream, validation_set
from train.trainer import Trainer
from train.validate import validate

COLLAPSED: Final = 0.2
"""Hands drawn smaller than this share of their pictures' hands have shrunk to a point."""


@dataclass(frozen=True)
class FitResult:
    """How a run ended."""

    step: int
    finished: bool
    """False where it was interrupted, or told to stop early: it can be resumed."""
    best: float
    """Lowest validation error so far, of the metric the run is judged by; infinite without any."""
    last: Mapping[str, float]
    """The last validation's numbers."""


def fit(
    folder: RunFolder,
    config: TrainConfig,
    *,
    resume: bool = False,
    until: int | None = None,
    console: Console | None = None,
) -> FitResult:
    """Train to the end of the last stage, or go on where the run stood.

    Within a `train.distributed.process_group`, all processes call this; the first one writes.

    Args:
        folder: of the run, started with this configuration.
        config: the run.
        resume: read the folder's checkpoint first.
        until: step to stop after, as if interrupted; the run can be resumed.
        console: where progress is shown; standard error if None.

    Raises:
        NotFiniteError: a loss or gradient is NaN or infinite; the batch was saved.
        HandloomError: the data or the folder cannot be used.
    """
    return _Run(folder, config, console or Console(stderr=True)).fit(resume, until)


class _Run:
    """What the loop holds on to."""

    def __init__(self, folder: RunFolder, config: TrainConfig, console: Console) -> None:
        self._folder, self._config = folder, config
        self._processes = this_process()
        self._console = console if self._processes.first else Console(quiet=True)
        self._trainer = Trainer(
            config, HandModel.load(config.hand_model), pick_device(config.device)
        )
        self._held_out = validation_set(config) if self._processes.first else None
        self._best = float("inf")
        self._last: dict[str, float] = {}

    def fit(self, resume: bool, until: int | None) -> FitResult:
        trainer = self._trainer
        if resume and self._folder.checkpoint.exists():
            state = read_checkpoint(self._folder.checkpoint)
            trainer.load_state(state["trainer"])
            self._best, self._last = state["best"], state["last"]
        end = min(trainer.timetable.steps, until or trainer.timetable.steps)
        with (
            training_stream(self._config, trainer.step) as stream,
            self._log() as log,
            self._progress() as progress,
            StopRequest() as stop,
        ):
            task = progress.add_task("", total=trainer.timetable.steps, completed=trainer.step)
            clock = _Clock(trainer.step)
            stopped = False
            while trainer.step < end and not stopped:
                batch = next(stream).to(trainer.device)
                numbers = self._advance(batch)
                if log is not None:
                    self._report(log, progress, task, numbers, clock)
                    self._keep(log, batch)
                # All processes leave after the same step, or one would wait for the others.
                stopped = self._processes.any(stop.made)
        if self._processes.first:
            self._leave(stopped=stopped)
        return FitResult(trainer.step, trainer.done, self._best, dict(self._last))

    def _leave(self, *, stopped: bool) -> None:
        """Write what the next call, or the user, goes on from."""
        trainer = self._trainer
        if trainer.step % self._config.every.checkpoint:
            self._save()
        if trainer.done:
            self._export(self._folder.network)
        elif stopped:
            self._console.print(f"stopped after step {trainer.step}; go on with --resume")

    def _log(self) -> AbstractContextManager[MetricsLog | None]:
        """Return where numbers go: the first process writes them, the others none."""
        if not self._processes.first:
            return nullcontext()
        return MetricsLog(self._folder, self._trainer.step)

    def _advance(self, batch: TrainBatch) -> dict[str, Tensor]:
        try:
            return self._trainer.advance(batch)[1]
        except NotFiniteError as problem:
            # Written by the process that has the broken samples, whichever it is.
            file = self._folder.broken_batch(self._trainer.step, self._processes.rank)
            write_checkpoint(file, {"batch": _plain(batch), "trainer": self._trainer.state()})
            raise NotFiniteError(
                f"{problem}; batch and weights are in {file}. Look at the batch, or go on from the "
                "checkpoint with a lower learning rate"
            ) from problem

    def _report(
        self,
        log: MetricsLog,
        progress: Progress,
        task: TaskID,
        numbers: Mapping[str, Tensor],
        clock: "_Clock",
    ) -> None:
        """Move the progress line; now and then write the numbers."""
        step = self._trainer.step
        progress.update(task, completed=step, description=self._trainer.stage.name)
        if step % self._config.every.log:
            return
        values = {name: float(value) for name, value in numbers.items()}
        values["images_per_s"] = clock.rate(step, self._config.batch)
        log.numbers("train", step, values)
        words = f"loss {values['loss']:.4f}  {values['images_per_s']:.0f} images/s"
        progress.update(task, description=f"{self._trainer.stage.name}  {words}")
        if values.get("spread", 1.0) < COLLAPSED:
            self._console.print(
                f"[yellow]step {step}: hands have shrunk to {values['spread']:.0%} of those in the "
                "pictures; lower the learning rate, or use the bounded parameterisation[/]"
            )

    def _keep(self, log: MetricsLog, batch: TrainBatch) -> None:
        """Measure, draw and save when it is time."""
        step, every, trainer = self._trainer.step, self._config.every, self._trainer
        if step % every.pictures == 0 or trainer.done:
            sheet = panel(trainer.objective, trainer.best_hand_network, batch)
            log.picture("hands", step, sheet)
        if trainer.stage.hand and (step % every.validate == 0 or trainer.done):
            self._validate(log)
        if step % every.checkpoint == 0:
            self._save()

    def _validate(self, log: MetricsLog) -> None:
        """Measure the network, and keep it if it is the best so far."""
        trainer, wanted = self._trainer, self._config.validation
        assert self._held_out is not None
        side = self._config.network.input_px
        batches = ordered_batches(self._held_out, batch=wanted.batch, hw_px=side)
        self._last = validate(trainer.objective, trainer.best_hand_network, batches)
        log.numbers("validation", trainer.step, self._last)
        if wanted.best not in self._last:
            raise TrainingError(
                f"the validation data {wanted.data!r} does not tell {wanted.best}, only "
                f"{', '.join(self._last)}; choose one with --validation.best"
            )
        words = "  ".join(f"{name} {value:.2f}" for name, value in self._last.items())
        self._console.print(f"step {trainer.step}: {words}")
        if self._last[wanted.best] < self._best:
            self._best = self._last[wanted.best]
            self._export(self._folder.best)

    def _save(self) -> None:
        state = {"trainer": self._trainer.state(), "best": self._best, "last": self._last}
        write_checkpoint(self._folder.checkpoint, state)

    def _export(self, path: Path) -> None:
        trainer = self._trainer
        about = {
            "step": str(trainer.step),
            "stage": trainer.stage.name,
            **{name: f"{value:.3f}" for name, value in self._last.items()},
        }
        write_network(path, trainer.best_hand_network, trainer.hand, about)

    def _progress(self) -> Progress:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
        )
        return Progress(*columns, console=self._console, transient=True)


class _Clock:
    """Samples per second since it was last asked."""

    def __init__(self, step: int) -> None:
        self._step, self._then = step, time.perf_counter()

    def rate(self, step: int, batch: int) -> float:
        now = time.perf_counter()
        rate = (step - self._step) * batch / (now - self._then)
        self._step, self._then = step, now
        return rate


def _plain(batch: TrainBatch) -> dict[str, Any]:
    return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
