"""A track as what animation files know: 16 bones, four influences a vertex, and corrective shapes.

Plain linear blend skinning cannot carry pose correctives, a shape that still changes while it is
being found, or a fifth influence. So for every frame the rest vertices are computed that the plain
skin would need to land exactly on the recorded vertices (skinning run backwards); how they differ
from the rest mesh varies smoothly and in few ways, and is kept as a short list of corrective shapes
with a weight for each frame.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from tracker.export.recording import Track, blocks, posed
from tracker.geometry.skeleton import MANO_PARENTS

INFLUENCES = 4
"""Joints a vertex may follow: what every engine reads (three.js ignores a fifth)."""
TOLERANCE_M = 5e-5
"""No rest vertex is off by more than this on account of corrective shapes left out."""
_DAMPING = 1e-9  # keeps skinning invertible where a joint is folded by 180 degrees
_STILL_M = 1e-6  # bones that change their length by less than this over a track are constant


@dataclass(frozen=True)
class Rig:
    """The hand at rest in its median shape and size, metres, and what moves it."""

    vertices: Float[np.ndarray, "V 3"]
    joints: Float[np.ndarray, "16 3"]
    influences: Int[np.ndarray, "V 4"]
    """MANO joints each vertex follows, the strongest first."""
    weights: Float[np.ndarray, "V 4"]
    """How much; rows sum to one."""


@dataclass(frozen=True)
class Motion:
    """What the rig does in each of a track's N rows."""

    rotations: Float[np.ndarray, "N 16 4"]
    """Of each joint in its parent (the wrist: in the camera frame); quaternions x, y, z, w that
    never jump to the other sign."""
    translations: Float[np.ndarray, "N 16 3"]
    """Of each joint in its parent, metres."""
    scale: Float[np.ndarray, " N"]
    """Size of the hand relative to the rig."""
    correctives: Float[np.ndarray, "C V 3"]
    """Offsets of the rest vertices, metres."""
    corrective_weights: Float[np.ndarray, "N C"]
    """Factors in [0, 1]."""

    @property
    def bones_change(self) -> bool:
        """Whether finger bones change their length, because the shape was still being found."""
        return bool(np.ptp(self.translations[:, 1:], axis=0).max() > _STILL_M)


def rig_track(track: Track) -> tuple[Rig, Motion]:
    """Return the rig of a track and its motion."""
    rig = rest_of(track)
    shapes = _CorrectiveShapes(rig.vertices.size)
    rotations, translations, scales = [], [], []
    for rows in blocks(track.rows):
        scale = rows["scale"] / np.float32(track.median_scale)
        pose = posed(track.model, rows)
        turns, places = (x.numpy().astype(np.float64) for x in pose.joint_transforms())
        turns *= scale[:, None, None, None]
        places = places * rows["scale"][:, None, None] + rows["transl"][:, None]
        needed = _unskin(rig, pose.skin().vertices.numpy(), turns, places)
        shapes.cover((needed - rig.vertices).reshape(len(rows), -1))
        rest = pose.shaped.joints.numpy() * np.float32(track.median_scale)
        translations.append(np.concatenate([places[:, :1], _bones(rest)], 1))
        rotations.append(np.concatenate([rows["global_orient"][:, None], rows["hand_pose"]], 1))
        scales.append(scale)
    correctives, corrective_weights = shapes.one_sided()
    return rig, Motion(
        _steady_quaternions(np.concatenate(rotations)),
        np.concatenate(translations),
        np.concatenate(scales),
        correctives.reshape(-1, *rig.vertices.shape),
        corrective_weights,
    )


def rest_of(track: Track) -> Rig:
    """Return the track's hand at rest, in its median shape and size."""
    median = track.rows[:1].copy()
    median["betas"] = track.median_betas
    shaped = posed(track.model, median).shaped
    weights = track.model.lbs_weights.numpy()
    influences = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    strongest = np.take_along_axis(weights, influences, 1)
    scale = np.float32(track.median_scale)
    return Rig(
        shaped.vertices[0].numpy() * scale,
        shaped.joints[0].numpy() * scale,
        np.where(strongest > 0, influences, 0),
        strongest / strongest.sum(1, keepdims=True),
    )


