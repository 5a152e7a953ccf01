"""The stage: hands alone over a floor, seen from where the viewer likes to stand.

At first the stage is seen exactly as the camera sees the hands; dragging walks around them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracker.geometry.camera import Camera
from tracker.geometry.skeleton import BONES
from tracker.vision.records import TrackedHand

_FOV_DEG: Final = 50.0
_SKY_RGB: Final = ((58, 62, 70), (30, 32, 38))
"""Top and bottom of the background."""
_LINE_RGB: Final = (86, 92, 104)
_SHADOW_RGB: Final = (16, 17, 20)
_CELL_M: Final = 0.05
_CELLS: Final = 12
"""Cells of the floor on each side of its middle."""
_DROP_M: Final = 0.16
"""How far the floor lies below the middle of the hands when they first appear."""
_NEAR_M: Final = 0.02
_FOLLOW: Final = 0.08
"""Part of the way to the hands that the viewer's eye goes in each picture."""
_RESTING_M: Final = 0.5
"""Where hands are expected before any was seen."""
_BITS: Final = 4


@dataclass(frozen=True)
class Orbit:
    """Where the viewer stands, around what is looked at."""

    yaw_deg: float = 0.0
    """To the right around the hands; 0 is the camera's own place."""
    pitch_deg: float = 12.0
    """Upwards."""
    zoom: float = 1.0
    """How much nearer than at first."""

    def dragged(self, right_px: float, up_px: float, height_px: float) -> "Orbit":
        """Return the place after dragging the mouse: half a turn for the picture's height."""
        turn = 180 / max(height_px, 1.0)
        pitch = min(max(self.pitch_deg - up_px * turn, -85.0), 85.0)
        yaw = (self.yaw_deg - right_px * turn + 180) % 360 - 180
        return replace(self, yaw_deg=yaw, pitch_deg=pitch)

    def scrolled(self, notches: float) -> "Orbit":
        """Return the place after turning the wheel."""
        return replace(self, zoom=min(max(self.zoom * 1.15**notches, 0.2), 8.0))


@dataclass(frozen=True)
class StageView:
    """The stage as the viewer sees it: an empty picture, and hands that belong on it."""

    rgb: UInt8[np.ndarray, "h w 3"]
    camera: Camera
    hands: tuple[TrackedHand, ...]
    """In the viewer's frame; those partly behind the viewer are left out."""


