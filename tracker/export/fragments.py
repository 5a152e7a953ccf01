"""MP4 files that can be played whatever happened while they were written.

A fragmented MP4 (ISO 14496-12, section 8.8) is a row of boxes: `moov` says what is in the file and
describes the pictures of the first `mdat`, then each `moof` those of the `mdat` behind it. What is
behind the last whole pair when writing breaks off is cut off.
"""

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

_HEADER: Final = 8


class RecoverableFile:
    """A file that FFmpeg writes fragments to; after an error it is cut behind the last whole one.

    After an error FFmpeg would still write the end of an ordinary file, which is of no use then and
    would fail half-way. `seal_after_error` lets it believe so.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("w+b", buffering=0)
        self._sealed = False

    def write(self, data: bytes) -> int:
        """Write bytes, all of them.

        Raises:
            OSError: the disk is full, and the like.
        """
        left = memoryview(data)
        while left and not self._sealed:
            left = left[self._file.write(left) :]
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place in the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()

    def seal_after_error(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write nothing any more if there was an error; for `ExitStack.push`."""
        self._sealed |= kind is not None

    def __enter__(self) -> "RecoverableFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._sealed and not keep_whole_fragments(self._path):
            with suppress(OSError):
                self._path.unlink()


def keep_whole_fragments(path: Path) -> bool:
    """Cut off what comes after the last whole fragment; return whether a fragment is left."""
    try:
        with path.open("r+b") as file:
            end = _end_of_fragments(file, path.stat().st_size)
            file.truncate(end)
            return end > 0
    except OSError:
        return False


def _end_of_fragments(file: BinaryIO, size: int) -> int:
    """Return where the last whole `mdat` with its description ends; 0 if there is none."""
    at = end = 0
    described = False
    before = b""
    while at + _HEADER <= size:
        file.seek(at)
        header = file.read(2 * _HEADER)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < _HEADER or at + length > size:
            break
        described |= kind == b"moov"
        if kind == b"mdat" and described and before in (b"moov", b"moof"):
            end = at + length
        before = kind
        at += length
    return end
