"""Light on a hand: ambient plus one directional source, for each vertex (S2HAND, section 3.2).

Colours are display-encoded (sRGB) values in [0, 1], and light multiplies them as they are, as in
the paper's renderer: what is fitted to pixels must live in the pixels' own encoding. Physical
light would multiply linear values; the difference is a slightly harder shadow, which the default
light's high ambient part makes up for.
"""

import math
from dataclasses import dataclass, field
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit


def _triple(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z], np.float32)


@dataclass(frozen=True)
class Light:
    """Ambient and directional light; the default is a soft head-light from the upper left.

    A surface that faces the camera keeps its own brightness under it, within 2 %.
    """

    ambient: Float[np.ndarray, " 3"] = field(default_factory=lambda: _triple(0.66, 0.67, 0.69))
    """RGB gain where no direct light falls."""
    directional: Float[np.ndarray, " 3"] = field(default_factory=lambda: _triple(0.5, 0.49, 0.46))
    """RGB gain that a surface facing the source gains on top."""
    direction: Float[np.ndarray, " 3"] = field(default_factory=lambda: _triple(-0.45, -0.55, -0.7))
    """From the surface towards the source, camera frame; any length but zero."""

    def __post_init__(self) -> None:
        length = float(np.linalg.norm(self.direction))
        if not (math.isfinite(length) and length > 0):
            raise ValueError(f"light direction needs a length, found {self.direction.tolist()}")


DEFAULT_LIGHT = Light()


def shade(
    colors: Float[np.ndarray, "V 3"], normals: Float[np.ndarray, "V 3"], light: Light
) -> Float[np.ndarray, "V 3"]:
    """Return `clip(colors * (ambient + directional * max(0, normal . direction)), 0, 1)`, float32.

    Args:
        colors: albedo in [0, 1], display-encoded.
        normals: unit normals in the camera frame.
        light: the light, in the camera frame.
    """
    direction = light.direction / np.linalg.norm(light.direction)
    parts = (colors, normals, light.ambient, light.directional, direction)
    return _shade(*(np.ascontiguousarray(part, np.float32) for part in parts))


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _shade(colors, normals, ambient, directional, direction):
    out = np.empty_like(colors)
    zero, one = np.float32(0), np.float32(1)
    for i in range(colors.shape[0]):
        facing = normals[i, 0] * direction[0] + normals[i, 1] * direction[1]
        facing = max(facing + normals[i, 2] * direction[2], zero)
        for k in range(3):
            value = colors[i, k] * (ambient[k] + directional[k] * facing)
            out[i, k] = min(max(value, zero), one)
    return out
