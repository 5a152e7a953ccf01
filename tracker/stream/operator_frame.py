"""The 21 joints in the frame that retargeting of robot hands works in.

dex-retargeting turns a hand to the axes of an operator's wrist before it looks for the robot's
pose: wrist at the origin, axes from the wrist and the MCPs of index and middle finger, then a
constant turn for each side. These are its numbers (`single_hand_detector.py`).
"""

from typing import Final

import numpy as np
from jaxtyping import Float

from tracker.geometry.skeleton import JOINTS

_WRIST, _INDEX, _MIDDLE = (JOINTS.index(name) for name in ("wrist", "index_mcp", "middle_mcp"))
_OPERATOR_FROM_WRIST: Final = {
    "right": np.array([[0.0, 0, -1], [-1, 0, 0], [0, 1, 0]]),
    "left": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
}


def operator_points(xyz: Float[np.ndarray, "21 3"], side: str) -> Float[np.ndarray, "21 3"]:
    """Return `(xyz - wrist) @ wrist_axes @ operator_from_wrist`.

    Args:
        xyz: the 21 joints in metres, in any right-handed frame.
        side: the person's hand, `left` or `right`.
    """
    points = xyz.astype(np.float64) - xyz[_WRIST]
    return points @ _wrist_axes(points) @ _OPERATOR_FROM_WRIST[side]


def _wrist_axes(points: np.ndarray) -> np.ndarray:
    """Axes in columns: back along the palm, out of the palm's plane, from middle to index finger."""
    index, middle = points[_INDEX], points[_MIDDLE]
    normal = np.cross(index, middle)
    normal /= np.linalg.norm(normal)
    x = -middle / np.linalg.norm(middle)
    z = np.cross(x, normal)
    if z @ (index - middle) < 0:
        normal, z = -normal, -z
    return np.stack([x, normal, z], axis=1)
