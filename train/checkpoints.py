"""Files from which a run goes on exactly where it was; whole or absent, and read without running code."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from tracker.whole_file import whole_file
from train.errors import TrainingError

FORMAT: Final = "handloom-run-1"
_DAMAGE: Final = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values; what lay there before stays until the new file is whole.

    Raises:
        OutputError: the file cannot be written.
    """
    with whole_file(path) as partial, partial.open("wb") as stream:
        torch.save({"format": FORMAT, **state}, stream)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote, tensors on the processor.

    Raises:
        TrainingError: the file is missing, damaged, unsafe or of another format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["format"]
    except _DAMAGE as problem:
        reason = (str(problem) or type(problem).__name__).splitlines()[0]
        raise TrainingError(
            f"checkpoint {path} cannot be read: {reason}; resume a run that has one, or start anew"
        ) from problem
    if found != FORMAT:
        raise TrainingError(
            f"checkpoint {path} has format {found!r}, this program reads {FORMAT!r}"
        )
    return state


def random_state() -> dict[str, Any]:
    """Return the states of the generators that training draws from; batches come from their number."""
    # Of this process's GPU alone: asking the others would occupy memory there.
    cuda = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the generators where `random_state` found them."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and state["cuda"]:
        torch.cuda.set_rng_state(state["cuda"][0])
