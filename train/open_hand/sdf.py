"""Signed distance primitives: super-elliptic tubes, ellipsoids, and the smooth minimum that joins them.

Values are negative inside and only approximately distances; their zero set and the direction of their gradient
are what the builder uses. Lengths are in metres.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

Field = Callable[[np.ndarray], np.ndarray]
"""A scalar field: points (n, 3) to values (n,), negative inside."""

EXPONENT = 2.25
"""Exponent of the super-ellipse: a little squarer than an ellipse, as fingers and forearms are."""


def smooth_min(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Return the polynomial smooth minimum: never above either value, equal to it `radius` away from a tie."""
    h = np.clip(0.5 + 0.5 * (b - a) / radius, 0, 1)
    return b * (1 - h) + a * h - radius * h * (1 - h)


def smooth_max(a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Return the polynomial smooth maximum, the mirror image of `smooth_min`."""
    return -smooth_min(-a, -b, radius)


@dataclass(frozen=True)
class Tube:
    """A straight tube whose super-elliptic cross-section varies along its axis.

    The end caps are part of the same norm as the cross-section, so no ridge appears where they begin.
    """

    origin: Float[np.ndarray, " 3"]
    along: Float[np.ndarray, " 3"]
    up: Float[np.ndarray, " 3"]
    stations: Float[np.ndarray, "n 4"]
    """Distance along the axis, half-width, half-depth towards `up`, half-depth away from it."""
    caps: tuple[float, float]
    """How far the rounded ends reach beyond the first and the last station."""

    @classmethod
    def between(
        cls,
        start: np.ndarray,
        end: np.ndarray,
        up: np.ndarray,
        stations: np.ndarray,
        caps: tuple[float, float],
    ) -> "Tube":
        """Lay a tube from `start` towards `end`; `up` is made orthogonal, `stations` interpolated smoothly."""
        along = (end - start) / np.linalg.norm(end - start)
        up = up - along * (up @ along)
        rows = np.asarray(stations, float)
        s = np.linspace(rows[0, 0], rows[-1, 0], 40)
        fine = np.column_stack([s, PchipInterpolator(rows[:, 0], rows[:, 1:])(s)])
        return cls(np.asarray(start, float), along, up / np.linalg.norm(up), fine, caps)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the field of the tube at points (n, 3)."""
        local = points - self.origin
        s, v = local @ self.along, local @ self.up
        u = local @ np.cross(self.along, self.up)
        at, widths, uppers, lowers = self.stations.T
        first, last = at[0], at[-1]
        width, upper, lower = (np.interp(s, at, column) for column in (widths, uppers, lowers))
        depth = np.where(v > 0, upper, lower)
        beyond = np.maximum((s - last) / self.caps[1], 0) + np.maximum(
            (first - s) / self.caps[0], 0
        )
        norm = np.abs(u / width) ** EXPONENT + np.abs(v / depth) ** EXPONENT + beyond**EXPONENT
        return (norm ** (1 / EXPONENT) - 1) * np.minimum(width, np.minimum(upper, lower))


@dataclass(frozen=True)
class Ellipsoid:
    """An oriented ellipsoid; the rows of `basis` are its axes."""

    center: Float[np.ndarray, " 3"]
    basis: Float[np.ndarray, "3 3"]
    radii: Float[np.ndarray, " 3"]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the field of the ellipsoid at points (n, 3)."""
        local = (points - self.center) @ self.basis.T
        return (np.linalg.norm(local / self.radii, axis=-1) - 1) * self.radii.min()


def gradient(field: Field, points: np.ndarray, step: float = 2e-4) -> np.ndarray:
    """Return the gradient (n, 3) of a field by central differences."""
    offsets = np.eye(3) * step
    return np.stack([(field(points + o) - field(points - o)) / (2 * step) for o in offsets], axis=1)


def project(field: Field, points: np.ndarray, iterations: int = 3) -> np.ndarray:
    """Move points onto the zero set by Newton steps along the gradient."""
    for _ in range(iterations):
        slope = gradient(field, points)
        # Where primitives blend the gradient may nearly vanish; the floor bounds the step there.
        squared = np.maximum((slope**2).sum(1), 0.05)
        points = points - (field(points) / squared)[:, None] * slope
    return points


def first_exit(
    field: Field, origin: np.ndarray, directions: np.ndarray, reach: float
) -> np.ndarray:
    """Return where rays from inside first leave the shape.

    Args:
        field: The shape.
        origin: Common start (3,), inside.
        directions: Unit directions (n, 3).
        reach: Longest ray in metres.

    Returns:
        Points (n, 3) on the zero set, to a micrometre.

    Raises:
        ValueError: A ray does not leave the shape within `reach`.
    """
    steps = np.linspace(0, reach, 1 + int(np.ceil(reach / 2.5e-4)))
    along = origin + directions[:, None] * steps[:, None]
    outside = field(along.reshape(-1, 3)).reshape(len(directions), -1) > 0
    if outside[:, 0].any() or not outside.any(1).all():
        raise ValueError(f"a ray from {origin} does not leave the shape within {reach} m")
    high = steps[outside.argmax(1)]
    low = high - steps[1]
    for _ in range(9):
        middle = (low + high) / 2
        out = field(origin + directions * middle[:, None]) > 0
        low, high = np.where(out, low, middle), np.where(out, middle, high)
    return origin + directions * ((low + high) / 2)[:, None]
