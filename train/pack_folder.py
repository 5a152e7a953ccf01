"""Pack the labelled hands of a folder: which ones, how well, and how many fit.

Training only ever looks at the neighbourhood of each hand (`train.pack_crop`), so that is all that
is kept: as JPEG, with keypoints and camera in the pixels of the part. What comes out is a folder of
pictures with `labels.npz` like any other.
"""

import logging
import re
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import cv2

from tracker.errors import OutputError
from tracker.geometry.camera import ASSUMED_FOV_DEG
from train.datasets.image_files import read_rgb
from train.datasets.image_folder import LEAST_CONFIDENCE, label_K, labelled_hands
from train.datasets.keypoint_files import HandLabel, write_labels
from train.datasets.sample import DatasetError, Sample, SampleError, check_keypoints, without_unseen
from train.pack_crop import HandCrop, crop_hand

QUALITIES: Final = (95, 90, 85, 80, 75, 70)
"""JPEG qualities, best first; with worse ones than the last, fewer but better pictures teach more."""
MEGABYTE: Final = 1_000_000
_TRIED: Final = 200
"""Hands, evenly chosen, from which a quality's bytes are estimated."""
_TRUSTED: Final = 0.97
"""Part of the budget that an estimate may fill."""
_LABEL_BYTES: Final = 270
"""Keypoints, confidences and camera of a hand as they are stored, and its name."""
_LIFTED_BYTES: Final = 252
"""Its joints in space, where it has them."""
_LONGEST_NAME: Final = 60
_AHEAD: Final = 4
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackConfig:
    """What is packed, and how."""

    megabytes: float = 60.0
    """Most that the folder may hold, in millions of bytes."""
    input_px: int = 224
    """Side of the crops that the network will see; larger hands are averaged down to it."""
    fov_deg: float = ASSUMED_FOV_DEG
    """Assumed angle across the longer side of whole pictures."""
    min_confidence: float = LEAST_CONFIDENCE
    """Least mean confidence of a hand."""
    quality: int | None = None
    """Of the JPEGs; None takes the best of `QUALITIES` at which all hands fit, or the last."""
    jobs: int = 2
    """Threads."""

    def __post_init__(self) -> None:
        if not (self.megabytes > 0 and 32 <= self.input_px <= 1024 and self.jobs >= 1):
            raise ValueError(
                "packing needs megabytes above 0, input_px from 32 to 1024 and jobs of 1 or more, "
                f"found {self.megabytes}, {self.input_px} and {self.jobs}"
            )
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality must lie between 1 and 100, found {self.quality}")


@dataclass
class PackReport:
    """What was packed."""

    hands: int
    """Hands worth packing."""
    quality: int
    labels: list[HandLabel] = field(default_factory=list)
    """Of the packed hands."""
    megabytes: float = 0.0
    broken: list[str] = field(default_factory=list)
    """What is wrong with the hands that were left out, but for want of room."""

    def __str__(self) -> str:
        return (
            f"{len(self.labels)} of {self.hands} hands in {self.megabytes:.1f} MB, JPEG quality "
            f"{self.quality}; {len(self.broken)} could not be used"
        )


