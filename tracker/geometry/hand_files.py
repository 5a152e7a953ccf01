"""Read and write hand models: our `open_hand.npz` and the official `MANO_*.pkl`.

Files from outside are hostile: an npz is read without pickles and headers first, a pkl through
`mano_pickle`'s inert unpickler, and every array's shape and range is checked before it is used.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Int

from tracker.errors import HandModelError
from tracker.geometry.hand_checks import MASKS, OPTIONAL, REQUIRED, check_layout, check_values
from tracker.geometry.mano_pickle import left_shapedirs_flipped, read_mano_pickle
from tracker.geometry.npz_arrays import read_npz
from tracker.geometry.skeleton import MANO_JOINTS, MANO_PARENTS
from tracker.whole_file import whole_file

REPOSITORY_WEIGHTS: Final = Path(__file__).resolve().parents[2] / "weights"
PACKAGED_WEIGHTS: Final = Path(__file__).resolve().parents[1] / "_weights"

MANO_VERTICES: Final = 778
MANO_TIP_IDS: Final = {"right": (745, 317, 444, 556, 673), "left": (745, 317, 445, 556, 673)}
"""Fingertip vertices, thumb to pinky, that manopth made customary for MANO's topology."""

_MAX_FILE_BYTES: Final = 64 * 2**20  # the official file has 3.9 MB, the open hand 0.3 MB
_ADVICE: Final = (
    "give --hand-model an official MANO_RIGHT.pkl or MANO_LEFT.pkl or an npz from "
    "`python -m train.open_hand`, or leave it out for the open hand"
)

Side = Literal["left", "right"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HandArrays:
    """A validated hand file; see `HandModel` for what each array means."""

    v_template: Float[np.ndarray, "V 3"]
    f: Int[np.ndarray, "F 3"]
    weights: Float[np.ndarray, "V 16"]
    J_regressor: Float[np.ndarray, "16 V"]
    shapedirs: Float[np.ndarray, "V 3 10"]
    posedirs: Float[np.ndarray, "V 3 135"]
    hands_components: Float[np.ndarray, "45 45"]
    hands_mean: Float[np.ndarray, " 45"]
    hands_coeffs: Float[np.ndarray, "S 45"]
    """Pose samples as coefficients of `hands_components`: the pose prior. May have no rows."""
    tip_ids: tuple[int, int, int, int, int]
    """Vertices that are the fingertips, thumb to pinky."""
    side: Side
    model_id: str
    """Name of the hand: the file's own, `mano` for official files, else `open_hand-0`."""
    sha256: str
    """Hash of the file; empty for arrays that never were in one."""
    mask_palmar: Float[np.ndarray, " V"] | None = None
    """Where the vertex masks are known: how much each vertex is palm, 0 to 1."""
    mask_nail: Float[np.ndarray, " V"] | None = None
    mask_knuckle: Float[np.ndarray, " V"] | None = None


def default_hand_file() -> Path:
    """Return the open hand that ships with Handloom (checkout first, then the wheel).

    Raises:
        HandModelError: there is none.
    """
    for folder in (REPOSITORY_WEIGHTS, PACKAGED_WEIGHTS):
        if (folder / "open_hand.npz").is_file():
            return folder / "open_hand.npz"
    raise HandModelError(
        f"the open hand was asked for, but there is no open_hand.npz in {REPOSITORY_WEIGHTS} or "
        f"{PACKAGED_WEIGHTS}; build it with `python -m train.open_hand --out weights/open_hand.npz`"
    )


def read_hand_file(path: Path | str | None = None) -> HandArrays:
    """Read a hand model file and check it (default: the open hand).

    The side of an official file is the one in its name (`LEFT`, `RIGHT`); under another name it is
    read off the template, whose fingers point along -x on a right hand and +x on a left one. The
    wrong sign of MANO_LEFT's shape directions is put right (see `left_shapedirs_flipped`).

    Raises:
        HandModelError: the file is missing, damaged, unsafe or not a hand, in one line.
    """
    file = Path(path) if path is not None else default_hand_file()
    try:
        data = _read_bytes(file)
        if data.startswith(b"PK"):
            return _from_npz(data)
        if file.suffix.lower() in (".pkl", ".pickle"):
            return _from_mano(data, file)
        raise HandModelError("it is neither an npz archive nor a .pkl")
    except HandModelError as problem:
        message = f"hand model {str(file)!r} was asked for, but {problem}; {_ADVICE}"
        raise HandModelError(message) from problem


def write_hand_file(path: Path | str, arrays: HandArrays) -> None:
    """Write a hand as npz, float32, after checking it; an existing file is replaced at the end.

    Equal hands give equal files, byte for byte. `sha256` is not stored.

    Raises:
        HandModelError: the arrays are not a hand.
        OutputError: the file cannot be written.
    """
    content = _file_content(arrays)
    check_layout(content)
    check_values(content)
    with whole_file(Path(path)) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **content)


