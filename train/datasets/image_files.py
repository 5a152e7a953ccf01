"""Read the pictures and label files of a data set, with errors that name the file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from train.datasets.sample import DatasetError, SampleError

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
MIN_SIDE_PX: Final = 16
_MAX_PIXELS: Final = 64_000_000


def read_rgb(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as RGB, turned as its camera says.

    Raises:
        SampleError: it is missing, damaged or too small to show a hand.
    """
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise SampleError(f"{path} cannot be read ({problem.strerror}); restore it") from problem
    return decode_rgb(data, str(path))


def decode_rgb(data: bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a picture held in memory; see `read_rgb`."""
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as problem:
        raise SampleError(f"{name} is no picture OpenCV can read; replace it") from problem
    if bgr is None:
        raise SampleError(f"{name} is no picture, or a damaged one; replace it")
    height, width = bgr.shape[:2]
    if min(height, width) < MIN_SIDE_PX or height * width > _MAX_PIXELS:
        raise SampleError(
            f"{name} has {width}x{height} pixels; a hand needs {MIN_SIDE_PX}x{MIN_SIDE_PX}, and "
            f"more than {_MAX_PIXELS // 1_000_000} million are refused"
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def images_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder and its subfolders, sorted by path.

    Raises:
        DatasetError: it is no folder.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder; name the folder that holds the pictures")
    found = (p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    return sorted(
        p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file of a data set.

    Raises:
        DatasetError: it is missing or damaged; the message says what it should hold.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise DatasetError(
            f"{path} with {what} cannot be read ({problem.strerror}); unpack the data set again"
        ) from problem
    except (ValueError, RecursionError) as problem:
        raise DatasetError(
            f"{path} with {what} is damaged ({str(problem)[:80]}); unpack the data set again"
        ) from problem


def number_array(
    values: object, shape: Sequence[int | None], source: str
) -> Float[np.ndarray, "..."]:
    """Return nested lists as float64 of a shape (None: any length).

    Raises:
        SampleError: they are not numbers, or have another shape.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as problem:
        raise SampleError(f"{source}: expected numbers, found something else") from problem
    fits = array.ndim == len(shape) and all(
        n is None or n == m for n, m in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = " x ".join("n" if n is None else str(n) for n in shape)
        raise SampleError(f"{source}: expected {wanted} numbers, found shape {array.shape}")
    return array
