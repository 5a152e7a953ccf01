"""The drawn surface: hand and forearm in one piece, refined until its outline is smooth.

The hand model has 778 vertices. For the picture each triangle is split in four, twice, and the new
vertices are bowed out to follow the normals (Phong tessellation, Boubekeur and Alexa 2008). The
model's own vertices stay where they are, so the drawn hand is the hand of the truth.
"""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from tracker.geometry.topology import edge_faces
from tracker.geometry.zbuffer import vertex_normals

_BOW: Final = 0.75
_LEVELS: Final = 2
_ARM_M: Final = 0.3
_BEND_M: Final = 0.12
"""The forearm leaves the hand in the hand's direction and has its own after this length."""
_RINGS: Final = _ARM_M * np.linspace(0, 1, 15)[1:] ** 1.3
"""How far along the forearm its rings lie, metres."""
_GROWTH: Final = np.array([0.85, 0.5])
"""How much thicker and wider than the wrist the forearm is at its end."""
_TAPER_M: Final = 0.03
"""The slope with which the hand's outline ends dies away over this length."""
_STIFF: Final = 0.45
"""Part of the hand's own direction in the forearm's: an arm leans with its hand."""


class _Level(NamedTuple):
    faces: Int[np.ndarray, "f 3"]
    edges: Int[np.ndarray, "e 2"]


class ArmSurface:
    """Hand with forearm.

    Args:
        hand_faces: triangles of the right hand model, open at the wrist.
        hand_count: its number of vertices.
    """

    def __init__(self, hand_faces: Int[np.ndarray, "F 3"], hand_count: int) -> None:
        self._loop = _open_loop(hand_faces)
        count = hand_count + len(_RINGS) * len(self._loop)
        faces = np.concatenate([hand_faces, _tube(self._loop, hand_count)])
        self._levels: list[_Level] = []
        for _ in range(_LEVELS):
            edges = edge_faces(faces)[:, :2].astype(np.int64)
            self._levels.append(_Level(faces, edges))
            faces = _split(faces, edges, count)
            count += len(edges)
        self.faces = faces
        """Triangles of the refined surface; the model's vertices come first."""
        self.coarse_faces = self._levels[-1].faces
        """Triangles of the surface before it was refined for the last time."""
        self._hand_faces = hand_faces

    def refined(
        self,
        hand: Float[np.ndarray, "V 3"],
        orient: Float[np.ndarray, "3 3"],
        elbow: Float[np.ndarray, " 3"],
    ) -> Float[np.ndarray, "W 3"]:
        """Return the vertices of the refined surface.

        Args:
            hand: vertices of a right hand (of a left hand: mirrored), metres.
            orient: its global rotation.
            elbow: direction from the wrist to the elbow.
        """
        vertices = np.concatenate([hand, self._forearm(hand, orient, elbow)])
        for level in self._levels:
            normals = vertex_normals(vertices, level.faces).astype(np.float64)
            vertices = np.concatenate([vertices, _bowed(vertices, normals, level.edges)])
        return vertices

    def spread(self, values: Float[np.ndarray, "V k"]) -> Float[np.ndarray, "W k"]:
        """Return values of the model's vertices on the refined surface; the forearm has its loop's."""
        values = np.concatenate([values, np.tile(values[self._loop], (len(_RINGS), 1))])
        for level in self._levels:
            values = np.concatenate([values, values[level.edges].mean(1)])
        return values

    def _forearm(self, hand: np.ndarray, orient: np.ndarray, elbow: np.ndarray) -> np.ndarray:
        """Return the rings of the forearm, which bends from the hand's axis towards the elbow."""
        loop, axis = hand[self._loop], orient[:, 0]
        section = (loop - loop.mean(0)) @ orient  # in the hand's own axes: x along, y thick, z wide
        outward = section * [0, 1, 1] / np.linalg.norm(section[:, 1:], axis=1, keepdims=True)
        normals = vertex_normals(hand, self._hand_faces)[self._loop] @ orient
        slope = -normals[:, :1] / np.clip((normals * outward).sum(1, keepdims=True), 0.5, None)
        goal = _STIFF * axis + (1 - _STIFF) * elbow / np.linalg.norm(elbow)
        center, before = loop.mean(0), 0.0
        rings: list[np.ndarray] = []
        for way in _RINGS:
            bend = _smoothstep(way / _BEND_M)
            along = (1 - bend) * axis + bend * goal / np.linalg.norm(goal)
            along = along / np.linalg.norm(along)
            center, before = center + (way - before) * along, way
            turn = Rotation.align_vectors(along[None], axis[None])[0].as_matrix()
            section = _rounder(section)
            thick, wide = 1 + _GROWTH * _smoothstep(way / _ARM_M)
            sized = section * [1 - bend, thick, wide]
            sized = sized + outward * slope * way * np.exp(-way / _TAPER_M)
            rings.append(center + sized @ orient.T @ turn.T)
        return np.concatenate(rings)


def _open_loop(faces: np.ndarray) -> np.ndarray:
    """Return the vertices around the one opening, in the order in which the faces run along it."""
    following = {int(a): int(b) for a, b, _, right in edge_faces(faces) if right < 0}
    loop = [min(following)]
    while (after := following[loop[-1]]) != loop[0]:
        loop.append(after)
    return np.array(loop)


def _tube(loop: np.ndarray, first: int) -> np.ndarray:
    """Return the triangles between the loop and the rings, whose vertices start at `first`."""
    size = len(loop)
    rings = np.concatenate([loop[None], first + np.arange(size * len(_RINGS)).reshape(-1, size)])
    a, a_next = rings[:-1], rings[1:]
    b, b_next = np.roll(a, -1, 1), np.roll(a_next, -1, 1)
    triangles = [np.stack([b, a, a_next], -1), np.stack([b, a_next, b_next], -1)]
    return np.concatenate(triangles).reshape(-1, 3)


def _split(faces: np.ndarray, edges: np.ndarray, count: int) -> np.ndarray:
    """Return each triangle as four; the middle of edge i becomes vertex `count + i`."""
    middle = {(a, b): count + i for i, (a, b) in enumerate(np.sort(edges, 1).tolist())}

    def between(p: int, q: int) -> int:
        return middle[min(p, q), max(p, q)]

    parts: list[tuple[int, int, int]] = []
    for a, b, c in faces.tolist():
        ab, bc, ca = between(a, b), between(b, c), between(c, a)
        parts += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.array(parts, np.int32)


def _bowed(vertices: np.ndarray, normals: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the middles of the edges, moved towards the tangent planes of both ends."""
    ends, up = vertices[edges], normals[edges]
    middle = ends.mean(1)
    height = ((middle[:, None] - ends) * up).sum(-1, keepdims=True)
    return middle - _BOW * (height * up).mean(1)


def _rounder(loop: np.ndarray) -> np.ndarray:
    """Return a loop about the origin with its corners smoothed and its size kept."""
    smooth = (np.roll(loop, 1, 0) + 2 * loop + np.roll(loop, -1, 0)) / 4
    return smooth * np.linalg.norm(loop) / np.linalg.norm(smooth)


def _smoothstep(value: float) -> float:
    t = min(max(value, 0.0), 1.0)
    return t * t * (3 - 2 * t)
