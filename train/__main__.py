"""Training on the command line: `python -m train fit --preset smoke --out runs/smoke`."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import tyro
from rich.console import Console
from rich.logging import RichHandler

from tracker.errors import HandloomError
from tracker.geometry.hand_model import HandModel
from train.config import TrainConfig
from train.distributed import PeerEndedError, PeerRefusedError, process_group, this_process
from train.errors import TrainingError
from train.export import check_size, export
from train.loop import fit
from train.presets import PRESETS, Preset
from train.run_folder import RunFolder
from train.time_budget import fitted


@dataclass(frozen=True)
class Fit:
    """Train a network. Every field of the preset may follow, e.g. --batch 16 --network.input-px 160.

    On a GPU, from pictures that `pack` made small, in 25 minutes: --preset h200 --minutes 25
    --out runs/h200 --export network.safetensors --data images:small,lifted=yes synthetic --shares 0.4 0.6
    """

    out: Path
    """Folder of the run; it must be new, unless the run is resumed."""
    preset: Preset = "cpu"
    """Configuration to start from."""
    config: Path | None = None
    """Configuration to start from instead: the config.json of another run."""
    resume: bool = False
    """Go on with the run in the folder, under its own configuration."""
    until: int | None = None
    """Stop after this step; the run can be resumed."""
    minutes: float | None = None
    """Scale all stages by one factor so that the whole run ends in time on this machine, whose
    speed is measured first."""
    export: Path | None = None
    """At the end, also write the network to this file in half precision, at most 16 MiB."""


ELSEWHERE: Final = {
    "labels": ("train.labels", "labels"),
    "import-labels": ("train.labels", "import_labels"),
    "lift": ("train.lift", "lift"),
    "evaluate": ("train.evaluate", "evaluate"),
    "submit": ("train.submit", "submit"),
    "personalise": ("train.personalise", "personalise"),
    "export": ("train.export", "export"),
    "pack": ("train.pack", "pack"),
    "ablation": ("train.ablation", "ablation"),
}
"""Commands that are a function of another module, imported when it is asked for."""


def run_fit(arguments: list[str], console: Console) -> int:
    """Read the command line, train, and return the exit status."""
    program, began_s = "python -m train fit", time.monotonic()
    if {"-h", "--help"} & set(arguments):
        with contextlib.suppress(SystemExit):
            tyro.cli(Fit, prog=program, args=["--help"])
        tyro.cli(TrainConfig, prog=program, args=["--help"], default=PRESETS["cpu"])
    chosen, fields = tyro.cli(Fit, prog=program, args=arguments, return_unknown_args=True)
    if chosen.resume and fields:
        raise TrainingError(f"a resumed run keeps its configuration; leave out {' '.join(fields)}")
    if chosen.resume and chosen.minutes is not None:
        raise TrainingError("a resumed run keeps its timetable; leave out --minutes")
    if chosen.resume:
        folder, config = RunFolder.resume(chosen.out)
    else:
        config = tyro.cli(TrainConfig, prog=program, args=fields, default=_start(chosen))
        folder = RunFolder(chosen.out)
    with process_group(config.device) as processes:
        config = _prepared(chosen, folder, config, began_s, console)
        result = fit(folder, config, resume=chosen.resume, until=chosen.until, console=console)
    if processes.first:
        console.print(f"step {result.step}, best {config.validation.best} {result.best:.2f}")
        if chosen.export is not None and result.finished:
            export(chosen.out, out=chosen.export, hand_model=config.hand_model)
    return 0


def _prepared(
    chosen: Fit, folder: RunFolder, config: TrainConfig, began_s: float, console: Console
) -> TrainConfig:
    """Refuse early what cannot end well, settle the time, and start the folder of a new run."""
    processes = this_process()
    if chosen.export is not None:
        check_size(config.network, HandModel.load(config.hand_model))
    if chosen.resume:
        return config
    processes.first_does(folder.check_new)
    if chosen.minutes is not None:
        config = fitted(config, chosen.minutes, began_s=began_s, out=folder.path, console=console)
    processes.first_does(lambda: RunFolder.start(folder.path, config))
    return config


def _start(chosen: Fit) -> TrainConfig:
    if chosen.config is None:
        return PRESETS[chosen.preset]
    try:
        return TrainConfig.from_json(chosen.config.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise TrainingError(
            f"{chosen.config} cannot be used: {problem}; give the config.json of a run"
        ) from problem


def _command(name: str) -> Callable[[list[str], Console], int]:
    """Return a command that is a function of another module."""
    module, function = ELSEWHERE[name]

    def run(arguments: list[str], console: Console) -> int:
        work = getattr(import_module(module), function)
        # What a command returns, if anything, is its exit status.
        return int(tyro.cli(work, prog=f"python -m train {name}", args=arguments) or 0)

    return run


def commands() -> dict[str, Callable[[list[str], Console], int]]:
    """Return what can be asked for by name."""
    others = {name: _command(name) for name, (module, _) in ELSEWHERE.items() if find_spec(module)}
    return {"fit": run_fit, **others}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors are one line, and exit with 2."""
    console = Console(stderr=True, highlight=False)
    handler = RichHandler(console=console, show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    known = commands()
    if name not in known:
        console.print(f"usage: python -m train {{{','.join(known)}}} --help", markup=False)
        return 0 if name in ("-h", "--help") else 2
    try:
        return known[name](rest, console)
    except PeerRefusedError:
        return 2  # the process that knows the reason has said it
    except PeerEndedError as problem:
        # One line is enough, however many processes are left.
        if int(os.environ.get("RANK", "0")) < 2:
            console.print(str(problem), markup=False, soft_wrap=True)
        return 2
    except (HandloomError, ValueError) as problem:
        console.print(str(problem), markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("interrupted; a run goes on from its last checkpoint with --resume")
        return 130


if __name__ == "__main__":
    sys.exit(main())
