"""Exact tests on triangle meshes: which triangles pierce each other, which points lie inside."""

import numpy as np
from scipy.spatial import KDTree

from train.open_hand import mesh


def piercing_pairs(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the pairs (n, 2) of triangles without a common vertex of which one's edge pierces the other."""
    corners = vertices[faces]
    low, high = corners.min(1), corners.max(1)
    center, radius = (low + high) / 2, np.linalg.norm(high - low, axis=1) / 2
    i, j = KDTree(center).query_pairs(2 * radius.max(), output_type="ndarray").T
    boxes_meet = ((low[i] <= high[j]) & (low[j] <= high[i])).all(1)
    i, j = i[boxes_meet], j[boxes_meet]
    adjacent = (faces[i][:, :, None] == faces[j][:, None]).any((1, 2))
    i, j = i[~adjacent], j[~adjacent]
    pierces = _edges_pierce(corners[i], corners[j]) | _edges_pierce(corners[j], corners[i])
    return np.column_stack([i[pierces], j[pierces]])


def _edges_pierce(triangles: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return whether an edge of each triangle (n, 3, 3) pierces its target (Moeller & Trumbore 1997)."""
    origin = targets[:, 0]
    side_u, side_v = targets[:, 1] - origin, targets[:, 2] - origin
    hit = np.zeros(len(triangles), bool)
    for k in range(3):
        start, edge = triangles[:, k], triangles[:, (k + 1) % 3] - triangles[:, k]
        cross = np.cross(edge, side_v)
        determinant = (side_u * cross).sum(1)
        flat = np.abs(determinant) <= 1e-18
        inverse = 1 / np.where(flat, 1.0, determinant)
        offset = start - origin
        u = inverse * (offset * cross).sum(1)
        normal = np.cross(offset, side_u)
        v = inverse * (edge * normal).sum(1)
        t = inverse * (side_v * normal).sum(1)
        hit |= ~flat & (u > 0) & (v > 0) & (u + v < 1) & (t > 0) & (t < 1)
    return hit


def contains(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return which points (n,) lie inside the capped mesh, by winding number (van Oosterom & Strackee 1983)."""
    vertices, faces = mesh.capped(vertices, faces)
    a, b, c = (vertices[faces[:, k]] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=2) for x in (a, b, c))
    top = (a * np.cross(b, c)).sum(2)
    bottom = la * lb * lc + (a * b).sum(2) * lc + (b * c).sum(2) * la + (c * a).sum(2) * lb
    winding = np.arctan2(top, bottom).sum(1) / (2 * np.pi)
    return np.abs(winding) > 0.5
