"""Label the pictures and videos of a folder with several processes, and pick up where it was left."""

import logging
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tracker.errors import HandloomError
from train.datasets.image_files import images_in, read_rgb
from train.datasets.keypoint_files import HandLabel, read_labels, write_labels
from train.datasets.sample import DatasetError
from train.datasets.video_frames import VIDEO_SUFFIXES, video_frames, videos_in
from train.label_hands import HandLabeller, LabelConfig

SAVE_EVERY_S: Final = 20.0
_CHUNK: Final = 8
_log = logging.getLogger(__name__)


@dataclass
class LabelReport:
    """What a run did."""

    labels: list[HandLabel] = field(default_factory=list)
    """All labels, those of earlier runs included, sorted by name."""
    labelled: int = 0
    """Pictures and videos looked at in this run."""
    resumed: int = 0
    """Pictures and videos that earlier runs had looked at."""
    broken: dict[str, str] = field(default_factory=dict)
    """What is wrong with the files that could not be read."""

    @property
    def without_hand(self) -> int:
        """Number of pictures that show no hand."""
        return sum(label.side == "none" for label in self.labels)


def label_folder(
    folder: Path,
    out: Path | None = None,
    *,
    config: LabelConfig | None = None,
    jobs: int = 1,
    every: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> LabelReport:
    """Label what is in a folder and its subfolders; save now and then, whole or not at all.

    Args:
        folder: with pictures, videos or both.
        out: label file; by default `labels.npz` in the folder. What it already names is not looked
            at again.
        config: how to label.
        jobs: processes.
        every: of a video, look at every so-manieth frame.
        on_progress: is told how many of how many files are done.

    Raises:
        DatasetError: there is nothing to label, or the labels cannot be written.
    """
    if jobs < 1 or every < 1:
        raise ValueError(f"jobs and every must be positive, found {jobs} and {every}")
    out, config = out or folder / "labels.npz", config or LabelConfig()
    files = [file.relative_to(folder).as_posix() for file in images_in(folder) + videos_in(folder)]
    if not files:
        raise DatasetError(f"{folder} holds neither pictures nor videos; name another folder")
    report = LabelReport(read_labels(out) if out.is_file() else [])
    known = {label.name.partition("#")[0] for label in report.labels}
    todo = [file for file in files if file not in known]
    report.resumed = len(files) - len(todo)
    saved_s = time.monotonic()
    try:
        for labels, broken, count in _run(_chunks(todo), folder, config, every, jobs):
            report.labels += labels
            report.broken |= broken
            report.labelled += count
            if on_progress is not None:
                on_progress(report.resumed + report.labelled, len(files))
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                write_labels(out, report.labels)
                saved_s = time.monotonic()
    finally:
        # Also when interrupted: what is done stays done.
        report.labels.sort(key=lambda label: _by_name(label.name))
        write_labels(out, report.labels)
    return report


_Result = tuple[list[HandLabel], dict[str, str], int]


def _chunks(files: Sequence[str]) -> list[list[str]]:
    """Return portions of work: a few pictures, or one video."""
    videos = [file for file in files if _is_video(file)]
    images = [file for file in files if not _is_video(file)]
    portions = [images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK)]
    return portions + [[video] for video in videos]


def _is_video(file: str) -> bool:
    return Path(file).suffix.lower() in VIDEO_SUFFIXES


def _by_name(name: str) -> tuple[str, int]:
    file, _, frame = name.partition("#")
    return file, int(frame) if frame.isdigit() else 0


def _run(
    chunks: list[list[str]], folder: Path, config: LabelConfig, every: int, jobs: int
) -> Iterator[_Result]:
    """Yield what comes of each portion, as soon as it is there."""
    if not chunks:
        return
    if jobs == 1 or len(chunks) == 1:
        labeller = HandLabeller(config)
        for chunk in chunks:
            yield _label_chunk(labeller, folder, chunk, every)
        return
    # Inference engines do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _start, (config,)) as pool:
        waiting: set[Future[_Result]] = set()
        upcoming = iter(chunks)
        try:
            while True:
                while len(waiting) < 2 * jobs and (chunk := next(upcoming, None)) is not None:
                    waiting.add(pool.submit(_label_here, folder, chunk, every))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


_labellers: list[HandLabeller] = []
"""The one labeller of a worker process."""


def _start(config: LabelConfig) -> None:
    _labellers.append(HandLabeller(config))


def _label_here(folder: Path, files: list[str], every: int) -> _Result:
    return _label_chunk(_labellers[0], folder, files, every)


def _label_chunk(labeller: HandLabeller, folder: Path, files: Iterable[str], every: int) -> _Result:
    labels: list[HandLabel] = []
    broken: dict[str, str] = {}
    count = 0
    for file in files:
        count += 1
        try:
            labels += _label_file(labeller, folder, file, every)
        except HandloomError as problem:
            broken[file] = str(problem)
            _log.warning("left out: %s", problem)
    return labels, broken, count


def _label_file(labeller: HandLabeller, folder: Path, file: str, every: int) -> list[HandLabel]:
    if not _is_video(file):
        return labeller(read_rgb(folder / file), file)
    labels: list[HandLabel] = []
    for index, rgb in video_frames(folder / file):
        if index % every == 0:
            labels += labeller(rgb, f"{file}#{index}")
    if not labels:
        raise DatasetError(f"{folder / file} holds no frames; check that it plays, or take it away")
    return labels
