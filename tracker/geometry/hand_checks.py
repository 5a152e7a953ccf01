"""What a hand file must hold: the shape and type of every array, then what its numbers mean.

Layout is checked on whatever has a shape and a dtype, so on headers before anything is allocated.
Each refusal says what was expected and what was found; the reader adds the file and the advice.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

from tracker.errors import HandModelError
from tracker.geometry.skeleton import MANO_PARENTS

Layout = dict[str, tuple[str, tuple[int | str, ...]]]

REQUIRED: Final[Layout] = {
    "v_template": ("f", ("V", 3)),
    "f": ("iu", ("F", 3)),
    "weights": ("f", ("V", 16)),
    "J_regressor": ("f", (16, "V")),
    "shapedirs": ("f", ("V", 3, 10)),
    "posedirs": ("f", ("V", 3, 135)),
    "kintree_table": ("iu", (2, 16)),
    "hands_components": ("f", (45, 45)),
    "hands_mean": ("f", (45,)),
}
"""Kinds of dtype and shape of the arrays that MANO and the open hand share."""

MASKS: Final = ("mask_palmar", "mask_nail", "mask_knuckle")

OPTIONAL: Final[Layout] = {
    "hands_coeffs": ("f", ("S", 45)),
    "tip_ids": ("iu", (5,)),
    "side": ("U", ()),
    "model_id": ("U", ()),
    **dict.fromkeys(MASKS, ("f", ("V",))),
}
"""Likewise for what a file may leave out."""

_MOST: Final = {"V": 20_000, "F": 80_000, "S": 100_000}  # MANO has 778, 1538 and about 1500
_LONGEST_NAME: Final = 200
_KINDS: Final = {"f": "real numbers", "iu": "integers", "U": "text"}


@runtime_checkable
class _Described(Protocol):
    """An array, or only the header of one."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...


def check_layout(found: Mapping[str, _Described]) -> None:
    """Check that every array is there, of the right kind, and that all sizes agree.

    Raises:
        HandModelError: with the first disagreement.
    """
    missing = [key for key in REQUIRED if key not in found]
    if missing:
        raise HandModelError(f"it lacks {', '.join(missing)}")
    sizes: dict[str, int] = {}
    for key, (kinds, shape) in (REQUIRED | OPTIONAL).items():
        if key in found:
            _check_kind(key, found[key].dtype, kinds)
            _check_shape(key, found[key].shape, shape, sizes)


def _check_kind(key: str, dtype: np.dtype[Any], kinds: str) -> None:
    if dtype.kind not in kinds:
        raise HandModelError(f"{key} must be {_KINDS[kinds]}, found {dtype}")
    if dtype.kind == "U" and dtype.itemsize > 4 * _LONGEST_NAME:
        raise HandModelError(f"{key} must be at most {_LONGEST_NAME} characters, found {dtype}")


def _check_shape(
    key: str, found: tuple[int, ...], shape: tuple[int | str, ...], sizes: dict[str, int]
) -> None:
    """Match one shape against the sizes seen so far, learning the new ones."""
    expected = tuple(sizes.get(n, n) if isinstance(n, str) else n for n in shape)
    if len(found) != len(expected) or any(
        isinstance(n, int) and n != m for n, m in zip(expected, found, strict=True)
    ):
        text = ", ".join(map(str, expected))
        raise HandModelError(f"{key} must have shape ({text}), found {found}")
    for name, size in zip(expected, found, strict=True):
        if isinstance(name, str):
            if not (0 if name == "S" else 1) <= size <= _MOST[name]:
                raise HandModelError(f"{key} has {size} rows, allowed are 1 to {_MOST[name]}")
            sizes[name] = size


def check_values(arrays: Mapping[str, np.ndarray]) -> None:
    """Check the numbers of arrays whose layout is right.

    Raises:
        HandModelError: with the first array that no hand can have.
    """
    for key, (kinds, _) in (REQUIRED | OPTIONAL).items():
        if key in arrays and kinds == "f" and not np.isfinite(arrays[key]).all():
            raise HandModelError(f"{key} holds values that are not finite")
    _check_indices("f", arrays["f"], len(arrays["v_template"]))
    if "tip_ids" in arrays:
        _check_indices("tip_ids", arrays["tip_ids"], len(arrays["v_template"]))
    _check_averages("weights", arrays["weights"], tolerance=1e-3)
    if arrays["weights"].min() < -1e-6:
        raise HandModelError(f"weights must not be negative, found {arrays['weights'].min():.3g}")
    _check_averages("J_regressor", arrays["J_regressor"], tolerance=1e-2)
    _check_tree(arrays["kintree_table"])
    diagonal = float(np.linalg.norm(np.ptp(arrays["v_template"], axis=0)))
    if not 0.05 <= diagonal <= 1.0:
        raise HandModelError(f"v_template must be a hand in metres, found one of {diagonal:.3g} m")


def _check_indices(key: str, indices: np.ndarray, count: int) -> None:
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= count:
        raise HandModelError(f"{key} must index {count} vertices, found {low} to {high}")


def _check_averages(key: str, rows: np.ndarray, tolerance: float) -> None:
    worst = float(np.abs(rows.sum(1, dtype=np.float64) - 1).max())
    if worst > tolerance:
        raise HandModelError(f"rows of {key} must sum to 1, found one that is {worst:.3g} off")


def _check_tree(kintree_table: np.ndarray) -> None:
    # The wrist's parent is written as 2^32 - 1, so only the other fifteen compare.
    parents, joints = kintree_table.astype(np.int64).tolist()
    if parents[1:] != list(MANO_PARENTS[1:]) or joints != list(range(16)):
        raise HandModelError(f"kintree_table must be MANO's tree, found parents {parents}")
