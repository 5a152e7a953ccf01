"""Read the intrinsics of a camera from the small files people keep them in."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from tracker.errors import SourceError
from tracker.geometry.camera import Camera

_MAX_BYTES: Final = 1 << 20
_WIDEST_FOV_DEG: Final = 170.0
_HELP: Final = (
    'expected JSON such as {"K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "hw": [height, width]} or '
    '{"fx": .., "fy": .., "cx": .., "cy": .., "width": .., "height": ..}, or a text file with the '
    "nine numbers of K"
)


def read_intrinsics(path: Path, hw: tuple[int, int]) -> Camera:
    """Read a camera and bring it to frames of `hw`; a file without a size is taken for `hw`.

    Raises:
        SourceError: the file is missing or not understood, or is for another picture shape.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("the file is larger than 1 MB")
        K, file_hw = _parse(path.read_text(encoding="utf-8"))
        camera = Camera(K, file_hw or hw)
        _check_projection(camera)
    except OSError as error:
        raise SourceError(
            f"--intrinsics {path} cannot be read ({error.strerror}); give the file with the camera's K"
        ) from error
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise SourceError(
            f"--intrinsics {path} cannot be used ({_reason(error)}); {_HELP}"
        ) from error
    # One pixel of rounding is forgiven; another aspect ratio is another crop, which nobody told us.
    if abs(camera.hw[1] * hw[0] / camera.hw[0] - hw[1]) > 1.5:
        raise SourceError(
            f"--intrinsics {path} is for pictures of {camera.hw[1]}x{camera.hw[0]}, but the frames "
            f"are {hw[1]}x{hw[0]}; give the intrinsics of the same picture shape"
        )
    return camera if camera.hw == hw else camera.resized(hw)


def _parse(text: str) -> tuple[Float[np.ndarray, "3 3"], tuple[int, int] | None]:
    if text.lstrip().startswith("["):
        return _matrix(json.loads(text)), None
    if not text.lstrip().startswith("{"):
        return _matrix([float(word) for word in text.replace(",", " ").split()]), None
    content: dict[str, Any] = json.loads(text)
    hw: tuple[int, int] | None = None
    if "hw" in content:
        height, width = content["hw"]
        hw = int(height), int(width)
    elif "width" in content and "height" in content:
        hw = int(content["height"]), int(content["width"])
    if "K" in content:
        return _matrix(content["K"]), hw
    fx, fy, cx, cy = (float(content[name]) for name in ("fx", "fy", "cx", "cy"))
    return _matrix([fx, 0, cx, 0, fy, cy, 0, 0, 1]), hw


def _matrix(numbers: Any) -> Float[np.ndarray, "3 3"]:
    flat = np.array(numbers, np.float64).ravel()
    if len(flat) != 9:
        raise ValueError(f"K has nine numbers, found {len(flat)}")
    return flat.reshape(3, 3)


def _check_projection(camera: Camera) -> None:
    """Refuse matrices that are no pinhole camera in pixels: transposed, or in units of the width."""
    K = camera.K
    if not np.allclose(K[2], (0, 0, 1)) or not np.isclose(K[1, 0], 0):
        raise ValueError(f"K must have the rows fx s cx, 0 fy cy, 0 0 1, found {K.tolist()}")
    if camera.fov_deg > _WIDEST_FOV_DEG:
        raise ValueError(
            f"fx {K[0, 0]:g} would mean {camera.fov_deg:.0f} degrees across; K must be in pixels"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return (str(error) or type(error).__name__).splitlines()[0]
