"""Things around a hand: what it holds, what stands before it and what lies behind it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

_ROUND: Final = 14
_LATITUDES: Final = 9
_BOX_CELLS: Final = 3


@dataclass(frozen=True)
class Thing:
    """A closed surface with a colour at each vertex."""

    vertices: Float[np.ndarray, "V 3"]
    """Float32; camera frame, metres, once it has been placed."""
    faces: Int[np.ndarray, "F 3"]
    """Int32, counter-clockwise seen from outside."""
    albedo: Float[np.ndarray, "V 3"]
    """Float32, linear RGB."""

    def placed(
        self, turn: Float[np.ndarray, "3 3"], size: Float[np.ndarray, " 3"], at: np.ndarray
    ) -> Float[np.ndarray, "V 3"]:
        """Return the vertices of a unit surface, stretched, turned and moved."""
        return (self.vertices * size @ turn.T + at).astype(np.float32)


def _oriented(vertices: np.ndarray, faces: list[tuple[int, int, int]]) -> Thing:
    """Turn the faces of a star-shaped surface around the origin outwards."""
    triangles = np.array(faces, np.int32)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    inward = (np.cross(b - a, c - a) * (a + b + c)).sum(1) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    return Thing(vertices.astype(np.float32), triangles, np.ones_like(vertices, np.float32))


def _revolved(radius: np.ndarray, height: np.ndarray) -> Thing:
    """Return the surface of revolution about z through the profile, closed by points on the axis."""
    angle = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)
    rings = [
        np.stack([r * np.cos(angle), r * np.sin(angle), np.full(_ROUND, h)], -1)
        for r, h in zip(radius, height, strict=True)
    ]
    ends = np.array([[0, 0, height[0]], [0, 0, height[-1]]])
    count = len(rings) * _ROUND
    faces: list[tuple[int, int, int]] = []
    for i in range(_ROUND):
        j = (i + 1) % _ROUND
        faces.append((count, i, j))
        faces.append((count + 1, count - _ROUND + i, count - _ROUND + j))
        for ring in range(len(rings) - 1):
            a, b = ring * _ROUND + i, ring * _ROUND + j
            faces += [(a, b, a + _ROUND), (b, b + _ROUND, a + _ROUND)]
    return _oriented(np.concatenate([*rings, ends]), faces)


def sphere() -> Thing:
    """Return a ball of radius 1."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, _LATITUDES + 2)[1:-1]
    ball = _revolved(np.cos(latitude), np.sin(latitude))
    poles = ball.vertices.copy()
    poles[-2:, 2] = [-1, 1]
    return Thing(poles, ball.faces, ball.albedo)


def cylinder() -> Thing:
    """Return a rod of radius 1 along z from -1 to 1 with slightly rounded ends."""
    height = np.array([-1, -0.97, -0.5, 0, 0.5, 0.97, 1])
    return _revolved(np.array([0.85, 1, 1, 1, 1, 1, 0.85]), height)


def box() -> Thing:
    """Return the cube from -1 to 1, its sides split so that they can carry a pattern."""
    grid = np.linspace(-1, 1, _BOX_CELLS + 1)
    u, v = (g.ravel() for g in np.meshgrid(grid, grid, indexing="ij"))
    vertices: list[np.ndarray] = []
    faces: list[tuple[int, int, int]] = []
    for axis in range(3):
        for side in (-1.0, 1.0):
            start = len(vertices) * len(u)
            vertices.append(np.roll(np.stack([np.full_like(u, side), u, v], -1), axis, 1))
            for i in range(_BOX_CELLS):
                for j in range(_BOX_CELLS):
                    a = start + i * (_BOX_CELLS + 1) + j
                    b, c, d = a + 1, a + _BOX_CELLS + 1, a + _BOX_CELLS + 2
                    faces += [(a, b, c), (b, d, c)]
    return _oriented(np.concatenate(vertices), faces)


