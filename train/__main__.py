"""Training on the command line: `python -m train fit --preset smoke --out runs/smoke`."""

import contextlib
import logging
import os
import sys
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
from train.config import TrainConfig
from train.distributed import PeerEndedError, PeerRefusedError, process_group
from train.errors import TrainingError
from train.loop import fit
from train.presets import PRESETS, Preset
from train.run_folder import RunFolder


@dataclass(frozen=True)
class Fit:
    """Train a network. Every field of the preset may follow, e.g. --batch 16 --network.input-px 160."""

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


ELSEWHERE: Final = {
    "labels": ("train.labels", "labels"),
    "import-labels": ("train.labels", "import_labels"),
    "evaluate": ("train.evaluate", "evaluate"),
    "submit": ("train.submit", "submit"),
    "personalise": ("train.personalise", "personalise"),
    "ablation": ("train.ablation", "ablation"),
}
"""Commands that are a function of another module, imported when it is asked for."""


def run_fit(arguments: list[str], console: Console) -> int:
    """Read the command line, train, and return the exit status."""
    program = "python -m train fit"
    if {"-h", "--help"} & set(arguments):
        with contextlib.suppress(SystemExit):
            tyro.cli(Fit, prog=program, args=["--help"])
        tyro.cli(TrainConfig, prog=program, args=["--help"], default=PRESETS["cpu"])
    chosen, fields = tyro.cli(Fit, prog=program, args=arguments, return_unknown_args=True)
    if chosen.resume and fields:
        raise TrainingError(f"a resumed run keeps its configuration; leave out {' '.join(fields)}")
    if chosen.resume:
        folder, config = RunFolder.resume(chosen.out)
    else:
        config = tyro.cli(TrainConfig, prog=program, args=fields, default=_start(chosen))
        folder = RunFolder(chosen.out)
    with process_group(config.device) as processes:
        if not chosen.resume:
            processes.first_does(lambda: RunFolder.start(chosen.out, config))
        result = fit(folder, config, resume=chosen.resume, until=chosen.until, console=console)
    if processes.first:
        console.print(f"step {result.step}, best {config.validation.best} {result.best:.2f}")
    return 0


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
