"""Read named arrays from the bytes of an npz that nobody vouches for.

`np.load` believes an array's header and allocates what it claims. Here headers come first, the
caller judges them, and only then is each array read, never beyond the size its header promised.
"""

import io
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from tracker.errors import HandModelError

_MAX_MEMBERS: Final = 256
_DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error),
    *(ValueError, RuntimeError, LookupError, SyntaxError, MemoryError, OverflowError),
    tokenize.TokenError,  # headers of the first version may be Python 2's, so numpy tokenizes them
)
"""What zipfile and numpy's header reader raise on malformed or encrypted archives."""


class ArrayHeader(NamedTuple):
    """What an .npy file says of itself."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def read_npz(
    data: bytes, keys: Sequence[str], check: Callable[[Mapping[str, ArrayHeader]], None]
) -> dict[str, np.ndarray]:
    """Return those of `keys` that the archive holds, once `check` has accepted their headers.

    Raises:
        HandModelError: `check` refused, or the archive is damaged, encrypted or compressed in a way
            npz files are not; the message names the reason but not the file.
    """
    # Counted in the raw bytes, since zipfile would build an object for each member first.
    if data.count(b"PK\x01\x02") > _MAX_MEMBERS:
        raise HandModelError(f"the archive has more than {_MAX_MEMBERS} members")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            present = [key for key in keys if f"{key}.npy" in archive.namelist()]
            headers = {key: _header(archive, key) for key in present}
            check(headers)
            return {key: _read(archive, key, header) for key, header in headers.items()}
    except _DAMAGE as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0][:120]
        raise HandModelError(f"the npz archive is damaged ({reason})") from problem


def _header(archive: zipfile.ZipFile, key: str) -> ArrayHeader:
    info = archive.getinfo(f"{key}.npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise HandModelError(f"{key} is compressed by method {info.compress_type}, not by deflate")
    with archive.open(info) as member:
        return _next_header(member)


def _next_header(member: _Readable) -> ArrayHeader:
    version = np.lib.format.read_magic(member)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of odd syntax in a damaged header, which is refused anyway
        if version == (1, 0):
            return ArrayHeader(*np.lib.format.read_array_header_1_0(member))
        if version == (2, 0):
            return ArrayHeader(*np.lib.format.read_array_header_2_0(member))
    raise HandModelError(f"an array is in .npy format {version}, known are (1, 0) and (2, 0)")


def _read(archive: zipfile.ZipFile, key: str, header: ArrayHeader) -> np.ndarray:
    with archive.open(f"{key}.npy") as member:
        _next_header(member)
        size = math.prod(header.shape) * header.dtype.itemsize
        content = member.read(size + 1)
    if len(content) != size:
        raise HandModelError(f"{key} claims {size} bytes and has {len(content)} or more")
    order = "F" if header.fortran else "C"
    return np.frombuffer(content, header.dtype).reshape(header.shape, order=order)
