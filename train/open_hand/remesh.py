"""Improve and reduce the assembled mesh: edge flips, tangential relaxation on the skin, staged decimation.

Reducing in one go gets stuck with thin triangles; reducing in stages of about a fifth, each followed by flips
and relaxation, reaches the target with nearly equilateral ones.
"""

import numpy as np

from train.open_hand import mesh
from train.open_hand.anthropometry import LONG_FINGERS, MM, Skeleton
from train.open_hand.decimate import decimate
from train.open_hand.sdf import Field, project
from train.open_hand.surface import project_rim
from train.open_hand.topology import Topology

VERTICES, RIM = 778, 16
"""The counts of the file layout; a disc with 778 vertices and 1538 faces has a boundary of exactly 16."""
STAGE = 0.78
LEAST_FLIP_GAIN = 1.05
FLATTEST_EDGE = 0.7
"""Edges whose faces' normals have a smaller cosine are creases and are not flipped."""


def vertex_density(points: np.ndarray, bones: Skeleton) -> np.ndarray:
    """Return the wish for density (n,): more at the knuckles, fewer on the forearm."""
    heads = np.array([bones.chain(finger)[0] for finger in LONG_FINGERS])
    apart = np.linalg.norm(points[:, None, [0, 2]] - heads[:, [0, 2]], axis=2).min(1)
    forearm = points[:, 0] > bones.joints[0, 0] - 20 * MM
    return np.where(forearm, 0.65, 1.0) + 0.8 * np.exp(-((apart / (16 * MM)) ** 2))


def reduce(field: Field, bones: Skeleton, start: Topology) -> Topology:
    """Reduce an assembled mesh to the file layout's counts, keeping its locked vertices.

    Args:
        field: The skin the vertices stay on.
        bones: Skeleton in the frame of `field`.
        start: Mesh with one boundary, the wrist.
    """
    current = start
    counts = stage_counts(len(start.vertices))
    rims = np.geomspace(len(mesh.boundary_loops(start.faces)[0]), RIM, len(counts) + 1)[1:]
    for count, rim in zip(counts, rims.round().astype(int).tolist(), strict=True):
        kept, faces = decimate(
            current.vertices,
            current.faces,
            count=count,
            rim=rim,
            locked=current.locked,
            density=vertex_density(current.vertices, bones),
        )
        tips = np.searchsorted(kept, current.tips)
        current = Topology(current.vertices[kept], faces, current.locked[kept], tips)
        current = relax(field, current, iterations=25 if count == VERTICES else 5)
    return current


def stage_counts(vertices: int) -> list[int]:
    """Return the falling vertex counts that lead from a mesh to `VERTICES`."""
    counts = []
    while (vertices := int(vertices * STAGE)) > VERTICES / STAGE:
        counts.append(vertices)
    return [*counts, VERTICES]


def relax(field: Field, shape: Topology, iterations: int) -> Topology:
    """Even out the free vertices on the skin, flipping edges where that helps; the rim stays in its plane."""
    points, faces = shape.vertices.copy(), flip_edges(shape.vertices, shape.faces, shape.locked)
    rim = np.array(mesh.boundary_loops(faces)[0])
    free = ~shape.locked
    free[rim] = False
    for _ in range(iterations):
        centers = points[faces].mean(1)
        areas = np.linalg.norm(mesh.face_normals(points, faces), axis=1, keepdims=True)
        sums = mesh.vertex_sums(np.hstack([centers * areas, areas]), faces, len(points))
        pull = sums[:, :3] / sums[:, 3:] - points
        normals = mesh.vertex_normals(points, faces)
        pull -= normals * (pull * normals).sum(1, keepdims=True)
        points[free] = project(field, points[free] + 0.5 * pull[free])
        between = (points[np.roll(rim, 1)] + points[np.roll(rim, -1)]) / 2
        points[rim] = project_rim(field, (points[rim] + between) / 2)
        faces = flip_edges(points, faces, shape.locked, passes=1)
    return Topology(points, faces, shape.locked, shape.tips)


def flip_edges(
    points: np.ndarray, faces: np.ndarray, locked: np.ndarray, passes: int = 4
) -> np.ndarray:
    """Flip edges where that raises the smaller of the two triangles' smallest angles.

    Edges between two locked vertices, creases and edges of vertices with four faces or fewer stay.
    """
    for _ in range(passes):
        flipped = _flip_pass(points, faces, locked)
        if flipped is None:
            break
        faces = flipped
    return faces


def _flip_pass(points: np.ndarray, faces: np.ndarray, locked: np.ndarray) -> np.ndarray | None:
    i, j, quads = _edge_quads(faces, len(points))
    a, b, c, d = quads.T
    old = np.minimum(_smallest_angle(points, faces[i]), _smallest_angle(points, faces[j]))
    first, second = np.stack([a, d, c], axis=1), np.stack([d, b, c], axis=1)
    new = np.minimum(_smallest_angle(points, first), _smallest_angle(points, second))
    unit = mesh.face_normals(points, faces)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-18)
    mean = unit[i] + unit[j]
    wanted = (new > old * LEAST_FLIP_GAIN) & ((unit[i] * unit[j]).sum(1) >= FLATTEST_EDGE)
    wanted &= (
        ~(locked[a] & locked[b])
        & _faces_along(points, first, mean)
        & _faces_along(points, second, mean)
    )
    existing = set(map(tuple, mesh.directed_edges(faces).tolist()))
    valence = np.bincount(faces.ravel(), minlength=len(points))
    touched = np.zeros(len(points), bool)
    result = faces.copy()
    chosen = np.flatnonzero(wanted)
    for k in chosen[np.argsort(old[chosen] - new[chosen], kind="stable")]:
        p, q, r, s = quads[k]
        corners = quads[k]
        if (
            touched[corners].any()
            or (r, s) in existing
            or (s, r) in existing
            or min(valence[[p, q]]) <= 4
        ):
            continue
        result[i[k]], result[j[k]] = first[k], second[k]
        touched[corners] = True
    return result if touched.any() else None


def _edge_quads(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each inner edge its two faces and the vertices: edge a to b in the first, c and d opposite."""
    half_edges = mesh.directed_edges(faces)
    opposite = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    face = np.tile(np.arange(len(faces)), 3)
    low, high = np.sort(half_edges, axis=1).T
    key = low * count + high
    order = np.argsort(key, kind="stable")
    twin = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    one, other = order[twin], order[twin + 1]
    quads = np.column_stack([half_edges[one], opposite[one], opposite[other]])
    return face[one], face[other], quads


def _faces_along(points: np.ndarray, triangles: np.ndarray, direction: np.ndarray) -> np.ndarray:
    normal = mesh.face_normals(points, triangles)
    length = np.maximum(np.linalg.norm(normal, axis=1), 1e-18)
    return (normal * direction).sum(1) / length > 0.3


def _smallest_angle(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = points[triangles]
    ahead = np.roll(corners, -1, axis=1) - corners
    behind = np.roll(corners, 1, axis=1) - corners
    lengths = np.linalg.norm(ahead, axis=2) * np.linalg.norm(behind, axis=2)
    cosines = (ahead * behind).sum(2) / np.maximum(lengths, 1e-18)
    return np.arccos(np.clip(cosines, -1, 1)).min(1)
