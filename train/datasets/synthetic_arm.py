"""The drawn hand with the forearm it hangs on, in one closed surface."""

import math
from dataclasses import dataclass
from typing import Final, no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from tracker.geometry.skinning import rodrigues
from tracker.geometry.topology import closed_faces, edge_faces

RINGS: Final = 7
_ARM_M: Final = 0.30
_RING_M: Final = (_ARM_M * np.linspace(0, 1, RINGS + 1)[1:] ** 1.4).astype(np.float32)
"""How far along the forearm its rings lie."""
_BEND_M: Final = 0.05
"""The wrist bends over this length."""
_THICKER: Final = 0.85
_WIDER: Final = 0.45
"""How much the forearm grows from the wrist to its end."""


@dataclass(frozen=True)
class ArmTopology:
    """Triangles of hand and forearm; the hand's own vertices and faces come first."""

    faces: Int[np.ndarray, "F 3"]
    loop: Int[np.ndarray, " n"]
    """Vertices around the wrist, as the hand's faces run along it."""
    hand_vertices: int
    hand_faces: int

    @classmethod
    def of_hand(cls, faces: Int[np.ndarray, "F 3"], vertices: int) -> "ArmTopology":
        """Continue a hand that is open at the wrist."""
        loop = _open_loop(faces)
        whole = np.concatenate([faces, _tube(loop, vertices)])
        return cls(closed_faces(whole).astype(np.int32), loop, vertices, len(faces))

    @property
    def vertices(self) -> int:
        """Number of vertices of hand and forearm."""
        return self.hand_vertices + RINGS * len(self.loop)

    def spread(self, colors: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "W 3"]:
        """Return colours of hand and forearm; along the forearm the wrist's turn into their mean."""
        wrist = colors[self.loop]
        share = np.linspace(0, 1, RINGS + 1)[1:, None, None] ** 0.5
        return np.concatenate([colors, (wrist + share * (wrist.mean(0) - wrist)).reshape(-1, 3)])

    def with_forearm(
        self,
        hand: Float[np.ndarray, "V 3"],
        orient: Float[np.ndarray, "3 3"],
        bend: Float[np.ndarray, " 3"],
    ) -> Float[np.ndarray, "W 3"]:
        """Return the vertices of hand and forearm (float32).

        Args:
            hand: vertices of a posed hand, metres.
            orient: its global rotation.
            bend: turn of the forearm in the hand's axes, axis-angle.
        """
        vertices = np.empty((self.vertices, 3), np.float32)
        vertices[: self.hand_vertices] = hand
        _forearm(vertices, self.hand_vertices, self.loop, orient.astype(np.float64), bend)
        return vertices


def _open_loop(faces: np.ndarray) -> np.ndarray:
    """Return the vertices around the one opening, in the order in which the faces run along it."""
    following = {int(a): int(b) for a, b, _, right in edge_faces(faces) if right < 0}
    loop = [min(following)]
    while (after := following[loop[-1]]) != loop[0]:
        loop.append(after)
    return np.array(loop)


def _tube(loop: np.ndarray, first: int) -> np.ndarray:
    """Return the triangles between the loop and the rings, whose vertices start at `first`."""
    rings = np.concatenate([loop, first + np.arange(len(loop) * RINGS)]).reshape(-1, len(loop))
    a, a_next = rings[:-1], rings[1:]
    b, b_next = np.roll(a, -1, 1), np.roll(a_next, -1, 1)
    triangles = [np.stack([b, a, a_next], -1), np.stack([b, a_next, b_next], -1)]
    return np.concatenate(triangles).reshape(-1, 3)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _forearm(vertices, first, loop, orient, bend):
    """Sweep the wrist's outline along the forearm; fingers point along -x of the hand's axes."""
    count = loop.shape[0]
    center = np.zeros(3)
    for i in range(count):
        for r in range(3):
            center[r] += vertices[loop[i], r] / count
    section = np.zeros((count, 3))
    for i in range(count):
        for c in range(3):
            for r in range(3):
                section[i, c] += (vertices[loop[i], r] - center[r]) * orient[r, c]
    turn = np.empty((3, 3))
    before = 0.0
    for ring in range(RINGS):
        way = float(_RING_M[ring])
        t = min(way / _BEND_M, 1.0)
        t = t * t * (3 - 2 * t)
        rodrigues(bend[0] * t, bend[1] * t, bend[2] * t, turn)
        whole = orient @ turn
        for r in range(3):
            center[r] += (way - before) * whole[r, 0]
        before = way
        grown = math.sqrt(way / _ARM_M)
        thick, wide = 1 + _THICKER * grown * way / _ARM_M, 1 + _WIDER * grown * way / _ARM_M
        for i in range(count):
            x, y, z = section[i, 0] * (1 - t), section[i, 1] * thick, section[i, 2] * wide
            for r in range(3):
                place = center[r] + whole[r, 0] * x + whole[r, 1] * y + whole[r, 2] * z
                vertices[first + ring * count + i, r] = place
