"""Shape space: principal components of many hands made by anthropometric variation of the template.

A hand varies in overall size, in the length and girth of the digits and their segments, in the palm's length,
breadth and thickness, and in how full the soft pads are. Standard deviations are relative to the size
and follow published hand anthropometry; the size itself is a half-and-half mixture of the sexes.
"""

import numpy as np

from tracker.geometry.skeleton import MANO_PARENTS
from train.open_hand import mesh
from train.open_hand.anthropometry import (
    CHAINS,
    HAND_LENGTH_MM,
    HAND_LENGTH_SD_MM,
    MM,
    Skeleton,
)

SAMPLES = 2400
COMPONENTS = 10
LENGTH_SD = {"hand": 0.028, "digit": 0.028, "segment": 0.011}
GIRTH_SD = {"hand": 0.049, "digit": 0.021}
PALM_SD = (0.028, 0.049, 0.042)
"""Relative SD of the palm's length, thickness and breadth, along x, y and z."""
PAD_SD_MM = 1.2
"""SD of the fullness of a soft pad, along the skin's normal."""
PADS_MM = {
    "thenar": (-42, -18, 26, 18),
    "hypothenar": (-45, -18, -30, 18),
    "back": (-60, 12, -5, 28),
}
"""Centre, from the wrist, and radius of the soft pads."""


def shape_directions(
    vertices: np.ndarray,
    faces: np.ndarray,
    bones: Skeleton,
    weights: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the shape directions (v, 3, 10), each scaled so that its coefficient has unit variance.

    The first coefficient is size, positive for larger. Samples are aligned at the wrist.

    Args:
        vertices: Template vertices (v, 3).
        faces: Triangles of the template.
        bones: Skeleton of the template.
        weights: Skinning weights (v, 16).
        rng: Source of the sampled hands.
    """
    hands = sample_shapes(vertices, faces, bones, weights, SAMPLES, rng)
    flat = (hands - hands.mean(0)).reshape(SAMPLES, -1)
    _, singular, components = np.linalg.svd(flat, full_matrices=False)
    scaled = components[:COMPONENTS] * (singular[:COMPONENTS, None] / np.sqrt(SAMPLES - 1))
    growth = scaled @ (vertices - bones.joints[0]).ravel()
    largest = scaled[np.arange(COMPONENTS), np.abs(scaled).argmax(1)]
    sign = np.sign(np.concatenate([growth[:1], largest[1:]]))
    return (scaled * sign[:, None]).reshape(COMPONENTS, -1, 3).transpose(1, 2, 0)


def sample_shapes(
    vertices: np.ndarray,
    faces: np.ndarray,
    bones: Skeleton,
    weights: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return `count` hands (count, v, 3) around the template, wrist at the origin."""
    scales = _joint_scales(bones, count, rng)
    joints = np.zeros((count, 16, 3))
    for joint in range(1, 16):
        parent = MANO_PARENTS[joint]
        bone = bones.joints[joint] - bones.joints[parent]
        joints[:, joint] = joints[:, parent] + scales[:, parent] @ bone
    hands = weights @ joints
    for joint in range(16):
        local = vertices - bones.joints[joint]
        hands += weights[:, joint, None] * (local @ scales[:, joint].transpose(0, 2, 1))
    hands += _soft_tissue(vertices, faces, bones, count, rng)
    return hands * _sizes(count, rng)[:, None, None]


def _joint_scales(bones: Skeleton, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return a stretch (count, 16, 3, 3) per joint: along the bone by length, across it by girth."""
    scales = np.tile(np.eye(3), (count, 16, 1, 1))
    scales[:, 0] += rng.normal(0, PALM_SD, (count, 3))[:, :, None] * np.eye(3)
    hand_length = rng.normal(0, LENGTH_SD["hand"], count)
    hand_girth = rng.normal(0, GIRTH_SD["hand"], count)
    for digit, chain in CHAINS.items():
        # The thumb follows the fingers' common length only in part.
        length = hand_length * (0.6 if digit == "thumb" else 1.0) + rng.normal(
            0, LENGTH_SD["digit"], count
        )
        girth = hand_girth + rng.normal(0, GIRTH_SD["digit"], count)
        for k, joint in enumerate(chain):
            along = np.outer(bones.axes[joint, 2], bones.axes[joint, 2])
            stretch = length + rng.normal(0, LENGTH_SD["segment"], count)
            swell = girth * (0.6 if digit == "thumb" and k == 0 else 1.0)
            scales[:, joint] += stretch[:, None, None] * along + swell[:, None, None] * (
                np.eye(3) - along
            )
    return scales


def _soft_tissue(
    vertices: np.ndarray, faces: np.ndarray, bones: Skeleton, count: int, rng: np.random.Generator
) -> np.ndarray:
    normals = mesh.vertex_normals(vertices, faces)
    moves = np.zeros((count, len(vertices), 3))
    for *center, radius in PADS_MM.values():
        apart = np.linalg.norm(vertices - bones.joints[0] - np.array(center) * MM, axis=1)
        bump = np.exp(-((apart / (radius * MM)) ** 2))[:, None] * normals
        moves += rng.normal(0, PAD_SD_MM * MM, count)[:, None, None] * bump
    return moves


def _sizes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the size (count,) of each hand relative to the mean of the sexes."""
    means = np.array(list(HAND_LENGTH_MM.values()))
    lengths = rng.choice(means, count) + rng.normal(0, HAND_LENGTH_SD_MM, count)
    return lengths / means.mean()
