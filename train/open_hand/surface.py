"""From the hand's field to a triangle mesh: marching cubes, projection onto the skin, the cut at the wrist."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from train.open_hand import mesh
from train.open_hand.anthropometry import MM
from train.open_hand.hand_shape import WRIST_CUT
from train.open_hand.sdf import Field, project

BOX = np.array([(-196, -62, -85), (36, 34, 118)]) * MM
"""Two corners of a box that holds the whole hand and a little more forearm than is kept."""


def grid_points(spacing: float) -> np.ndarray:
    """Return the points (nx, ny, nz, 3) of a grid over the hand's box."""
    counts = np.ceil((BOX[1] - BOX[0]) / spacing).astype(int)
    axes = [BOX[0][k] + spacing * np.arange(counts[k]) for k in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def sample_grid(field: Field, points: np.ndarray) -> np.ndarray:
    """Evaluate a field on a grid, one slab at a time to stay within the cache."""
    return np.stack([field(slab.reshape(-1, 3)).reshape(slab.shape[:-1]) for slab in points])


def extract_surface(field: Field, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Mesh the zero set of a field, open at the wrist.

    Args:
        field: The shape, see `sdf.Field`.
        spacing: Edge of the marching cubes in metres.

    Returns:
        Vertices on the skin, those of the rim exactly in the wrist's plane, and faces.
    """
    values = sample_grid(field, grid_points(spacing))
    vertices, faces, _, _ = marching_cubes(values, 0, spacing=(spacing,) * 3)
    vertices = project(field, vertices.astype(float) + BOX[0])
    if mesh.volume(vertices, faces) < 0:
        faces = faces[:, ::-1]
    faces = faces[(vertices[faces][:, :, 0] < WRIST_CUT).all(1)]
    vertices, faces, _ = mesh.compact(vertices, _largest_component(faces, len(vertices)))
    rim = max(mesh.boundary_loops(faces), key=len)
    vertices[rim, 0] = WRIST_CUT
    vertices[rim] = project_rim(field, vertices[rim])
    return vertices, faces


def project_rim(field: Field, points: np.ndarray) -> np.ndarray:
    """Move points onto the skin within the wrist's plane."""
    for _ in range(3):
        moved = project(field, points, iterations=1)
        points = np.column_stack([points[:, 0], moved[:, 1:]])
    return points


def _largest_component(faces: np.ndarray, count: int) -> np.ndarray:
    a, b = mesh.directed_edges(faces).T
    _, labels = connected_components(
        coo_array((np.ones(len(a)), (a, b)), shape=(count, count)), False
    )
    face_labels = labels[faces[:, 0]]
    return faces[face_labels == np.bincount(face_labels).argmax()]