SHAPES: Final = {"ball": sphere(), "rod": cylinder(), "box": box()}


def random_rotation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Return a rotation, every one equally likely."""
    w, x, y, z = (q := rng.standard_normal(4)) / np.sqrt(q @ q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def painted(shape: Thing, rng: np.random.Generator) -> Float[np.ndarray, "V 3"]:
    """Return albedo in two colours: plain, striped or in patches."""
    colors = rng.uniform(0.1, 0.95, (2, 3)).astype(np.float32) ** 2.2
    kind = rng.random()
    if kind < 0.35:
        share = np.zeros(len(shape.vertices), np.float32)
    elif kind < 0.7:
        share = (np.sin(rng.uniform(2, 9) * shape.vertices @ rng.standard_normal(3)) > 0.2) * 1.0
    else:
        share = rng.random(len(shape.vertices))
    return (colors[0] + share[:, None] * (colors[1] - colors[0])).astype(np.float32)


_HELD_M: Final = {
    "ball": ((0.018, 0.018, 0.018), (0.045, 0.045, 0.045)),
    "rod": ((0.006, 0.006, 0.05), (0.035, 0.035, 0.11)),
    "box": ((0.004, 0.03, 0.05), (0.02, 0.05, 0.09)),
}
"""Smallest and largest half sizes of what a hand holds."""


def held(
    knuckles: Float[np.ndarray, " 3"], orient: Float[np.ndarray, "3 3"], rng: np.random.Generator
) -> Thing:
    """Return a thing in the palm, across it as a grip has it, or leaning.

    Args:
        knuckles: middle of the knuckles, camera frame.
        orient: global rotation of the hand: fingers along -x, back of the hand +y.
        rng: draws the thing.
    """
    name = ("ball", "rod", "box")[rng.integers(3)]
    low, high = (np.array(m) for m in _HELD_M[name])
    size = low + (high - low) * rng.random(3 if name == "box" else 1)
    if name == "rod":
        size = low + (high - low) * rng.random(2)[[0, 0, 1]]
    lean = 0.35 * rng.standard_normal(3)
    turn = orient @ _small_turn(lean)
    if name == "box":
        turn = turn @ np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])  # its thin side to the palm
    depth = 0.014 + size[0]
    at = knuckles + orient @ np.array([rng.uniform(-0.03, 0.035), -depth, rng.uniform(-0.02, 0.02)])
    shape = SHAPES[name]
    return Thing(shape.placed(turn, size, at), shape.faces, painted(shape, rng))


def _small_turn(v: np.ndarray) -> np.ndarray:
    """Return a rotation about `v` by nearly its length (Cayley's map)."""
    skew = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]]) / 2
    identity = np.eye(3)
    return np.linalg.solve(identity - skew, identity + skew)


def loose(at: Float[np.ndarray, " 3"], half_m: float, rng: np.random.Generator) -> Thing:
    """Return a thing of about a size that floats anywhere, in any direction."""
    shape = SHAPES[("ball", "rod", "box")[rng.integers(3)]]
    size = half_m * rng.uniform(0.3, 1.1, 3)
    if rng.random() < 0.4:
        size[2] *= 3
    return Thing(shape.placed(random_rotation(rng), size, at), shape.faces, painted(shape, rng))


def head(at: Float[np.ndarray, " 3"], albedo: np.ndarray, rng: np.random.Generator) -> Thing:
    """Return something of the size and colour of a face, for hands before faces."""
    shape = SHAPES["ball"]
    size = np.array([0.075, 0.085, 0.11]) * rng.uniform(0.85, 1.15)
    upright = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # its long axis along the image's y
    tint = albedo * rng.uniform(0.9, 1.1, (len(shape.vertices), 1))
    turn = upright @ _small_turn(0.3 * rng.standard_normal(3))
    return Thing(shape.placed(turn, size, at), shape.faces, tint.astype(np.float32))
