"""The stream's batches made by processes: beside a GPU, Python's threads are too slow.

A made-up hand takes 1.4 ms, a third of it in Python itself, where one thread waits for the other:
two threads made 1.1 times the hands of one, two processes 1.9 times. Worse, the thread that feeds
the GPU would wait as well. Batches are the same ones, from whatever makes them.
"""

import contextlib
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.util import Finalize
from typing import Any, Final

import cv2
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from train.batch import TrainBatch
from train.datasets.mixing import BatchStream, Stream
from train.datasets.sample import DatasetError

_AHEAD: Final = 2
"""Batches that each process has ready or in the making."""


class ProcessStream(Stream):
    """Batches made ahead of time by processes.

    Args:
        open_stream: makes the stream in each process, from its pickle; it needs no workers, and
            leaves pixels in bytes.
        start_step: number of the first batch.
        workers: processes.
        pin: put batches into memory that GPUs read directly.
    """

    def __init__(
        self, open_stream: Callable[[], BatchStream], start_step: int, workers: int, *, pin: bool
    ) -> None:
        self.step = start_step
        self.depth = _AHEAD * workers
        self._loader = DataLoader(
            _Steps(open_stream),
            batch_size=None,
            sampler=_From(start_step),
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin,
            worker_init_fn=_start,
            # Neither CUDA nor threads survive a fork.
            multiprocessing_context="spawn",
            prefetch_factor=_AHEAD,
        )
        self._batches: Iterator[TrainBatch] | None = None

    def __next__(self) -> TrainBatch:
        """Return the batch of `step` and move on.

        Raises:
            DatasetError: more than 5 % of the samples are broken.
        """
        if self._batches is None:
            self._batches = iter(self._loader)
        try:
            made = next(self._batches)
        except DatasetError as problem:
            # PyTorch puts the worker's traceback before the message.
            reason = str(problem).strip().splitlines()[-1].partition("Error: ")[2]
            raise DatasetError(reason or str(problem)) from None
        self.step += 1
        return made

    def close(self) -> None:
        """Stop the processes."""
        batches, self._batches = self._batches, None
        end = getattr(batches, "_shutdown_workers", None)
        # One that ends while it is still starting fails, which matters to nobody any more.
        with contextlib.suppress(RuntimeError):
            if end is not None:
                end()


class _Steps(TorchDataset[TrainBatch]):
    """A stream whose batches are asked for by step; opened where it is used."""

    def __init__(self, open_stream: Callable[[], BatchStream]) -> None:
        self._open = open_stream
        self._stream: BatchStream | None = None

    def __getitem__(self, index: int) -> TrainBatch:
        if self._stream is None:
            self._stream = self._open()
        return self._stream.at(index)


class _From(Sampler[int]):
    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self._first)


def _as_it_is(batch: Any) -> Any:
    """Return the batch: it is whole already."""
    return batch


def _start(worker: int) -> None:
    """Prepare a process: no threads inside, and an interrupt is the main process's to handle."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Libraries whose own threads are still there would abort the process as it ends by itself.
    Finalize(None, os._exit, args=(0,), exitpriority=-1000)
