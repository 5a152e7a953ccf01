"""What a triangle list says beyond its triangles: neighbours across an edge, and open borders.

Both are properties of the list alone, so they are computed once for each hand and remembered.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Int

_CACHE_SIZE: Final = 32  # right, left and a few pairs of hands, capped and uncapped


def closed_faces(faces: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "F2 3"]:
    """Return the faces with every open border closed by a fan (a hand is open at the wrist).

    The given faces come first and unchanged; the caps are wound like their neighbours. On a closed
    surface back faces are never seen, so a renderer may cull them without looking through the hand.
    """
    return _closed(*_key(faces))


def edge_faces(faces: Int[np.ndarray, "F 3"]) -> Int[np.ndarray, "E 4"]:
    """Return each edge once as (a, b, left, right).

    Face `left` runs along a -> b, face `right` along b -> a; `right` is -1 at an open border.
    """
    return _edges(*_key(faces))


def _key(faces: np.ndarray) -> tuple[bytes, int]:
    return np.ascontiguousarray(faces, np.int32).tobytes(), len(faces)


@lru_cache(_CACHE_SIZE)
def _edges(raw: bytes, count: int) -> np.ndarray:
    faces = np.frombuffer(raw, np.int32).reshape(count, 3)
    owner: dict[tuple[int, int], int] = {}
    for face, (a, b, c) in enumerate(faces.tolist()):
        for edge in ((a, b), (b, c), (c, a)):
            owner[edge] = face
    rows = [
        (a, b, face, owner.get((b, a), -1))
        for (a, b), face in owner.items()
        if a < b or (b, a) not in owner
    ]
    edges = np.array(rows, np.int32).reshape(-1, 4)
    edges.setflags(write=False)
    return edges


@lru_cache(_CACHE_SIZE)
def _closed(raw: bytes, count: int) -> np.ndarray:
    faces = np.frombuffer(raw, np.int32).reshape(count, 3)
    border = _edges(raw, count)
    # A border edge a -> b belongs to a face of the surface, so its cap runs b -> a.
    following = {int(b): int(a) for a, b, _, right in border if right < 0}
    caps: list[tuple[int, int, int]] = []
    while following:
        first, current = following.popitem()
        loop = [first, current]
        while (current := following.pop(current, first)) != first:
            loop.append(current)
        caps += [(first, b, c) for b, c in pairwise(loop[1:])]
    closed = np.concatenate([faces, np.array(caps, np.int32).reshape(-1, 3)])
    closed.setflags(write=False)
    return closed