def pack_folder(
    folder: Path,
    out: Path,
    labels: Path | None = None,
    config: PackConfig | None = None,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> PackReport:
    """Pack the labelled hands of a folder.

    Args:
        folder: with pictures.
        out: folder to make.
        labels: label file; by default the one in the folder.
        config: what is packed, and how.
        on_progress: is told how many of how many hands are done.

    Raises:
        DatasetError: there is nothing to pack, or not a single hand fits.
        OutputError: the new folder exists, or cannot be written.
    """
    config = config or PackConfig()
    hands = evenly(labelled_hands(folder, labels, config.min_confidence))
    with _new_folder(out) as made:
        report = PackReport(len(hands), config.quality or _best_quality(folder, hands, config))
        _fill(made, folder, hands, config, report, on_progress or _unseen)
        if not report.labels:
            problem = report.broken[0] if report.broken else "its megabytes hold not even one"
            raise DatasetError(f"no hand of {folder} was packed: {problem}")
        report.labels.sort(key=lambda label: label.name)
        write_labels(made / "labels.npz", report.labels)
        report.megabytes = sum(file.stat().st_size for file in made.iterdir()) / MEGABYTE
    return report


def evenly(labels: Sequence[HandLabel]) -> list[HandLabel]:
    """Return labels in an order whose every beginning is spread evenly over all, sorted by name.

    The order counts with its binary digits reversed (van der Corput).
    """
    by_name = sorted(labels, key=lambda label: label.name)
    digits = max(1, (len(by_name) - 1).bit_length())
    order = (int(f"{i:0{digits}b}"[::-1], 2) for i in range(2**digits))
    return [by_name[i] for i in order if i < len(by_name)]


def _best_quality(folder: Path, hands: Sequence[HandLabel], config: PackConfig) -> int:
    """Return the best quality at which all hands will fit, or the lowest."""
    tried = [c for c in _crops(folder, hands[:_TRIED], config) if isinstance(c, HandCrop)]
    room = _TRUSTED * config.megabytes * MEGABYTE * len(tried) / len(hands)
    for quality in QUALITIES:
        if sum(_bytes(crop, _jpeg(crop, quality)) for crop in tried) <= room:
            return quality
    return QUALITIES[-1]


def _fill(
    made: Path,
    folder: Path,
    hands: Sequence[HandLabel],
    config: PackConfig,
    report: PackReport,
    on_progress: Callable[[int, int], None],
) -> None:
    """Write hands until all are written, or the next one would be too much."""
    room = config.megabytes * MEGABYTE
    for number, crop in enumerate(_crops(folder, hands, config)):
        on_progress(number + 1, len(hands))
        if isinstance(crop, SampleError):
            _log.warning("left out: %s", crop)
            report.broken.append(str(crop))
            continue
        jpeg = _jpeg(crop, report.quality)
        room -= _bytes(crop, jpeg)
        # Smaller ones may follow, but then what is kept would not be even.
        if room < 0:
            return
        name = _file_name(crop.label.name, number)
        (made / name).write_bytes(jpeg)
        report.labels.append(replace(crop.label, name=name))


def _crops(
    folder: Path, hands: Sequence[HandLabel], config: PackConfig
) -> Iterator[HandCrop | SampleError]:
    """Yield each hand's part in order, or what is wrong with it, made ahead by threads."""
    with ThreadPoolExecutor(config.jobs, "pack") as pool:
        waiting: deque[Future[HandCrop | SampleError]] = deque()
        upcoming = iter(hands)
        try:
            while True:
                while len(waiting) < _AHEAD * config.jobs and (hand := next(upcoming, None)):
                    waiting.append(pool.submit(_crop, folder, hand, config))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _crop(folder: Path, label: HandLabel, config: PackConfig) -> HandCrop | SampleError:
    path = folder / label.name
    try:
        check_keypoints(label.uv, label.confidence, str(path))
        rgb = read_rgb(path)
        hw = (rgb.shape[0], rgb.shape[1])
        K = label_K(label, hw, None, config.fov_deg, str(path))
        whole = replace(label, uv=without_unseen(label.uv, label.confidence))
        sample = Sample(rgb, K, whole.uv, label.confidence, str(path))
        return crop_hand(sample, whole, config.input_px)
    except SampleError as problem:
        return problem


def _bytes(crop: HandCrop, jpeg: bytes) -> int:
    """Return what a hand takes up, about."""
    return len(jpeg) + _LABEL_BYTES + (0 if crop.label.xyz is None else _LIFTED_BYTES)


def _jpeg(crop: HandCrop, quality: int) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", cv2.cvtColor(crop.rgb, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def _file_name(name: str, number: int) -> str:
    """Return a name for a hand's picture that says where it comes from, and stays in its folder."""
    plain = re.sub(r"[^0-9A-Za-z]+", "_", Path(name).with_suffix("").as_posix())
    return f"{plain[-_LONGEST_NAME:].strip('_')}_{number:05d}.jpg"


@contextmanager
def _new_folder(out: Path) -> Generator[Path, None, None]:
    """Give a folder that becomes `out` where the block ends well, and vanishes where it does not."""
    if out.exists():
        raise OutputError(f"{out} exists; take it away, or name another folder with --out")
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
        try:
            made = scratch / out.name
            made.mkdir()
            yield made
            made.rename(out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as problem:
        raise OutputError(
            f"cannot write {out} ({problem.strerror or problem}); name another folder with --out"
        ) from problem


def _unseen(done: int, total: int) -> None:
    """Show no progress."""