def _read_bytes(file: Path) -> bytes:
    try:
        size = file.stat().st_size
        if file.is_file() and size <= _MAX_FILE_BYTES:
            return file.read_bytes()
    except (OSError, ValueError) as problem:  # ValueError: a zero byte in the name.
        raise HandModelError(getattr(problem, "strerror", None) or str(problem)) from problem
    if not file.is_file():
        raise HandModelError("it is not a file")
    raise HandModelError(f"it has {size} bytes, more than any hand model ({_MAX_FILE_BYTES})")


def _from_npz(data: bytes) -> HandArrays:
    arrays = read_npz(data, [*REQUIRED, *OPTIONAL], check_layout)
    check_values(arrays)
    side = str(arrays.get("side", "right"))
    if side not in ("left", "right"):
        raise HandModelError(f"its side must be left or right, found {side!r}")
    if "tip_ids" not in arrays and len(arrays["v_template"]) != MANO_VERTICES:
        raise HandModelError(f"it lacks tip_ids and does not have MANO's {MANO_VERTICES} vertices")
    model_id = str(arrays.get("model_id", "open_hand-0"))
    return _assemble(arrays, side, model_id, hashlib.sha256(data).hexdigest())


def _from_mano(data: bytes, file: Path) -> HandArrays:
    arrays = _mano_arrays(data)
    side = _mano_side(file.name, arrays)
    if side == "left" and left_shapedirs_flipped(
        arrays["v_template"], arrays["shapedirs"], _right_shapedirs_beside(file)
    ):
        arrays["shapedirs"] = arrays["shapedirs"] * np.array([[-1.0], [1.0], [1.0]])
    return _assemble(arrays, side, "mano", hashlib.sha256(data).hexdigest())


def _mano_arrays(data: bytes) -> dict[str, np.ndarray]:
    arrays = read_mano_pickle(data, [*REQUIRED, "hands_coeffs"])
    check_layout(arrays)
    if len(arrays["v_template"]) != MANO_VERTICES:
        found = len(arrays["v_template"])
        raise HandModelError(f"MANO has {MANO_VERTICES} vertices and this has {found}")
    check_values(arrays)
    return arrays


def _mano_side(name: str, arrays: Mapping[str, np.ndarray]) -> Side:
    joints = arrays["J_regressor"] @ arrays["v_template"]
    fingers = [i for i, parent in enumerate(MANO_PARENTS) if parent == 0]
    fingers.remove(MANO_JOINTS.index("thumb_cmc"))
    shown: Side = "right" if joints[fingers, 0].mean() < joints[0, 0] else "left"
    named: tuple[Side, ...] = tuple(side for side in ("left", "right") if side in name.lower())
    if len(named) != 1:
        return shown
    if named[0] != shown:
        _log.warning("%s holds what looks like a %s hand; its name is believed", name, shown)
    return named[0]


def _right_shapedirs_beside(file: Path) -> np.ndarray | None:
    """Return the right hand's shape directions if its official file lies beside the left one."""
    sibling = file.with_name("MANO_RIGHT.pkl")
    try:
        return _mano_arrays(_read_bytes(sibling))["shapedirs"]
    except HandModelError as problem:
        _log.debug("left hand checked alone: %s: %s", sibling, problem)
        return None


def _assemble(
    arrays: Mapping[str, np.ndarray], side: str, model_id: str, sha256: str
) -> HandArrays:
    def real(key: str) -> np.ndarray:
        return arrays[key].astype(np.float64)

    thumb, index, middle, ring, pinky = (int(i) for i in arrays.get("tip_ids", MANO_TIP_IDS[side]))
    return HandArrays(
        v_template=real("v_template"),
        f=arrays["f"].astype(np.int64),
        weights=real("weights"),
        J_regressor=real("J_regressor"),
        shapedirs=real("shapedirs"),
        posedirs=real("posedirs"),
        hands_components=real("hands_components"),
        hands_mean=real("hands_mean"),
        hands_coeffs=real("hands_coeffs") if "hands_coeffs" in arrays else np.zeros((0, 45)),
        tip_ids=(thumb, index, middle, ring, pinky),
        side="left" if side == "left" else "right",
        model_id=model_id,
        sha256=sha256,
        **{key: real(key) for key in MASKS if key in arrays},
    )


def _file_content(arrays: HandArrays) -> dict[str, np.ndarray]:
    real = [key for key, (kinds, _) in (REQUIRED | OPTIONAL).items() if kinds == "f"]
    values = {key: getattr(arrays, key) for key in real}
    parents = np.array([2**32 - 1, *MANO_PARENTS[1:]])
    return {
        **{key: value.astype(np.float32) for key, value in values.items() if value is not None},
        "J": (arrays.J_regressor @ arrays.v_template).astype(np.float32),
        "f": arrays.f.astype(np.uint16 if len(arrays.v_template) <= 2**16 else np.uint32),
        "kintree_table": np.array([parents, np.arange(16)], np.uint32),
        "tip_ids": np.array(arrays.tip_ids, np.int32),
        "side": np.array(arrays.side),
        "model_id": np.array(arrays.model_id),
    }
