"""Read the official `MANO_*.pkl` without chumpy, without scipy, and without running what is in it.

A pickle is a program. Here it can build nothing but `_Node`s: inert records of the class or function
the file named, its arguments and its state. No code of numpy, scipy or chumpy runs on the file's
behalf; the few nodes we want are decoded afterwards, each size checked against the bytes present.
"""

import io
import pickle
import pickletools
import re
import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from tracker.errors import HandModelError

_MAX_OPCODES: Final = 200_000  # an official file has a few hundred
_MAX_DEPTH: Final = 8  # chumpy expressions nested in each other; official files have one
_MAX_DENSE: Final = 4_000_000  # entries of a sparse matrix once it is dense (16 x 778 in MANO)

_GLOBALS: Final = re.compile(
    r"chumpy(\.\w+)+"
    r"|scipy\.sparse(\._?csc)?\.csc_(matrix|array)"
    r"|numpy\.(ndarray|dtype)"
    r"|numpy\._?core\.multiarray\.(_reconstruct|scalar)"
    r"|numpy\._?core\.numeric\._frombuffer"
    r"|_codecs\.encode"
    r"|copy_?reg\._reconstructor"
    r"|(__builtin__|builtins)\.(object|set|list|dict|tuple|int|long|float|bool|str|bytes|bytearray)"
)
"""Names a hand file may mention; every one of them becomes an inert node."""

_DAMAGE: Final = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError),
    *(ArithmeticError, LookupError, MemoryError, RecursionError),
)
"""What reading and decoding raise on malformed input."""


class _Node:
    """An object of the file as data: what made it, from which arguments, in which state."""

    made_by: str
    args: tuple[Any, ...]
    state: Any = None

    def __new__(cls, *args: object) -> "_Node":
        node = super().__new__(cls)
        node.args = args
        return node

    def __setstate__(self, state: object) -> None:
        self.state = state

    @property
    def kind(self) -> str:
        """Full name of the class; protocols 0 and 1 hide it behind a helper of `copyreg`."""
        if self.made_by.endswith("reg._reconstructor") and issubclass(self.args[0], _Node):
            return self.args[0].made_by
        return self.made_by


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> type[_Node]:
        name = f"{module_name}.{global_name}"
        if not _GLOBALS.fullmatch(name):
            raise HandModelError(f"it asks to run {name!r}, which no hand file needs")
        # One class per mention: whatever the file does to it is gone with the file.
        return type("_FileNode", (_Node,), {"made_by": name})


