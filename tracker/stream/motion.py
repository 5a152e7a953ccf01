"""What needs the frame before: quaternions that do not change sign, and velocities."""

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

from tracker.stream.openxr import OpenXrJoints


@dataclass(frozen=True)
class _Moment:
    positions: np.ndarray
    orientations: np.ndarray
    time_ns: int


class Motion:
    """Follow the joints of each track from frame to frame."""

    def __init__(self) -> None:
        self._before: dict[int, _Moment] = {}
        nowhere = np.zeros((26, 3)), np.zeros((26, 4))
        _follow(*nowhere, *nowhere, 0.0, np.empty((26, 6)))  # compiles now, not in mid-stream

    def follow(
        self, track: int, joints: OpenXrJoints, time_ns: int
    ) -> tuple[Float[np.ndarray, "26 4"], Float[np.ndarray, "26 6"] | None]:
        """Return the orientations with continuous signs, and the joints' velocities.

        Velocities are linear (m/s) and angular (rad/s), both in the axes of OpenXR's frame, the mean
        over the time since the last frame; None where there was none, or time stood still.
        """
        before = self._before.get(track)
        orientations = joints.orientations.copy()
        velocities = None
        if before is not None:
            dt_s = (time_ns - before.time_ns) * 1e-9
            moved = np.empty((26, 6))
            _follow(
                *(before.positions, before.orientations, joints.positions, orientations),
                *(dt_s, moved),
            )
            velocities = moved if dt_s > 0 else None
        self._before[track] = _Moment(joints.positions, orientations, time_ns)
        return orientations, velocities

    def keep_only(self, tracks: set[int]) -> None:
        """Forget every track that is not named."""
        for track in self._before.keys() - tracks:
            del self._before[track]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _follow(positions_before, before, positions, orientations, dt_s, velocities):
    """Give quaternions (26, 4) the signs of those before, in place, and fill velocities (26, 6)."""
    for j in range(26):
        a, b = before[j], orientations[j]
        if a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] < 0:
            for i in range(4):
                b[i] = -b[i]
        x = a[3] * b[0] - b[3] * a[0] - (b[1] * a[2] - b[2] * a[1])
        y = a[3] * b[1] - b[3] * a[1] - (b[2] * a[0] - b[0] * a[2])
        z = a[3] * b[2] - b[3] * a[2] - (b[0] * a[1] - b[1] * a[0])
        cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
        sine = math.sqrt(x * x + y * y + z * z)
        # The ratio of angle to sine tends to 2 as the turn vanishes.
        rate = 2 * math.atan2(sine, cosine) / max(sine, 1e-12) / dt_s
        for i in range(3):
            velocities[j, i] = (positions[j, i] - positions_before[j, i]) / dt_s
        velocities[j, 3] = x * rate
        velocities[j, 4] = y * rate
        velocities[j, 5] = z * rate
