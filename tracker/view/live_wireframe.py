"""Hands as nets of their edges, those that face the viewer."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from tracker.geometry.camera import Camera
from tracker.geometry.topology import edge_faces
from tracker.vision.records import TrackedHand

SIDE_RGB: Final = {"right": (255, 176, 74), "left": (84, 196, 255)}
"""Colour of each side where the hand's own is not wanted."""
_BITS: Final = 3


def draw_wireframe(rgb: UInt8[np.ndarray, "h w 3"], hand: TrackedHand, camera: Camera) -> None:
    """Draw the edges of a hand into the picture; a hand partly behind the camera is left out."""
    if hand.vertices[:, 2].min() <= 0:
        return
    uv = camera.project(hand.vertices)
    corners = uv[hand.faces]
    to_b, to_c = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    # Counter-clockwise from outside, but the v axis of an image points down.
    front = to_b[:, 0] * to_c[:, 1] - to_b[:, 1] * to_c[:, 0] < 0
    edges = edge_faces(hand.faces)
    seen = edges[_faces_front(front, edges[:, 2]) | _faces_front(front, edges[:, 3])]
    lines = np.clip((uv[seen[:, :2]] - 0.5) * (1 << _BITS), -(2**18), 2**18).round()
    color = SIDE_RGB[hand.side]
    cv2.polylines(rgb, list(lines.astype(np.int32)), False, color, 1, cv2.LINE_AA, _BITS)


def _faces_front(front: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Tell which of the faces (-1: none) are turned to the viewer."""
    return (face >= 0) & front[face]
