"""Vertex masks in [0, 1] that skin texture needs: palm side, nails, fingertips, knuckles."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from train.open_hand import mesh
from train.open_hand.anthropometry import CHAINS, DIGITS, MM, Skeleton


@dataclass(frozen=True)
class VertexMasks:
    """One value per vertex and mask, 0 to 1."""

    palmar: Float[np.ndarray, " v"]
    nail: Float[np.ndarray, " v"]
    fingertip: Float[np.ndarray, " v"]
    knuckle: Float[np.ndarray, " v"]


def smooth_step(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 below `low`, 1 above `high`, and a cubic ramp between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def vertex_masks(
    vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray, bones: Skeleton
) -> VertexMasks:
    """Return the masks of a template from its normals, weights and skeleton."""
    facing = _dorsal_facing(mesh.vertex_normals(vertices, faces), weights, bones)
    # The palm's paler skin ends at the wrist's crease, over about three centimetres.
    hand = smooth_step(bones.joints[0, 0] - vertices[:, 0], -25 * MM, 5 * MM)
    nail, fingertip, knuckle = np.zeros((3, len(vertices)))
    for number, digit in enumerate(DIGITS):
        last = CHAINS[digit][2]
        own = weights[:, last] > 0.85
        reach = np.linalg.norm(bones.tips[number] - bones.joints[last])
        along = (vertices - bones.joints[last]) @ bones.axes[last, 2] / reach
        nail = np.maximum(
            nail, own * smooth_step(facing, 0.55, 0.8) * smooth_step(along, 0.45, 0.6)
        )
        fingertip = np.maximum(fingertip, own * smooth_step(along, 0.55, 0.95))
        for joint in CHAINS[digit][1 if digit == "thumb" else 0 : 2]:
            top = bones.joints[joint] + bones.axes[joint, 1] * 8 * MM
            near = np.exp(-((np.linalg.norm(vertices - top, axis=1) / (9 * MM)) ** 2))
            knuckle = np.maximum(knuckle, near * smooth_step(facing, 0.2, 0.7))
    return VertexMasks(smooth_step(-facing, -0.05, 0.45) * hand, nail, fingertip, knuckle)


def _dorsal_facing(normals: np.ndarray, weights: np.ndarray, bones: Skeleton) -> np.ndarray:
    """Return the cosine (v,) between each normal and the back of the part of the hand it belongs to."""
    up = np.array([0.0, 1.0, 0.0])
    backs = bones.axes[:, 1].copy()
    backs[CHAINS["thumb"][0]] = (backs[CHAINS["thumb"][0]] + up) / 2
    blended = weights @ backs
    return (normals * blended).sum(1) / np.linalg.norm(blended, axis=1)
