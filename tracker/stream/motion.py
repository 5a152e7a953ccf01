"""What needs the frame before: quaternions that do not change sign, and velocities."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tracker.stream.openxr import OpenXrJoints, cross


@dataclass(frozen=True)
class _Moment:
    positions: np.ndarray
    orientations: np.ndarray
    time_ns: int


class Motion:
    """Follow the joints of each track from frame to frame."""

    def __init__(self) -> None:
        self._before: dict[int, _Moment] = {}

    def follow(
        self, track: int, joints: OpenXrJoints, time_ns: int
    ) -> tuple[Float[np.ndarray, "26 4"], Float[np.ndarray, "26 6"] | None]:
        """Return the orientations with continuous signs, and the joints' velocities.

        Velocities are linear (m/s) and angular (rad/s), both in the axes of OpenXR's frame, the mean
        over the time since the last frame; None where there was none, or time stood still.
        """
        before = self._before.get(track)
        orientations = joints.orientations
        velocities = None
        if before is not None:
            same = np.einsum("ji,ji->j", before.orientations, orientations) >= 0
            orientations = np.where(same[:, None], orientations, -orientations)
            dt_s = (time_ns - before.time_ns) * 1e-9
            if dt_s > 0:
                moved = joints.positions - before.positions
                turned = _rotation_vectors(before.orientations, orientations)
                velocities = np.concatenate([moved, turned], axis=1) / dt_s
        self._before[track] = _Moment(joints.positions, orientations, time_ns)
        return orientations, velocities

    def keep_only(self, tracks: set[int]) -> None:
        """Forget every track that is not named."""
        for track in self._before.keys() - tracks:
            del self._before[track]


def _rotation_vectors(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Axis-angles, in the frame the quaternions are in, of the shortest turns from `before` on."""
    a, w = after[:, :3], after[:, 3:]
    b, v = before[:, :3], before[:, 3:]
    vector = v * a - w * b - cross(a, b)
    cosine = w * v + np.einsum("ji,ji->j", a, b)[:, None]
    sine = np.sqrt(np.einsum("ji,ji->j", vector, vector))[:, None]
    # The ratio tends to 2 as the turn vanishes; both signs of a quaternion are one turn.
    ratio = 2 * np.arctan2(sine, np.abs(cosine)) / np.maximum(sine, 1e-12)
    return vector * np.where(cosine < 0, -ratio, ratio)
