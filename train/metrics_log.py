"""A run's numbers and pictures: one JSON line a step, and TensorBoard where it is installed."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from train.run_folder import RunFolder

_log = logging.getLogger(__name__)


class MetricsLog:
    """Where numbers go, by step; what an interrupted run wrote beyond `step` is taken back.

    Args:
        folder: of the run.
        step: at which the run starts or goes on.
    """

    def __init__(self, folder: RunFolder, step: int) -> None:
        self._file = folder.metrics
        _forget_after(self._file, step)
        self._stream = self._file.open("a", encoding="utf-8")
        self._writer = _tensorboard(folder, step)

    def numbers(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Write named numbers of one group, `train` or `validation`."""
        self._stream.write(json.dumps({"step": step, "group": group, **values}) + "\n")
        self._stream.flush()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def picture(self, name: str, step: int, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        """Show a picture in TensorBoard."""
        if self._writer is not None:
            self._writer.add_image(name, rgb, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self._stream.close()
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_metrics(file: Path, group: str) -> list[dict[str, float | int]]:
    """Return a group's numbers in the order of their steps, each with its `step`."""
    rows = (json.loads(line) for line in file.read_text("utf-8").splitlines())
    return [{k: v for k, v in row.items() if k != "group"} for row in rows if row["group"] == group]


def _forget_after(file: Path, step: int) -> None:
    if not file.exists():
        return
    # The last line of a killed run may be half a line, which belongs to a later step.
    lines = [line for line in file.read_text("utf-8").splitlines() if line.endswith("}")]
    kept = [f"{line}\n" for line in lines if json.loads(line)["step"] <= step]
    file.write_text("".join(kept), "utf-8")


def _tensorboard(folder: RunFolder, step: int) -> Any:
    """Return a writer; None, with a word in the log, where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        _log.warning("no TensorBoard, so no pictures: install it with `pip install tensorboard`")
        return None
    return SummaryWriter(str(folder.events), purge_step=step)
