"""Reduce a mesh to an exact number of vertices by half-edge collapses, in passes of independent collapses.

The cost of a collapse is the quadric error of Garland & Heckbert (1997) plus a term for large, thin and
crowded triangles. Costs are computed for all half-edges at once; a pass takes the cheapest ones whose
neighbourhoods do not touch, so each is valid whatever the others do.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array

from train.open_hand import mesh

REGULARITY = 3e-3
"""Weight of the shape term against the quadric error, both in units of (mean edge)^4."""
SHARE_PER_PASS = 0.06
"""Largest share of the vertices that one pass removes; small passes keep close to the cheapest-first order."""


@dataclass(frozen=True)
class Limits:
    """What a collapse must not do: the floor on triangle quality and on the cosine of a normal's turn."""

    quality: float = 0.45
    turn: float = 0.5

    def relaxed(self) -> "Limits":
        """Return the next, more permissive limits."""
        return Limits(max(self.quality - 0.07, 0.12), self.turn - 0.05)


def decimate(
    vertices: np.ndarray,
    faces: np.ndarray,
    *,
    count: int,
    rim: int,
    locked: np.ndarray,
    density: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Collapse half-edges until `count` vertices are left.

    Args:
        vertices: Positions (v, 3).
        faces: Triangles (f, 3) of a surface with one boundary.
        count: Vertices to keep.
        rim: Boundary vertices to keep.
        locked: Vertices (v,) that must stay.
        density: Factor (v,) on the wish for small triangles; above one keeps more vertices.

    Returns:
        The indices of the vertices that stay, ascending, and the faces renumbered to them.

    Raises:
        ValueError: No valid collapse is left before the target is reached.
    """
    limits = Limits()
    alive = np.arange(len(vertices))
    while len(alive) > count:
        points = vertices[alive]
        moves = _independent_collapses(
            points, faces, limits, count, rim, locked[alive], density[alive]
        )
        if not len(moves):
            limits = limits.relaxed()
            if limits.turn < -0.1:
                raise ValueError(
                    f"the mesh cannot be reduced below {len(alive)} vertices, {count} wanted"
                )
            continue
        target = np.arange(len(points))
        target[moves[:, 0]] = moves[:, 1]
        faces = target[faces]
        a, b, c = faces.T
        _, faces, kept = mesh.compact(points, faces[(a != b) & (b != c) & (c != a)])
        alive = alive[kept]
    return alive, faces


def _independent_collapses(
    points: np.ndarray,
    faces: np.ndarray,
    limits: Limits,
    count: int,
    rim: int,
    locked: np.ndarray,
    density: np.ndarray,
) -> np.ndarray:
    """Return collapses (n, 2), from and to, that may all be made at once."""
    n = len(points)
    half_edges, cost, on_rim = _collapse_costs(points, faces, limits, locked, density)
    order = np.argsort(cost, kind="stable")
    order = order[np.isfinite(cost[order])]
    neighbours = [set() for _ in range(n)]
    for a, b in mesh.directed_edges(faces).tolist():
        neighbours[a].add(b)
        neighbours[b].add(a)
    frozen = np.zeros(n, bool)
    spare = n - count
    spare_rim = int(on_rim.sum()) - rim
    quota = min(spare, max(1, int(SHARE_PER_PASS * n)))
    moves = []
    for u, v in half_edges[order].tolist():
        if len(moves) == quota:
            break
        if frozen[u] or frozen[v] or (on_rim[u] and spare_rim == 0):
            continue
        # What is left must suffice to thin the rim, so interior collapses wait when it does not.
        if not on_rim[u] and spare - len(moves) <= spare_rim:
            continue
        moves.append((u, v))
        spare_rim -= int(on_rim[u])
        frozen[list(neighbours[u] | neighbours[v])] = True
    return np.array(moves, int).reshape(-1, 2)


def _collapse_costs(
    points: np.ndarray, faces: np.ndarray, limits: Limits, locked: np.ndarray, density: np.ndarray
):
    """Return all half-edges (both ways), the cost of each (inf if forbidden), and which vertices lie on the rim."""
    n = len(points)
    pairs, uses = mesh.edges(faces)
    on_rim = np.zeros(n, bool)
    on_rim[pairs[uses == 1]] = True
    half_edges, uses = np.vstack([pairs, pairs[:, ::-1]]), np.tile(uses, 2)
    u, v = half_edges.T
    adjacency = coo_array((np.ones(len(u)), (u, v)), shape=(n, n)).tocsr()
    common = np.asarray((adjacency @ adjacency)[u, v]).ravel()
    degree = np.bincount(u, minlength=n)
    turn, quality, extent = _ring_after(points, faces, half_edges)
    allowed = ~locked[u] & (common == uses) & (turn > limits.turn) & (quality > limits.quality)
    allowed &= ~on_rim[u] | (uses == 1)
    size = np.linalg.norm(points[u] - points[v], axis=1).mean()
    crowd = np.maximum(degree[u] + degree[v] - common - 9, 0)
    shape = (extent / 3 / size**2) ** 2 * density[u] ** 2 + (1 - quality) ** 2 + 0.1 * crowd**2
    cost = _quadric_errors(points, faces, half_edges) + REGULARITY * size**4 * shape
    return half_edges, np.where(allowed, cost, np.inf), on_rim


def _ring_after(points: np.ndarray, faces: np.ndarray, half_edges: np.ndarray):
    """Return per collapse the worst normal cosine, the worst quality and the largest size of the faces it moves."""
    n = len(points)
    corner_order = np.argsort(faces.ravel(), kind="stable")
    face_of_corner = corner_order // 3
    degree = np.bincount(faces.ravel(), minlength=n)
    first = np.concatenate([[0], np.cumsum(degree)])
    u, v = half_edges.T
    lengths = degree[u]
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    edge = np.repeat(np.arange(len(u)), lengths)
    around = face_of_corner[first[u][edge] + np.arange(len(edge)) - begins[edge]]
    before = faces[around]
    after = np.where(before == u[edge][:, None], v[edge][:, None], before)
    gone = (before == v[edge][:, None]).any(1)
    old, new = mesh.face_normals(points, before), mesh.face_normals(points, after)
    scale = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
    turn = np.where(gone, 1.0, (old * new).sum(1) / np.maximum(scale, 1e-18))
    quality = np.where(gone, 1.0, mesh.triangle_quality(points, after))
    corners = points[after]
    extent = ((corners - np.roll(corners, 1, axis=1)) ** 2).sum((1, 2))
    extent = np.where(gone, 0.0, extent)
    return (
        np.minimum.reduceat(turn, begins),
        np.minimum.reduceat(quality, begins),
        np.maximum.reduceat(extent, begins),
    )


def _quadric_errors(points: np.ndarray, faces: np.ndarray, half_edges: np.ndarray) -> np.ndarray:
    """Return the error of both ends' quadrics at the end that stays."""
    normals = mesh.face_normals(points, faces)
    double_area = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.maximum(double_area, 1e-15)
    planes = np.column_stack([normals, -(normals * points[faces[:, 0]]).sum(1)])
    products = (planes[:, :, None] * planes[:, None] * double_area[:, :, None] / 2).reshape(-1, 16)
    quadrics = mesh.vertex_sums(products, faces, len(points)).reshape(-1, 4, 4)
    u, v = half_edges.T
    stays = np.column_stack([points[v], np.ones(len(v))])
    return np.einsum("ni,nij,nj->n", stays, quadrics[u] + quadrics[v], stays)
