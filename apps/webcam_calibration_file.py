"""Where calibrations are kept: one small JSON for each person's hand, one for each camera.

They lie in the user's own configuration folder and are readable by nobody else, because the measures of a
hand are personal. What is read is checked like a stranger's file: anyone may have edited it.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from tracker.errors import HandloomError
from tracker.geometry.camera import Camera
from tracker.geometry.hand_params import HandShape
from tracker.vision.fitter import HAND_LENGTHS_M
from tracker.whole_file import make_folder, whole_file

_FORMAT: Final = "handloom-calibration/1"
_MAX_BYTES: Final = 1 << 16
_MAX_NAME: Final = 60
_HOW: Final = ("length", "card", "chessboard", "fov")


class CalibrationFileError(HandloomError):
    """A saved calibration cannot be read."""


@dataclass(frozen=True)
class SavedHand:
    """One person's hand."""

    betas: tuple[float, ...]
    scale: float
    model_sha256: str
    """Of the hand model that `betas` and `scale` belong to."""
    length_m: float
    """Wrist to middle fingertip; true for every model."""
    length_sd_m: float
    how: Literal["length", "card"]

    @property
    def shape(self) -> HandShape:
        """Shape and scale for the tracker."""
        return HandShape(self.betas, self.scale)


@dataclass(frozen=True)
class SavedCamera:
    """One camera."""

    K: tuple[tuple[float, ...], ...]
    hw: tuple[int, int]
    error_px: float
    how: Literal["chessboard", "fov"]

    def camera(self, hw: tuple[int, int]) -> Camera | None:
        """Return the camera for frames of a size; None where that is another crop of its sensor."""
        own = Camera(np.array(self.K, np.float64), self.hw)
        if own.hw == hw:
            return own
        same_shape = abs(own.hw[1] * hw[0] / own.hw[0] - hw[1]) <= 1.5
        return own.resized(hw) if same_shape else None


def config_folder() -> Path:
    """Return the folder of Handloom's settings, by the customs of the system."""
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or str(Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Application Support")
    else:
        given = os.environ.get("XDG_CONFIG_HOME", "")
        # The standard says that relative paths are to be ignored.
        base = given if Path(given).is_absolute() else str(Path.home() / ".config")
    return Path(base) / "handloom"


def hand_file(user: str) -> Path:
    """Return the file of a person's hand."""
    return config_folder() / "hands" / f"{_file_name(user)}.json"


def camera_file(camera_name: str) -> Path:
    """Return the file of a camera."""
    return config_folder() / "cameras" / f"{_file_name(camera_name)}.json"


def save_hand(user: str, hand: SavedHand) -> Path:
    """Keep a hand, in place of an earlier one.

    Raises:
        OutputError: it cannot be written.
    """
    return _save(hand_file(user), "hand", asdict(hand))


def save_camera(camera_name: str, camera: SavedCamera) -> Path:
    """Keep a camera, in place of an earlier one.

    Raises:
        OutputError: it cannot be written.
    """
    return _save(camera_file(camera_name), "camera", asdict(camera))


def read_hand(user: str) -> SavedHand | None:
    """Return a person's hand, None where none was saved.

    Raises:
        CalibrationFileError: the file is not one of ours any more.
    """
    return _read(hand_file(user), "hand", _hand)


def read_camera(camera_name: str) -> SavedCamera | None:
    """Return a camera, None where none was saved.

    Raises:
        CalibrationFileError: the file is not one of ours any more.
    """
    return _read(camera_file(camera_name), "camera", _camera)


def _file_name(name: str) -> str:
    """Return a name that is safe in every file system, and different for different names."""
    safe = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_MAX_NAME] or "unnamed"
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _save(path: Path, kind: str, content: dict[str, Any]) -> Path:
    make_folder(path.parent)
    with contextlib.suppress(OSError):  # not every file system knows owners
        path.parent.chmod(0o700)
    text = json.dumps({"format": _FORMAT, kind: content}, indent=2, allow_nan=False)
    with whole_file(path) as partial:
        partial.touch(mode=0o600)
        partial.write_text(text + "\n", encoding="utf-8")
    return path


def _read(path: Path, kind: str, parse: Any) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ValueError("it is larger than any calibration")
        content = json.loads(data.decode("utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT}")
        return parse(content[kind])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CalibrationFileError(f"{path} cannot be read ({error.strerror})") from error
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise CalibrationFileError(
            f"{path} is no calibration ({reason.splitlines()[0] if reason else 'damaged'}); calibrate "
            "again, or delete it"
        ) from error


def _hand(content: dict[str, Any]) -> SavedHand:
    low, high = HAND_LENGTHS_M
    hand = SavedHand(
        betas=tuple(_number(beta, -10, 10) for beta in content["betas"][:11]),
        scale=_number(content["scale"], 0.25, 4),
        model_sha256=str(content["model_sha256"])[:64],
        length_m=_number(content["length_m"], low, high),
        length_sd_m=_number(content["length_sd_m"], 0, high),
        how=_one_of(content["how"], _HOW[:2]),
    )
    _ = hand.shape  # checks what belongs together
    return hand


def _camera(content: dict[str, Any]) -> SavedCamera:
    height, width = content["hw"]
    rows = tuple(tuple(_number(x, -1e6, 1e6) for x in row[:4]) for row in content["K"][:4])
    if [len(row) for row in rows] != [3, 3, 3] or rows[2] != (0, 0, 1) or rows[1][0] != 0:
        raise ValueError("K is no matrix of a camera")
    saved = SavedCamera(
        K=rows,
        hw=(int(_number(height, 16, 16384)), int(_number(width, 16, 16384))),
        error_px=_number(content["error_px"], 0, 1e3),
        how=_one_of(content["how"], _HOW[2:]),
    )
    camera = Camera(np.array(rows), saved.hw)
    if not 1 <= camera.fov_deg <= 170:
        raise ValueError(f"K would mean {camera.fov_deg:.0f} degrees across")
    return saved


def _number(value: Any, low: float, high: float) -> float:
    """Return a number in a range; text, truth values and NaN are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{str(value)[:40]!r} is no number")
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{value:g} is not between {low:g} and {high:g}")
    return float(value)


def _one_of(value: Any, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise ValueError(f"{str(value)[:40]!r} is none of {', '.join(known)}")
    return value