class Stage:
    """Remembers where the hands are, so that the viewer's eye follows them calmly."""

    def __init__(self) -> None:
        self._target = np.array([0.0, 0.0, _RESTING_M])
        self._floor_y = _DROP_M
        self._begun = False

    def view(self, hw: tuple[int, int], hands: Sequence[TrackedHand], orbit: Orbit) -> StageView:
        """Return floor and hands of one picture, and move the eye a little towards the hands."""
        seen = [hand for hand in hands if hand.state != "lost"]
        if seen:
            self._follow(np.concatenate([hand.joints for hand in seen]))
        camera = Camera.from_fov(hw, _FOV_DEG)
        turn, eye = self._viewpoint(orbit)
        rgb = _sky(hw).copy()
        _draw_floor(rgb, camera, self._floor(turn, eye))
        moved = [_moved(hand, turn, eye, camera) for hand in seen]
        for hand in seen:
            self._draw_shadow(rgb, hand, turn, eye, camera)
        return StageView(rgb, camera, tuple(h for h in moved if h.vertices[:, 2].min() > _NEAR_M))

    def _follow(self, points: Float[np.ndarray, "n 3"]) -> None:
        middle = (points.min(0) + points.max(0)) / 2
        if not self._begun:
            self._begun, self._target = True, middle
            self._floor_y = float(middle[1]) + _DROP_M
        self._target = self._target + _FOLLOW * (middle - self._target)

    def _viewpoint(self, orbit: Orbit) -> tuple[np.ndarray, np.ndarray]:
        """Return the viewer's rotation (viewer from camera frame) and place in the camera frame."""
        yaw, pitch = math.radians(orbit.yaw_deg), math.radians(orbit.pitch_deg)
        around = np.array(
            [
                [math.cos(yaw), 0, math.sin(yaw)],
                [0, 1, 0],
                [-math.sin(yaw), 0, math.cos(yaw)],
            ]
        )
        over = np.array(
            [
                [1, 0, 0],
                [0, math.cos(pitch), -math.sin(pitch)],
                [0, math.sin(pitch), math.cos(pitch)],
            ]
        )
        turn = over @ around
        distance = max(float(np.linalg.norm(self._target)), 0.25) / orbit.zoom
        return turn, self._target - turn.T @ np.array([0, 0, distance])

    def _floor(self, turn: np.ndarray, eye: np.ndarray) -> Float[np.ndarray, "n 2 3"]:
        """Return the lines of the floor in the viewer's frame, anchored to the world's cells."""
        middle = np.round(self._target[[0, 2]] / _CELL_M) * _CELL_M
        steps = np.arange(-_CELLS, _CELLS + 1) * _CELL_M
        reach = _CELLS * _CELL_M
        y = np.full_like(steps, self._floor_y)
        along = [
            np.stack([middle[0] + steps, y, middle[1] + side * reach + 0 * y], -1)
            for side in (-1, 1)
        ]
        across = [
            np.stack([middle[0] + side * reach + 0 * y, y, middle[1] + steps], -1)
            for side in (-1, 1)
        ]
        lines = np.concatenate([np.stack(along, 1), np.stack(across, 1)])
        return (lines - eye) @ turn.T

    def _draw_shadow(
        self, rgb: np.ndarray, hand: TrackedHand, turn: np.ndarray, eye: np.ndarray, camera: Camera
    ) -> None:
        """Draw the hand's bones flat on the floor: it tells how high the hand is."""
        points = hand.joints.copy()
        points[:, 1] = self._floor_y
        points = (points - eye) @ turn.T
        if points[:, 2].min() <= _NEAR_M or (hand.joints[:, 1] > self._floor_y).any():
            return
        width = max(round(0.014 * float(camera.K[0, 0]) / float(points[:, 2].mean())), 1)
        uv = camera.project(points)
        for parent, child in BONES:
            cv2.line(
                rgb, _point(uv[parent]), _point(uv[child]), _SHADOW_RGB, width, cv2.LINE_AA, _BITS
            )


def _moved(hand: TrackedHand, turn: np.ndarray, eye: np.ndarray, camera: Camera) -> TrackedHand:
    joints = (hand.joints - eye) @ turn.T
    vertices = ((hand.vertices - eye) @ turn.T).astype(hand.vertices.dtype)
    return replace(hand, joints=joints, vertices=vertices, uv=camera.project(joints))


@lru_cache(2)
def _sky(hw: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    top, bottom = np.array(_SKY_RGB, np.float32)
    shade = np.linspace(0, 1, hw[0], dtype=np.float32)[:, None]
    column = (top + (bottom - top) * shade + 0.5).astype(np.uint8)
    return np.repeat(column[:, None], hw[1], 1)


def _draw_floor(rgb: np.ndarray, camera: Camera, lines: Float[np.ndarray, "n 2 3"]) -> None:
    for start, end in lines:
        if start[2] <= _NEAR_M and end[2] <= _NEAR_M:
            continue
        if min(start[2], end[2]) <= _NEAR_M:  # cut the line off in front of the viewer
            way = (_NEAR_M - start[2]) / (end[2] - start[2])
            cut = start + way * (end - start)
            start, end = (cut, end) if start[2] < end[2] else (start, cut)
        ends = camera.project(np.array([start, end]))
        cv2.line(rgb, _point(ends[0]), _point(ends[1]), _LINE_RGB, 1, cv2.LINE_AA, _BITS)


def _point(uv: np.ndarray) -> tuple[int, int]:
    """OpenCV counts from the centre of the first pixel, here in sixteenths."""
    u, v = np.clip((uv - 0.5) * (1 << _BITS), -(2**18), 2**18)
    return round(float(u)), round(float(v))