def _bones(joints: Float[np.ndarray, "n 16 3"]) -> Float[np.ndarray, "n 15 3"]:
    return joints[:, 1:] - joints[:, list(MANO_PARENTS[1:])]


def _unskin(
    rig: Rig,
    vertices: Float[np.ndarray, "n V 3"],
    turns: Float[np.ndarray, "n 16 3 3"],
    places: Float[np.ndarray, "n 16 3"],
) -> Float[np.ndarray, "n V 3"]:
    """Return the rest vertices that the rig, with its joints so turned and placed, skins to `vertices`."""
    dense = np.zeros((len(rig.vertices), 16))
    np.add.at(dense, (np.arange(len(dense))[:, None], rig.influences), rig.weights)
    offsets = places - (turns @ rig.joints[..., None])[..., 0]
    A = np.einsum("vj,njab->nvab", dense, turns, optimize=True)
    target = vertices - np.einsum("vj,nja->nva", dense, offsets, optimize=True)
    # Damped around the rest vertices, so that what cannot be inverted stays where it is.
    missing = target - (A @ rig.vertices[..., None])[..., 0]
    A_t = A.swapaxes(-1, -2)
    step = np.linalg.solve(A_t @ A + _DAMPING * np.eye(3), A_t @ missing[..., None])[..., 0]
    return rig.vertices + step


def _steady_quaternions(axis_angles: Float[np.ndarray, "n 16 3"]) -> Float[np.ndarray, "n 16 4"]:
    """Choose of the two quaternions of each rotation the one nearer to the frame before."""
    quaternions = Rotation.from_rotvec(axis_angles.reshape(-1, 3)).as_quat().reshape(-1, 16, 4)
    flips = (quaternions[1:] * quaternions[:-1]).sum(-1, keepdims=True) < 0
    quaternions[1:] *= np.where(np.cumsum(flips, axis=0) % 2, -1, 1)
    return quaternions


class _CorrectiveShapes:
    """Directions that reproduce all offsets seen so far; more are added only where they fall short."""

    def __init__(self, size: int) -> None:
        self._directions = np.zeros((0, size))
        self._weights: list[np.ndarray] = []

    def cover(self, offsets: Float[np.ndarray, "n S"]) -> None:
        """Take in the offsets of some more frames; S counts 3 coordinates for each vertex."""
        weights = [offsets @ self._directions.T]
        rest = offsets - weights[0] @ self._directions
        fresh: list[np.ndarray] = []
        # The eigenvectors of the small Gram matrix give the same directions as a full SVD of `rest`.
        for combination in np.linalg.eigh(rest @ rest.T)[1].T[::-1]:
            if _farthest(rest) <= TOLERANCE_M:
                break
            direction = combination @ rest
            fresh.append(direction / np.linalg.norm(direction))
            weights.append(rest @ fresh[-1][:, None])
            rest -= weights[-1] * fresh[-1]
        self._directions = np.concatenate([self._directions, *(d[None] for d in fresh)])
        self._weights.append(np.concatenate(weights, 1))

    def one_sided(self) -> tuple[Float[np.ndarray, "C S"], Float[np.ndarray, "n C"]]:
        """Return the shapes and their weights, each weight within [0, 1] and reaching 1.

        Blender's importer and Unity cut weights off at 0 and 1, so a direction that is used both
        ways becomes two shapes.
        """
        count = len(self._directions)
        weights = np.concatenate(
            [np.pad(w, ((0, 0), (0, count - w.shape[1]))) for w in self._weights]
        )
        weights = np.concatenate([weights, -weights], 1).clip(0)
        shapes = np.concatenate([self._directions, -self._directions])
        peaks = weights.max(0, initial=0)
        used = peaks > 0
        return shapes[used] * peaks[used, None], weights[:, used] / peaks[used]


def _farthest(offsets: Float[np.ndarray, "n S"]) -> float:
    xyz = offsets.reshape(-1, 3)
    return float(np.einsum("ij,ij->i", xyz, xyz).max()) ** 0.5
