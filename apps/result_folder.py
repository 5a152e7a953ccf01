"""A folder of results: tried out before work is spent on it, its summary written last."""

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from tracker.export.formats import EXPORTERS
from tracker.export.recording import Recording
from tracker.vision.records import TrackedHand
from tracker.whole_file import make_folder, output_error


@contextmanager
def result_folder(folder: Path) -> Generator[None, None, None]:
    """Make the folder and try it out before hours are spent; do not leave it behind empty.

    Raises:
        OutputError: it cannot be made or written to.
    """
    make_folder(folder)
    try:
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as cause:
            raise output_error(folder, cause) from cause
        yield
    finally:
        with suppress(OSError):  # rmdir refuses a folder that holds something
            folder.rmdir()


def forget_earlier_summary(folder: Path) -> None:
    """Remove what would describe other files: the summary comes last, when all others are whole.

    Raises:
        OutputError: it cannot be removed.
    """
    path = folder / "summary.json"
    try:
        path.unlink(missing_ok=True)
    except OSError as cause:
        raise output_error(path, cause) from cause


def write_files(
    recording: Recording,
    folder: Path,
    formats: Sequence[str],
    *,
    writing: Callable[[str, int, int], None] = lambda what, step, steps: None,
) -> list[Path]:
    """Write the recording in each format; `writing` is told of each.

    Raises:
        OutputError: one of them cannot be written; those before it are whole.
    """
    files: list[Path] = []
    for step, name in enumerate(formats):
        writing(name, step, len(formats))
        files += EXPORTERS[name](recording, folder)
    return files


class HandNumbers:
    """Numbers hands from 0 as they appear, whatever the tracker has seen before."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def __call__(self, hands: Sequence[TrackedHand]) -> list[TrackedHand]:
        """Return the hands with their numbers."""
        for hand in hands:
            self._numbers.setdefault(hand.track_id, len(self._numbers))
        return [replace(hand, track_id=self._numbers[hand.track_id]) for hand in hands]
