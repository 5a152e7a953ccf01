"""Skinning weights: one harmonic function per joint, solved in the hand's volume.

Bones are capsules held at weight 1 of their joint; the skin lets nothing through (Neumann). Neighbouring
fingers therefore never share weight, however close their skins lie, and the transition across a joint is about
as wide as the finger.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg
from scipy.spatial import KDTree

from train.open_hand.anthropometry import CHAINS, LONG_FINGERS, MM, Skeleton
from train.open_hand.hand_shape import WRIST_CUT
from train.open_hand.sdf import Field
from train.open_hand.surface import grid_points, sample_grid

BONE_RADIUS_MM = np.array([5, 4.2, 4, 3.5, 4.2, 4, 3.5, 4.2, 4, 3.5, 4.2, 4, 3.5, 5, 4.5, 4])
SMALLEST_WEIGHT = 0.004
"""Smaller weights are dropped: they move nothing visibly and cost time at every frame."""


def bone_segments(bones: Skeleton) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return the bones as (joint, start, end): phalanges, metacarpals, carpus and forearm."""
    wrist = bones.joints[0]
    segments = [(0, wrist, np.array([WRIST_CUT, -2 * MM, 0.0]))]
    for digit, chain in CHAINS.items():
        points = bones.chain(digit)
        segments += list(zip(chain, points[:-1], points[1:], strict=True))
        # The thumb's carpal bone stops short of its joint, because that joint moves against the carpus.
        reach = 1.0 if digit in LONG_FINGERS else 0.7
        segments.append((0, wrist, wrist + reach * (points[0] - wrist)))
    return segments


def segment_distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distance (n,) of points to a segment."""
    bone = end - start
    t = np.clip((points - start) @ bone / (bone @ bone), 0, 1)
    return np.linalg.norm(points - start - t[:, None] * bone, axis=1)


def harmonic_weights(
    field: Field, bones: Skeleton, queries: np.ndarray, *, spacing: float = 1.4 * MM
) -> np.ndarray:
    """Return skinning weights at points of the skin.

    Args:
        field: The hand's shape in the frame of `bones`.
        bones: The rest skeleton.
        queries: Points (n, 3), in or near the shape.
        spacing: Edge of the voxels in metres.

    Returns:
        Weights (n, 16): non-negative, rows summing to one, small ones dropped.
    """
    grid = grid_points(spacing)
    inside = (sample_grid(field, grid) < 0) & (grid[..., 0] < WRIST_CUT)
    voxels = grid[inside]
    owner = _bone_of_voxels(voxels, bones)
    values = _solve_laplace(inside, owner)
    reached = values.sum(1) > 0.5
    distance, nearest = KDTree(voxels[reached]).query(queries, k=8)
    closeness = 1 / (distance + 0.3 * spacing) ** 2
    weights = np.einsum("nk,nkj->nj", closeness, values[reached][nearest])
    return sparsified(weights)


def sparsified(weights: np.ndarray) -> np.ndarray:
    """Normalise the rows, drop weights below `SMALLEST_WEIGHT` and normalise again."""
    weights = weights / weights.sum(1, keepdims=True)
    weights = np.where(weights < SMALLEST_WEIGHT, 0, weights)
    return weights / weights.sum(1, keepdims=True)


def _bone_of_voxels(voxels: np.ndarray, bones: Skeleton) -> np.ndarray:
    """Return the joint whose bone holds each voxel, -1 where flesh is."""
    owner, nearest = np.full(len(voxels), -1), np.ones(len(voxels))
    for joint, start, end in bone_segments(bones):
        distance = segment_distance(voxels, start, end) / (BONE_RADIUS_MM[joint] * MM)
        closer = distance < nearest
        owner[closer], nearest[closer] = joint, distance[closer]
    return owner


def _voxel_pairs(inside: np.ndarray) -> np.ndarray:
    """Return the pairs (n, 2) of neighbouring inside voxels, each pair in both orders."""
    index = np.full(inside.shape, -1)
    index[inside] = np.arange(inside.sum())
    pairs = []
    for axis in range(3):
        line = np.moveaxis(index, axis, 0)
        both = np.stack([line[:-1].ravel(), line[1:].ravel()], axis=1)
        pairs.append(both[(both >= 0).all(1)])
    one_way = np.vstack(pairs)
    return np.vstack([one_way, one_way[:, ::-1]])


def _solve_laplace(inside: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Solve Laplace's equation per joint on the inside voxels; returns (n, 16)."""
    count = len(owner)
    a, b = _voxel_pairs(inside).T
    adjacency = sparse.csr_array((np.ones(len(a)), (a, b)), shape=(count, count))
    # The small shift keeps voxels that touch no bone, should there be any, from making the matrix singular.
    laplacian = sparse.diags_array(adjacency.sum(1) + 1e-9) - adjacency
    values = np.zeros((count, 16))
    held = owner >= 0
    values[held, owner[held]] = 1
    flesh = np.flatnonzero(~held)
    matrix = laplacian.tocsr()[flesh][:, flesh]
    sources = adjacency[flesh] @ values
    preconditioner = sparse.diags_array(1 / matrix.diagonal())
    for joint in range(16):
        solution, _ = cg(matrix, sources[:, joint], rtol=1e-5, maxiter=3000, M=preconditioner)
        values[flesh, joint] = np.maximum(solution, 0)
    return values
