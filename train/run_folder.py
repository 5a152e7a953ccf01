"""A run's folder: what was run, where and from which source, all written before the first step.

config.json         the run's configuration, read again on resuming
environment.json    program versions, machine and git commit
source.diff         what was changed since that commit, if anything was
metrics.jsonl       numbers by step; the same go to `events/` for TensorBoard
checkpoint.pt       where a resumed run goes on
best.safetensors    the network with the lowest validation error, `network.safetensors` the last
"""

import json
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import torch

from tracker.whole_file import output_error
from train.config import TrainConfig
from train.errors import TrainingError

_PACKAGES: Final = ("torch", "numpy", "numba", "opencv-contrib-python", "safetensors", "warp-lang")
_SOURCE: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @classmethod
    def start(cls, path: Path, config: TrainConfig) -> "RunFolder":
        """Make the folder and write what the run is.

        Raises:
            TrainingError: a run is there already.
            OutputError: the folder cannot be written.
        """
        folder = cls(path)
        folder.check_new()
        try:
            path.mkdir(parents=True, exist_ok=True)
            environment = json.dumps(_environment(), indent=2) + "\n"
            (path / "environment.json").write_text(environment, "utf-8")
            if changes := _git("diff", "HEAD"):
                (path / "source.diff").write_text(f"{changes}\n", "utf-8")
            # Last, because a folder with it counts as a run.
            folder.config.write_text(config.to_json(), "utf-8")
        except OSError as problem:
            raise output_error(path, problem) from problem
        return folder

    def check_new(self) -> None:
        """Refuse a folder in which a run was started before.

        Raises:
            TrainingError: a run is there already.
        """
        if self.config.exists():
            raise TrainingError(
                f"{self.path} holds a run already; resume it with --resume, or choose another --out"
            )

    @classmethod
    def resume(cls, path: Path) -> tuple["RunFolder", TrainConfig]:
        """Return a run that was started before, and its configuration.

        Raises:
            TrainingError: there is no run, or its configuration is damaged.
        """
        folder = cls(path)
        try:
            return folder, TrainConfig.from_json(folder.config.read_text("utf-8"))
        except FileNotFoundError as problem:
            raise TrainingError(
                f"{path} holds no run to resume; leave out --resume to start one"
            ) from problem
        except (OSError, ValueError) as problem:
            raise TrainingError(
                f"{folder.config} cannot be read: {problem}; repair it, or start a new run"
            ) from problem

    @property
    def config(self) -> Path:
        """The run's configuration."""
        return self.path / "config.json"

    @property
    def checkpoint(self) -> Path:
        """Where a resumed run goes on."""
        return self.path / "checkpoint.pt"

    @property
    def metrics(self) -> Path:
        """Numbers by step, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """Folder for TensorBoard."""
        return self.path / "events"

    @property
    def best(self) -> Path:
        """The network with the lowest validation error so far."""
        return self.path / "best.safetensors"

    @property
    def network(self) -> Path:
        """The network at the end."""
        return self.path / "network.safetensors"

    def broken_batch(self, step: int, rank: int = 0) -> Path:
        """Where a process's batch goes on which the loss was not finite."""
        process = f"_process{rank}" if rank else ""
        return self.path / f"broken_batch_{step:07d}{process}.pt"


def _environment() -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed": bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if cuda else None,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Return what git says of the source; None where it is no checkout, or git is missing."""
    command = ["git", "-C", str(_SOURCE), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
