"""Triangle mesh arithmetic in numpy: edges, boundaries, normals, caps, volume, quality.

A mesh is a pair `vertices` (V, 3) in metres and `faces` (F, 3), counter-clockwise seen from outside.
"""

import numpy as np


def directed_edges(faces: np.ndarray) -> np.ndarray:
    """Return the half-edges (3F, 2) of the faces, in their own direction."""
    return np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the undirected edges (E, 2) and in how many faces each lies (E,)."""
    return np.unique(np.sort(directed_edges(faces), axis=1), axis=0, return_counts=True)


def boundary_loops(faces: np.ndarray) -> list[list[int]]:
    """Return each boundary as a list of vertices in the direction of its half-edges.

    Raises:
        ValueError: A vertex begins two boundary edges, so the mesh is pinched there.
    """
    half_edges = directed_edges(faces).astype(np.int64)
    forward, backward = half_edges @ (2**32, 1), half_edges @ (1, 2**32)
    border = half_edges[~np.isin(forward, backward)].tolist()
    following = dict(border)
    if len(following) != len(border):
        raise ValueError("the mesh is pinched: one vertex lies on two boundaries")
    loops = []
    while following:
        start, vertex = following.popitem()
        loop = [start]
        while vertex != start:
            loop.append(vertex)
            vertex = following.pop(vertex)
        loops.append(loop)
    return loops


def capped(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Close every boundary with a fan around its mean, appended as a new vertex."""
    for loop in boundary_loops(faces):
        center = len(vertices)
        vertices = np.vstack([vertices, vertices[loop].mean(0)])
        fan = [[b, a, center] for a, b in zip(loop, loop[1:] + loop[:1], strict=True)]
        faces = np.vstack([faces, fan])
    return vertices, faces


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the unnormalised normals (F, 3), of length twice the area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return unit normals (V, 3): the area-weighted mean of the faces around each vertex."""
    normals = vertex_sums(face_normals(vertices, faces), faces, len(vertices))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-15)


def vertex_sums(per_face: np.ndarray, faces: np.ndarray, count: int) -> np.ndarray:
    """Add a value (F, k) of each face to its three vertices and return the sums (count, k)."""
    sums = np.zeros((count, per_face.shape[1]))
    for k in range(3):
        np.add.at(sums, faces[:, k], per_face)
    return sums


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Return the volume in cubic metres with every boundary capped; negative if the faces look inwards."""
    points, triangles = capped(vertices, faces)
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def triangle_quality(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the quality (F,) of each triangle: 1 if equilateral, 0 if degenerate."""
    double_area = np.linalg.norm(face_normals(vertices, faces), axis=1)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    squared = ((b - a) ** 2).sum(1) + ((c - b) ** 2).sum(1) + ((a - c) ** 2).sum(1)
    return 2 * np.sqrt(3) * double_area / np.maximum(squared, 1e-18)


def edge_lengths(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the length (E,) of each undirected edge."""
    pairs, _ = edges(faces)
    return np.linalg.norm(vertices[pairs[:, 0]] - vertices[pairs[:, 1]], axis=1)


def compact(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drop unused vertices; return the vertices, the faces and the old indices that stayed."""
    kept, renumbered = np.unique(faces, return_inverse=True)
    return vertices[kept], renumbered.reshape(faces.shape), kept
