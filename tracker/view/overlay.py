"""Tracked hands drawn on the picture they were found in, and from the side."""

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from tracker.geometry.camera import Camera
from tracker.geometry.skeleton import BONES, JOINTS
from tracker.view.renderer import Mesh, Renderer
from tracker.view.software_renderer import SoftwareRenderer
from tracker.vision.records import TrackedHand

PREDICTED_OPACITY: Final = 0.5
"""Factor on the opacity of a hand that was not seen in this frame but carried over a gap."""

FINGER_RGB: Final = {
    "wrist": (236, 236, 236),
    "thumb": (255, 99, 88),
    "index": (255, 196, 61),
    "middle": (94, 214, 112),
    "ring": (74, 168, 255),
    "pinky": (190, 120, 255),
}
"""Colour of each finger's joints and bones in the skeleton."""

_SUBPIXEL_BITS: Final = 4
_PLAIN_RGB: Final = (28, 30, 36)
_SECOND_VIEW_FOV_DEG: Final = 30.0


def draw_hands(
    rgb: UInt8[np.ndarray, "h w 3"],
    hands: Sequence[TrackedHand],
    camera: Camera,
    renderer: Renderer,
    *,
    opacity: float = 1.0,
    skeleton: bool = False,
    label: bool = True,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a copy of the frame with the hands on it.

    Args:
        rgb: the frame.
        hands: what the tracker found; hands in state `lost` are left out, and `predicted` ones are
            drawn at half the opacity and behind the others.
        camera: the frame's camera.
        renderer: from `open_renderer`.
        opacity: of the mesh, 0 to 1.
        skeleton: also draw the 21 joints and 20 bones, a colour for each finger.
        label: also write side, track and score beside each hand, e.g. `right 3 0.97`.
    """
    picture = rgb.copy()
    alive = [hand for hand in hands if hand.state != "lost"]
    for state, factor in (("predicted", PREDICTED_OPACITY), ("tracked", 1.0)):
        meshes = [mesh_of(hand) for hand in alive if hand.state == state]
        if meshes and opacity > 0:
            _draw_meshes(picture, meshes, camera, renderer, opacity * factor)
    for hand in alive:
        if skeleton:
            draw_skeleton(picture, hand)
        if label:
            _write_label(picture, hand)
    return picture


def overlay_in_place(
    rgb: UInt8[np.ndarray, "h w 3"],
    hands: Sequence[TrackedHand],
    camera: Camera,
    renderer: SoftwareRenderer,
    *,
    opacity: float = 1.0,
) -> None:
    """Draw the hands' meshes into the frame itself: what a loop that counts milliseconds does."""
    meshes = [mesh_of(hand) for hand in hands if hand.state != "lost"]
    if meshes:
        renderer.blend_into(rgb, meshes, camera, opacity=opacity)


def mesh_of(hand: TrackedHand) -> Mesh:
    """Return the surface of a tracked hand."""
    return Mesh(hand.vertices, hand.faces, hand.colors)


def draw_skeleton(rgb: UInt8[np.ndarray, "h w 3"], hand: TrackedHand) -> None:
    """Draw bones and joints into the picture; those without a pixel are left out."""
    reach = float(np.ptp(hand.uv, axis=0).max()) if np.isfinite(hand.uv).all() else 100.0
    width = max(round(reach / 90), 1)
    for parent, child in BONES:
        if np.isfinite(hand.uv[[parent, child]]).all():
            ends = (_cv_point(hand.uv[parent]), _cv_point(hand.uv[child]))
            cv2.line(rgb, *ends, _joint_rgb(child), width, cv2.LINE_AA, _SUBPIXEL_BITS)
    for joint, uv in enumerate(hand.uv):
        if np.isfinite(uv).all():
            radius = (width + 1) << _SUBPIXEL_BITS
            color = _joint_rgb(joint)
            cv2.circle(rgb, _cv_point(uv), radius, color, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def side_by_side(*pictures: UInt8[np.ndarray, "_ _ 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the pictures in a row, e.g. frame, overlay and second view, at the first one's height."""
    height = pictures[0].shape[0]
    row = [
        picture
        if picture.shape[0] == height
        else cv2.resize(picture, (round(picture.shape[1] * height / picture.shape[0]), height))
        for picture in pictures
    ]
    return np.concatenate(row, 1)


def second_view(
    hands: Sequence[TrackedHand],
    renderer: Renderer,
    hw: tuple[int, int],
    *,
    turn_deg: float = 80.0,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the hands on a plain ground, seen from the side; all of them fit into the picture.

    Args:
        hands: what the tracker found.
        renderer: from `open_renderer`.
        hw: size of the picture.
        turn_deg: how far the viewer walks to the right around the hands.
    """
    picture = np.full((*hw, 3), _PLAIN_RGB, np.uint8)
    meshes = [mesh_of(hand) for hand in hands if hand.state != "lost"]
    if not meshes:
        return picture
    points = np.concatenate([mesh.vertices for mesh in meshes])
    center = (points.min(0) + points.max(0)) / 2
    radius = float(np.linalg.norm(points - center, axis=1).max())
    camera = Camera.from_fov(hw, _SECOND_VIEW_FOV_DEG)
    half_angle = math.atan(min(hw) / 2 / float(camera.K[0, 0]))
    away = np.array([0, 0, radius / math.sin(half_angle)])
    cos, sin = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    side_from_camera = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    turned = [
        Mesh((m.vertices - center) @ side_from_camera.T + away, m.faces, m.colors) for m in meshes
    ]
    _draw_meshes(picture, turned, camera, renderer, 1.0)
    return picture


def _draw_meshes(
    rgb: np.ndarray, meshes: Sequence[Mesh], camera: Camera, renderer: Renderer, opacity: float
) -> None:
    if isinstance(renderer, SoftwareRenderer):
        renderer.blend_into(rgb, meshes, camera, opacity=opacity)
        return
    drawn = renderer.render(meshes, camera)
    x0, y0, x1, y1 = drawn.box_xyxy
    part = (slice(y0, y1), slice(x0, x1))
    alpha = drawn.alpha[part][..., None] * np.float32(opacity)
    rgb[part] = (rgb[part] * (1 - alpha) + drawn.rgb[part] * alpha + 0.5).astype(np.uint8)


def _joint_rgb(joint: int) -> tuple[int, int, int]:
    return FINGER_RGB[JOINTS[joint].partition("_")[0]]


def _cv_point(uv: np.ndarray) -> tuple[int, int]:
    """OpenCV counts from the centre of the first pixel, and in sixteenths when asked to."""
    u, v = np.clip((uv - 0.5) * (1 << _SUBPIXEL_BITS), -(2**20), 2**20)
    return round(float(u)), round(float(v))


def _write_label(rgb: np.ndarray, hand: TrackedHand) -> None:
    if not np.isfinite(hand.uv).all():
        return
    text = f"{hand.side} {hand.track_id} {hand.score:.2f}"
    scale = max(min(rgb.shape[:2]) / 1000, 0.35)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = int(np.clip(hand.uv[:, 0].mean() - width / 2, 2, max(rgb.shape[1] - width - 2, 2)))
    y = int(np.clip(hand.uv[:, 1].min() - 0.8 * height, height + 2, rgb.shape[0] - 4))
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(
            rgb, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA
        )
