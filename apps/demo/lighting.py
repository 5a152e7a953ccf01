"""Light for the demo's hands: soft, with shadows, and not the light the tracker assumes.

The room is some dozen lamps: a dim sphere of them for walls and ceiling, and a bright cluster for
the window. Each lamp has its own shadow map, so together they give soft shadows and dark creases.
"""

from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tracker.geometry.skin_tones import linear_from_srgb, srgb_from_linear
from tracker.geometry.topology import closed_faces, edge_faces
from tracker.geometry.zbuffer import rasterise, vertex_normals

_AMBIENT_LAMPS: Final = 24
_WINDOW_LAMPS: Final = 8
_WINDOW: Final = np.array([0.62, -0.58, -0.53])
"""Towards the window, camera frame: the upper right, on the camera's side."""
_WINDOW_SPREAD: Final = 0.22
_WINDOW_RGB: Final = np.array([1.02, 0.98, 0.92])
_CEILING_RGB: Final = np.array([0.60, 0.60, 0.62])
_FLOOR_RGB: Final = np.array([0.33, 0.29, 0.26])
_WRAP: Final = np.array([0.30, 0.14, 0.10])
"""Light goes round the edge of a shadow inside the skin, red light farthest."""
_GLOSS: Final = 0.035
_GLOSS_POWER: Final = 18.0
_MAP_PX: Final = 192
_REACH_M: Final = 0.3
_FAR_M: Final = 5.0
_SLACK_M: Final = 0.0025


class RoomLight:
    """The demo's light on one kind of surface.

    Args:
        faces: of the surface, counter-clockwise seen from outside.
        occluder: a coarser version of it, on the first of its vertices, which throws the shadows.
        count: its number of vertices.
    """

    def __init__(
        self, faces: Int[np.ndarray, "F 3"], occluder: Int[np.ndarray, "G 3"], count: int
    ) -> None:
        self._faces = faces
        self._occluder = closed_faces(occluder)
        self._smooth = _neighbour_mean(faces, count)

    def lit(
        self, vertices: Float[np.ndarray, "W 3"], albedo: Float[np.ndarray, "W 3"]
    ) -> Float[np.ndarray, "W 3"]:
        """Return the sRGB colours of the surface, its shadows on itself included.

        Args:
            vertices: camera frame, metres.
            albedo: sRGB.
        """
        normals = vertex_normals(vertices, self._faces).astype(np.float64)
        light = np.zeros_like(normals)
        for direction, rgb in _ambient_lamps():
            seen = self._seen(vertices, direction)
            light += rgb * seen * _wrapped(normals @ direction)
        eye = -vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
        gloss = np.zeros_like(normals)
        for direction, rgb in _window_lamps():
            seen, facing = self._seen(vertices, direction), normals @ direction
            light += rgb * seen * _wrapped(facing)
            half = (eye + direction) / np.linalg.norm(eye + direction, axis=1, keepdims=True)
            shine = np.clip((normals * half).sum(1), 0, None) ** _GLOSS_POWER
            gloss += rgb * seen * (shine * np.clip(facing, 0, 1))[:, None]
        linear = linear_from_srgb(albedo.astype(np.float64)) * light + _GLOSS * gloss
        return srgb_from_linear(linear)

    def _seen(
        self, vertices: Float[np.ndarray, "W 3"], direction: Float[np.ndarray, " 3"]
    ) -> Float[np.ndarray, "W 1"]:
        """Return how much of a vertex's surroundings a far lamp in this direction reaches."""
        from_lamp = (vertices - vertices.mean(0)) @ _axes(-direction).T + [0, 0, _FAR_M]
        focal = _MAP_PX / 2 * _FAR_M / _REACH_M
        K = np.array([[focal, 0, _MAP_PX / 2], [0, focal, _MAP_PX / 2], [0, 0, 1]])
        _, nearest = rasterise(from_lamp, self._occluder, K, (_MAP_PX, _MAP_PX))
        uv = focal * from_lamp[:, :2] / from_lamp[:, 2:] + _MAP_PX / 2
        x, y = uv.astype(int).clip(0, _MAP_PX - 1).T
        seen = 1 / from_lamp[:, 2] > nearest[y, x] - _SLACK_M / _FAR_M**2
        return (self._smooth @ (self._smooth @ seen.astype(np.float64)))[:, None]


def _ambient_lamps() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return direction and colour of the lamps that stand for walls, ceiling and floor."""
    # Of a surface's sphere half is below it and the rest counts by its cosine: a quarter is left.
    share = 4 / _AMBIENT_LAMPS
    up = [(d, 0.5 - 0.5 * float(d[1])) for d in _sphere(_AMBIENT_LAMPS)]
    return [(d, share * (_FLOOR_RGB + u * (_CEILING_RGB - _FLOOR_RGB))) for d, u in up]


def _window_lamps() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return direction and colour of the lamps that stand for the window."""
    places = _WINDOW / np.linalg.norm(_WINDOW) + _WINDOW_SPREAD * _sphere(_WINDOW_LAMPS)
    return [(p / np.linalg.norm(p), _WINDOW_RGB / _WINDOW_LAMPS) for p in places]


def _sphere(count: int) -> Float[np.ndarray, "n 3"]:
    """Return evenly spread directions (a Fibonacci lattice)."""
    i = np.arange(count) + 0.5
    height, turn = 1 - 2 * i / count, np.pi * (1 + 5**0.5) * i
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], -1)


def _axes(forward: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Return a right-handed frame, one axis a row, the third of them `forward`."""
    side = np.cross(forward, np.eye(3)[np.abs(forward).argmin()])
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(forward, side), forward])


def _wrapped(facing: Float[np.ndarray, " W"]) -> Float[np.ndarray, "W 3"]:
    """Return the light that skin gives back for the cosine between normal and lamp."""
    return np.clip((facing[:, None] + _WRAP) / (1 + _WRAP), 0, None)


def _neighbour_mean(faces: Int[np.ndarray, "F 3"], count: int) -> sparse.csr_matrix:
    """Return the matrix that averages a vertex with its neighbours."""
    edges = edge_faces(faces)[:, :2]
    pairs = np.concatenate([edges, edges[:, ::-1], np.arange(count)[:, None].repeat(2, 1)])
    matrix = sparse.csr_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    return sparse.csr_matrix(matrix.multiply(1 / matrix.sum(1)))
