"""Read the numbers out of a pickle that nobody vouches for: HO-3D keeps one for each frame.

A pickle is a program. Here it may build plain Python values and numpy arrays of numbers; an array's
memory is only made once its bytes are there, because numpy compares both before it believes them.
"""

import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from train.datasets.sample import SampleError

_MAX_BYTES: Final = 4 * 2**20  # HO-3D's have a few kilobytes
_DAMAGE: Final = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError),
    *(ArithmeticError, LookupError, MemoryError, RecursionError),
)


def _empty(*_: object) -> np.ndarray:
    """Stand in for numpy's `_reconstruct`, which would allocate whatever shape is asked for."""
    return np.empty(0, np.uint8)


def _number_type(code: object, *_: object) -> np.dtype[Any]:
    # A copy: the file goes on to set its byte order, which must not reach numpy's own.
    dtype = np.dtype(str(code), copy=True)
    if dtype.kind not in "fiub":
        raise SampleError(f"it holds an array of {dtype}, not of numbers")
    return dtype


def _scalar(dtype: np.dtype[Any], data: bytes | str) -> np.generic:
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype, 1)[0]


def _from_buffer(
    raw: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: str
) -> np.ndarray:
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if order == "F" else "C")


def _bytes(text: str, _: str) -> bytes:
    return text.encode("latin1")


_KNOWN: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _number_type,
    ("_codecs", "encode"): _bytes,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _NumberUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        known = _KNOWN.get((module_name, global_name))
        if known is None:
            raise SampleError(f"it asks to run {module_name}.{global_name}, which no frame needs")
        return known


def read_number_pickle(data: bytes, source: str) -> dict[str, Any]:
    """Return the dictionary a pickle holds, of plain values and arrays of numbers.

    Raises:
        SampleError: it is damaged, wants to run something, or holds no dictionary.
    """
    if len(data) > _MAX_BYTES:
        raise SampleError(f"{source} has {len(data)} bytes, more than any annotation of a frame")
    try:
        with warnings.catch_warnings():
            # Damaged text may hold bad escapes, of which Python warns.
            warnings.simplefilter("ignore", DeprecationWarning)
            content: object = _NumberUnpickler(io.BytesIO(data), encoding="latin1").load()
    except SampleError as problem:
        raise SampleError(f"{source} is refused: {problem}") from problem
    except _DAMAGE as problem:
        raise SampleError(
            f"{source} is damaged ({type(problem).__name__}); restore it"
        ) from problem
    if not isinstance(content, dict):
        raise SampleError(f"{source} holds a {type(content).__name__}, not a frame's annotations")
    return {str(key): value for key, value in content.items()}
