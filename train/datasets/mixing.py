"""Batches without end from one data set or a mixture, the same ones whenever they are asked for.

What lies at position g of the stream follows from (seed, g) alone: each data set is walked through
in a new order in every epoch, and a mixture decides at each position whose turn it is. So a run that
resumes at a step, or shares its batches among processes, sees exactly what one long run would see.
"""

import logging
import math
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
from jaxtyping import Int

from train.augment import Augmentation, TrainSample, crop_sample
from train.batch import TrainBatch, collate
from train.datasets.sample import Dataset, DatasetError, SampleError

MOST_BROKEN: Final = 0.05
"""Part of the samples that may be broken before the stream stops."""
_MOST_ATTEMPTS: Final = 50
_SHUFFLED: Final = 2**31
"""Data sets longer than this are endless and made up by index; they need no shuffling."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamConfig:
    """How samples become batches."""

    hw_px: int = 224
    """Side of the crops."""
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    """None cuts every region as it is."""
    run_length: int = 1
    """How many neighbours of a data set follow each other in a batch: frames of one clip."""
    rank: int = 0
    """Which of `world` processes this is; they share each global batch of `world * batch`."""
    world: int = 1
    in_bytes: bool = False
    """Leave pixels in bytes until the batch is moved to its device, for a quarter of the way."""

    def __post_init__(self) -> None:
        if not (self.hw_px >= 32 and self.run_length >= 1 and 0 <= self.rank < self.world):
            raise ValueError(
                "a stream needs hw_px >= 32, run_length >= 1 and 0 <= rank < world, found "
                f"{self.hw_px}, {self.run_length}, {self.rank}, {self.world}"
            )


_Stream = TypeVar("_Stream", bound="Stream")


class Stream(Iterator[TrainBatch]):
    """Batches in a fixed order, made ahead of time by whatever is quickest; closed at the end."""

    step: int
    """Number of the next batch."""
    depth: int
    """How many batches may lie ready or be in the making."""

    @abstractmethod
    def close(self) -> None:
        """Stop what makes batches."""

    def __enter__(self: _Stream) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BatchStream(Stream):
    """Batches made ahead of time by threads.

    Broken samples are left out: each is named in the log and in `broken`, and the next sample of
    the order stands in its place.

    Example:
        >>> from train.datasets.synthetic import SyntheticConfig, SyntheticHands
        >>> hands = SyntheticHands(SyntheticConfig(size_px=64))
        >>> with BatchStream(hands, batch=2, config=StreamConfig(hw_px=64)) as stream:
        ...     next(stream).rgb.shape
        torch.Size([2, 3, 64, 64])

    Args:
        datasets: one data set, or several.
        weights: how often each is drawn from, relative to the others; equally if None.
        batch: samples in the batch of this process.
        seed: of order and augmentation.
        start_step: number of the first batch.
        workers: threads that make batches; 0 makes each when it is asked for.
        config: the rest.
    """

    def __init__(
        self,
        datasets: Dataset | Sequence[Dataset],
        weights: Sequence[float] | None = None,
        *,
        batch: int,
        seed: int = 0,
        start_step: int = 0,
        workers: int = 1,
        config: StreamConfig | None = None,
    ) -> None:
        self.config = config = config or StreamConfig()
        self._sets = [datasets] if isinstance(datasets, Dataset) else list(datasets)
        self._edges = _edges(self._sets, weights)
        if batch < 1 or batch % config.run_length or start_step < 0 or workers < 0:
            raise ValueError(
                "a stream needs batch >= 1, a multiple of run_length, start_step >= 0 and "
                f"workers >= 0, found {batch}, {config.run_length}, {start_step}, {workers}"
            )
        self.batch, self.seed, self.step = batch, seed, start_step
        self.broken: dict[str, str] = {}
        """What is wrong with each broken sample met so far, by data set and number."""
        self.drawn = 0
        """Samples asked for so far, broken ones included."""
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(workers, "batch") if workers else None
        self._ahead: deque[Future[TrainBatch]] = deque()
        self.depth = workers + 1

    def __next__(self) -> TrainBatch:
        """Return the batch of `step` and move on.

        Raises:
            DatasetError: more than 5 % of the samples are broken.
        """
        if self._pool is None:
            made = self.at(self.step)
        else:
            while len(self._ahead) < self.depth:
                self._ahead.append(self._pool.submit(self.at, self.step + len(self._ahead)))
            made = self._ahead.popleft().result()
        self.step += 1
        return made

    def close(self) -> None:
        """Stop the threads."""
        self._ahead.clear()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def at(self, step: int) -> TrainBatch:
        """Make the batch of any step.

        Raises:
            DatasetError: more than 5 % of the samples are broken.
        """
        first = (step * self.config.world + self.config.rank) * self.batch
        samples = [self._sample(first + slot) for slot in range(self.batch)]
        return collate(samples, in_bytes=self.config.in_bytes)

    def _sample(self, position: int) -> TrainSample:
        run, within = divmod(position, self.config.run_length)
        for attempt in range(_MOST_ATTEMPTS):
            rng = np.random.default_rng([self.seed, 1, run, attempt])
            chosen = int(np.searchsorted(self._edges, rng.random(), "right"))
            dataset = self._sets[chosen]
            # A second attempt goes on half a lap away, where its neighbours do not follow.
            index = self._index(chosen, run + attempt * (len(dataset) // 2 + 1), within)
            try:
                made = self._cut(dataset, index, position, attempt)
            except SampleError as problem:
                self._note(dataset, index, problem)
            else:
                self._note(dataset, index, None)
                return made
        raise DatasetError(
            f"{_MOST_ATTEMPTS} samples one after the other are broken, the last because "
            f"{next(reversed(self.broken.values()))}; check the data set"
        )

    def _cut(self, dataset: Dataset, index: int, position: int, attempt: int) -> TrainSample:
        augmentation = self.config.augmentation
        rng = np.random.default_rng([self.seed, 2, position, attempt])
        drawn = None if augmentation is None else rng
        return crop_sample(dataset[index], self.config.hw_px, drawn, augmentation)

    def _index(self, chosen: int, run: int, within: int) -> int:
        count = len(self._sets[chosen])
        if count > _SHUFFLED:
            return (run * self.config.run_length + within) % count
        runs = max(count // self.config.run_length, 1)
        epoch, place = divmod(run, runs)
        start = int(_order(self.seed, chosen, epoch, runs)[place]) * self.config.run_length
        return min(start + within, count - 1)

    def _note(self, dataset: Dataset, index: int, problem: SampleError | None) -> None:
        """Count a sample; name it if it is broken, and stop where too many are."""
        with self._lock:
            self.drawn += 1
            key = f"{dataset.name}:{index}"
            if problem is None or key in self.broken:
                return
            self.broken[key] = str(problem)
            _log.warning("broken sample left out: %s", problem)
            if _too_many(len(self.broken), self.drawn, sum(len(d) for d in self._sets)):
                raise DatasetError(
                    f"{len(self.broken)} of {self.drawn} samples are broken, more than "
                    f"{MOST_BROKEN:.0%}; the last: {problem}. Repair the data set or take them out"
                )


def ordered_batches(
    dataset: Dataset, *, batch: int, hw_px: int = 224, broken: dict[str, str] | None = None
) -> Iterator[TrainBatch]:
    """Yield every sample once, in order and without augmentation; the last batch may be smaller.

    Args:
        dataset: a finite one.
        batch: samples in a batch.
        hw_px: side of the crops.
        broken: receives what is wrong with the samples left out; without it they raise.

    Raises:
        SampleError: a sample is broken and `broken` is None.
    """
    made: list[TrainSample] = []
    for index in range(len(dataset)):
        try:
            made.append(crop_sample(dataset[index], hw_px, None))
        except SampleError as problem:
            if broken is None:
                raise
            broken[f"{dataset.name}:{index}"] = str(problem)
        if len(made) == batch:
            yield collate(made)
            made = []
    if made:
        yield collate(made)


def _edges(sets: Sequence[Dataset], weights: Sequence[float] | None) -> np.ndarray:
    """Return where in [0, 1) the share of each data set ends."""
    shares = np.ones(len(sets)) if weights is None else np.asarray(weights, np.float64)
    if not sets or len(shares) != len(sets) or shares.min() < 0 or shares.sum() <= 0:
        raise ValueError(
            f"a stream needs data sets and as many weights, none negative, found {len(sets)} and {shares}"
        )
    if not all(len(dataset) for dataset, share in zip(sets, shares, strict=True) if share):
        raise DatasetError("a data set without samples cannot be drawn from; leave it out")
    return np.cumsum(shares)[:-1] / shares.sum()


@lru_cache(8)
def _order(seed: int, chosen: int, epoch: int, count: int) -> Int[np.ndarray, " n"]:
    return np.random.default_rng([seed, 3, chosen, epoch]).permutation(count)


def _too_many(broken: int, drawn: int, count: int) -> bool:
    """Tell whether more than 5 % are broken: of all samples, or of those drawn beyond bad luck."""
    luck = 3 * math.sqrt(drawn * MOST_BROKEN) + 2
    return broken > MOST_BROKEN * count or broken > MOST_BROKEN * drawn + luck