def read_mano_pickle(data: bytes, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Return those of `keys` that the pickle in `data` holds, as plain arrays.

    Handles chumpy leaves and selections, scipy's column-sparse matrices and numpy arrays, as
    written by Python 2 and 3 in pickle protocols 0 to 5.

    Raises:
        HandModelError: the pickle is damaged, wants to run something, or is not a dictionary of
            arrays; the message names the reason but not the file.
    """
    try:
        with warnings.catch_warnings():
            # Damaged text may hold bad escapes, of which Python warns; the file is refused or not.
            warnings.simplefilter("ignore", DeprecationWarning)
            _check_opcodes(data)
            content: object = _InertUnpickler(io.BytesIO(data), encoding="latin1").load()
    except _DAMAGE as problem:
        raise HandModelError(f"the pickle is damaged ({_first_line(problem)})") from problem
    if not isinstance(content, dict):
        raise HandModelError(f"the pickle holds a {type(content).__name__}, not a hand model")
    return {key: _named_array(key, content[key]) for key in keys if key in content}


def left_shapedirs_flipped(
    v_template: Float[np.ndarray, "V 3"],
    shapedirs: Float[np.ndarray, "V 3 10"],
    right_shapedirs: Float[np.ndarray, "V 3 10"] | None = None,
) -> bool:
    """Return whether a left MANO hand's shape directions have the wrong sign in x.

    MANO_LEFT.pkl was published with the x displacements of the *right* hand (smplx issue 48). With
    the right hand's file the test is a comparison. Alone it is one of anatomy: betas are independent
    with unit variance, so summing over components the products of how much each stretches the hand
    in length (x) and across (y, z) gives their covariance over people. Longer hands are broader;
    a negative covariance means that x is flipped.
    """
    if right_shapedirs is not None and right_shapedirs.shape == shapedirs.shape:
        mine, right = shapedirs[:, 0], right_shapedirs[:, 0]
        return bool(np.abs(mine - right).sum() < np.abs(mine + right).sum())
    centred = v_template - v_template.mean(0)
    covariance = np.einsum("vc,vck->ck", centred, shapedirs)
    variance = (centred**2).sum(0)
    length = covariance[0] / variance[0]
    breadth = (covariance[1] + covariance[2]) / (variance[1] + variance[2])
    return bool(length @ breadth < 0)


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0][:120]


def _check_opcodes(data: bytes) -> None:
    """Refuse what would cost memory or bypass `find_class`, before anything is built."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count > _MAX_OPCODES:
            raise HandModelError(f"the pickle has more than {_MAX_OPCODES} instructions")
        # The unpickler allocates its memo up to the largest index, needed or not.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > _MAX_OPCODES:
            raise HandModelError(f"the pickle stores an object under the absurd index {argument}")
        if opcode.name.startswith("EXT"):
            raise HandModelError("the pickle uses copyreg extension codes")


def _named_array(key: str, value: object) -> np.ndarray:
    try:
        return _array(value)
    except (HandModelError, *_DAMAGE) as problem:
        raise HandModelError(f"array {key!r} cannot be read ({_first_line(problem)})") from problem


def _array(value: object, depth: int = 0) -> np.ndarray:
    if not isinstance(value, _Node):
        raise HandModelError(f"expected an array, found a {type(value).__name__}")
    if depth > _MAX_DEPTH:
        raise HandModelError(f"chumpy expressions are nested more than {_MAX_DEPTH} deep")
    kind = value.kind
    if kind.endswith("multiarray._reconstruct"):
        _, shape, dtype, fortran, raw = value.state
        return _from_buffer(raw, dtype, shape, "F" if fortran else "C")
    if kind.endswith("numeric._frombuffer"):
        return _from_buffer(*value.args)
    if kind.startswith("scipy.sparse"):
        return _dense(value.state, depth)
    if kind.startswith("chumpy") and "idxs" in value.state:
        return _selection(value.state, depth)
    if kind.startswith("chumpy") and "x" in value.state:
        return _array(value.state["x"], depth + 1)
    raise HandModelError(f"cannot turn {kind} into an array")


def _from_buffer(raw: object, dtype: object, shape: object, order: object) -> np.ndarray:
    """View the bytes that are there; numpy refuses a shape that they do not fill exactly."""
    scalar, sizes, buffer = _dtype(dtype), _shape(shape), _bytes(raw)
    return np.frombuffer(buffer, scalar).reshape(sizes, order="F" if order == "F" else "C")


def _bytes(raw: object) -> bytes | bytearray:
    if isinstance(raw, _Node) and raw.kind == "_codecs.encode" and raw.args[1] == "latin1":
        raw = raw.args[0]
    if isinstance(raw, str):  # Python 2 strings, and how Python 3 writes bytes for Python 2.
        return raw.encode("latin1")
    if isinstance(raw, bytes | bytearray):
        return raw
    raise HandModelError(f"expected bytes, found a {type(raw).__name__}")


def _dtype(node: object) -> np.dtype[Any]:
    if not (isinstance(node, _Node) and node.kind == "numpy.dtype"):
        raise HandModelError(f"expected a dtype, found a {type(node).__name__}")
    code, byte_order = node.args[0], node.state[1]
    if not (isinstance(code, str) and re.fullmatch(r"[fiu][248]|[iub]1", code)):
        raise HandModelError(f"arrays of type {code!r} are not numbers")
    return np.dtype({"<": "<", ">": ">", "|": "|"}[byte_order] + code)


def _shape(sizes: object) -> tuple[int, ...]:
    if not (isinstance(sizes, tuple | list) and all(isinstance(n, int) and n >= 0 for n in sizes)):
        raise HandModelError("an array's shape is not a tuple of sizes")
    return tuple(sizes)


def _dense(state: dict[str, object], depth: int) -> np.ndarray:
    """Return a column-compressed sparse matrix as a dense one."""
    data, indices, starts = (_array(state[k], depth + 1) for k in ("data", "indices", "indptr"))
    rows, columns = _shape(state["_shape"] if "_shape" in state else state["shape"])
    lengths = np.diff(starts.astype(np.int64))
    adds_up = starts.shape == (columns + 1,) and starts[0] == 0 and starts[-1] == len(data)
    negative = min(lengths.min(initial=0), indices.min(initial=0)) < 0
    if rows * columns > _MAX_DENSE or not adds_up or negative:
        raise HandModelError(f"a sparse matrix of shape ({rows}, {columns}) does not add up")
    dense = np.zeros((rows, columns))
    np.add.at(dense, (indices, np.repeat(np.arange(columns), lengths)), data)
    return dense


def _selection(state: dict[str, object], depth: int) -> np.ndarray:
    """Return what chumpy's `Select` stands for: flat indices into another array, then a shape."""
    picked = _array(state["a"], depth + 1).ravel()[_array(state["idxs"], depth + 1)]
    shape = state.get("preferred_shape")
    return picked if shape is None else picked.reshape(_shape(shape))
