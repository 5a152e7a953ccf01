"""Contact sheet of an open hand: rest, named poses, shapes, the left hand, skin masks.

Numbers pass while a fingertip is chopped or a web sits in the wrong place; a sheet shows it at once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from tracker.geometry.camera import Camera
from tracker.view.renderer import Mesh
from tracker.view.software_renderer import SoftwareRenderer
from train.open_hand.model import OpenHand
from train.open_hand.named_poses import named_poses
from train.open_hand.posing import hand_model, pose_vertices

TILE = 300
"""Edge of a picture in pixels; drawn at twice that and reduced."""
COLUMNS = 8
FOV_DEG = 20.0
DISTANCE = 0.75
"""From the camera to the hand's middle, in metres."""
MIDDLE = np.array([-0.005, -0.005, 0.005])
BACKGROUND = np.array([246, 246, 248], np.uint8)
SKIN, PALM, NAIL, KNUCKLE = (
    np.array(rgb)
    for rgb in ((0.80, 0.60, 0.48), (0.90, 0.68, 0.58), (0.93, 0.74, 0.69), (0.66, 0.44, 0.35))
)

View = Literal["back", "palm", "radial", "ulnar", "tips", "front"]
_VIEWS: dict[View, tuple[float, float]] = {
    "back": (0.0, 90.0),
    "palm": (0.0, -90.0),
    "radial": (0.0, 10.0),
    "ulnar": (180.0, 10.0),
    "tips": (-70.0, 20.0),
    "front": (-35.0, 40.0),
}
"""Azimuth about the vertical and elevation of the camera in degrees; azimuth 0 looks at the thumb's side."""


def draw_sheet(hand: OpenHand, path: Path) -> None:
    """Draw the contact sheet of a hand and write it as an image file."""
    pictures = [
        _labelled(draw(vertices, faces, colors, view), label)
        for vertices, faces, colors, view, label in _scenes(hand)
    ]
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * TILE), tuple(BACKGROUND.tolist()))
    for number, picture in enumerate(pictures):
        row, column = divmod(number, COLUMNS)
        sheet.paste(picture, (column * TILE, row * TILE))
    sheet.save(path)


def draw(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, view: View) -> Image.Image:
    """Draw a mesh of the hand's frame from one of the named directions."""
    camera = Camera.from_fov((2 * TILE, 2 * TILE), FOV_DEG)
    in_camera = (vertices - MIDDLE) @ cam_from_hand(view).T + np.array([0, 0, DISTANCE])
    rendering = SoftwareRenderer().render([Mesh(in_camera, faces, colors)], camera)
    alpha = rendering.alpha[..., None]
    rgb = (rendering.rgb * alpha + BACKGROUND * (1 - alpha)).round().astype(np.uint8)
    return Image.fromarray(rgb).resize((TILE, TILE), Image.Resampling.BOX)


def cam_from_hand(view: View) -> np.ndarray:
    """Return the rotation (3, 3) from the hand's rest frame to the camera frame of a view."""
    azimuth, elevation = np.radians(_VIEWS[view])
    right = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
    towards = np.array([
        np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation),
    ])  # fmt: skip
    return np.stack([right, np.cross(-towards, right), -towards])


def skin_colors(hand: OpenHand) -> np.ndarray:
    """Return one colour (v, 3) per vertex that shows where the masks are."""
    colors = np.tile(SKIN, (len(hand.v_template), 1))
    for color, mask in (
        (PALM, hand.mask_palmar),
        (KNUCKLE, 0.6 * hand.mask_knuckle),
        (NAIL, hand.mask_nail),
    ):
        colors = colors + mask[:, None] * (color - colors)
    return colors


def _scenes(hand: OpenHand) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, View, str]]:
    """Yield what each picture shows: vertices, faces, colours, view, label."""
    model, faces, colors = hand_model(hand), hand.f.astype(np.int64), skin_colors(hand)
    flat = np.zeros((1, 15, 3))
    rest = pose_vertices(model, flat)[0]
    for view in _VIEWS:
        yield rest, faces, colors, view, f"rest, {view}"
    left = pose_vertices(model.mirrored(), flat)[0]
    for view in ("back", "palm"):
        yield left, faces[:, ::-1], colors, view, f"left hand, {view}"
    poses = named_poses()
    for name, vertices in zip(
        poses, pose_vertices(model, np.stack(list(poses.values()))), strict=True
    ):
        for view in ("back", "palm", "radial", "tips"):
            yield vertices, faces, colors, view, f"{name}, {view}"
    for k in range(10):
        for size in (-2.5, 2.5):
            vertices = pose_vertices(model, flat, size * np.eye(10)[k : k + 1])[0]
            yield vertices, faces, colors, "back" if k < 6 else "palm", f"beta {k} = {size:+}"


def _labelled(picture: Image.Image, label: str) -> Image.Image:
    ImageDraw.Draw(picture).text((6, 4), label, fill=(150, 20, 20))
    return picture
