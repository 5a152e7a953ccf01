"""Coordinate frames a subscriber can ask for, each a signed permutation of OpenXR's axes.

==========  =======================  ==========  ====================================================
name        x, y, z look             handedness  made for
==========  =======================  ==========  ====================================================
openxr      right, up, backward      right       OpenXR, WebXR, Godot, glTF; the camera's own place
user        right, up, backward      right       the same turned half about y: as the person sees it
camera_cv   right, down, forward     right       OpenCV, and everything else of Handloom
unity       right, up, forward       left        Unity
unreal      forward, right, up       left        Unreal Engine; centimetres
blender     right, forward, up       right       Blender
ros         forward, left, up        right       ROS (REP 103)
==========  =======================  ==========  ====================================================

`camera_cv` and `user` turn the world only: a joint keeps the local axes of OpenXR. The others
rename the joint's own axes along with the world's, so that the axes of a joint are the engine's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np
from jaxtyping import Float

Axes = Literal["openxr", "user", "camera_cv", "unity", "unreal", "blender", "ros"]


@dataclass(frozen=True)
class AxisChange:
    """From OpenXR's frame into another: entry i of the result is `sign[i] * source[take[i]]`."""

    take: tuple[int, int, int]
    sign: tuple[int, int, int]
    take_xyzw: tuple[int, int, int, int]
    sign_xyzw: tuple[int, int, int, int]
    units_per_m: float = 1.0

    @property
    def left_handed(self) -> bool:
        """Whether the frame mirrors OpenXR's, and with it the sense of a turn."""
        matrix = np.zeros((3, 3))
        matrix[range(3), list(self.take)] = self.sign
        return bool(np.linalg.det(matrix) < 0)

    def points(self, xyz: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Turn positions or linear velocities, in metres, into this frame and its unit."""
        return xyz[..., list(self.take)] * (np.array(self.sign, xyz.dtype) * self.units_per_m)

    def quaternions(self, xyzw: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 4"]:
        """Turn orientations (x, y, z, w) of joints into this frame."""
        return xyzw[..., list(self.take_xyzw)] * np.array(self.sign_xyzw, xyzw.dtype)

    def angular(self, omega: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Turn angular velocities (rad/s) into this frame; a mirror reverses their sense."""
        sense = -1 if self.left_handed else 1
        return omega[..., list(self.take)] * (np.array(self.sign, omega.dtype) * sense)

    def inverted(self) -> "AxisChange":
        """Return the change back into OpenXR's frame."""
        take, sign = _inverse(self.take, self.sign)
        take_xyzw, sign_xyzw = _inverse(self.take_xyzw, self.sign_xyzw)
        return AxisChange(
            *(cast("tuple[int, int, int]", take), cast("tuple[int, int, int]", sign)),
            cast("tuple[int, int, int, int]", take_xyzw),
            cast("tuple[int, int, int, int]", sign_xyzw),
            1 / self.units_per_m,
        )

    def metric_right_handed(self, xyz: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Return points of this frame in metres, mirrored where the frame is left-handed.

        The result is right up to a rotation: enough for what only looks at shape.
        """
        mirror = np.array([1, 1, -1 if self.left_handed else 1], xyz.dtype)
        return xyz * (mirror / self.units_per_m)


def _inverse(take: Sequence[int], sign: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    back = np.argsort(take)
    return tuple(back.tolist()), tuple(sign[i] for i in back)


AXES: Final[dict[str, AxisChange]] = {
    "openxr": AxisChange((0, 1, 2), (1, 1, 1), (0, 1, 2, 3), (1, 1, 1, 1)),
    "user": AxisChange((0, 1, 2), (-1, 1, -1), (2, 3, 0, 1), (1, 1, -1, -1)),
    "camera_cv": AxisChange((0, 1, 2), (1, -1, -1), (3, 2, 1, 0), (1, -1, 1, -1)),
    "unity": AxisChange((0, 1, 2), (1, 1, -1), (0, 1, 2, 3), (-1, -1, 1, 1)),
    "unreal": AxisChange((2, 0, 1), (-1, 1, 1), (2, 0, 1, 3), (-1, 1, 1, -1), 100.0),
    "blender": AxisChange((0, 2, 1), (1, -1, 1), (0, 2, 1, 3), (1, -1, 1, 1)),
    "ros": AxisChange((2, 0, 1), (-1, -1, 1), (2, 0, 1, 3), (-1, -1, 1, 1)),
}
"""Every frame by name."""
