"""One picture of a live view, painted without any window."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from tracker.view.live_keys import ViewState, help_lines
from tracker.view.live_stage import Stage
from tracker.view.live_text import AMBER, WHITE, draw_caption, draw_panel, text_size_px, wrapped
from tracker.view.live_view import LivePicture
from tracker.view.live_wireframe import SIDE_RGB, draw_wireframe
from tracker.view.overlay import draw_hands
from tracker.view.renderer import Renderer
from tracker.vision.records import TrackedHand

MIN_HEIGHT_PX: Final = 480
"""Smaller frames are enlarged, so that what is written on them stays readable."""
_MAX_ENLARGED: Final = 4
_OUTLINE_RGB: Final = (120, 255, 140)
_HELP_HINT: Final = "H: help"


class LivePainter:
    """Paints frame, hands and words; remembers only where the stage's eye rests."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._stage = Stage()

    @property
    def renderer(self) -> Renderer:
        """What draws the meshes."""
        return self._renderer

    def paint(
        self, picture: LivePicture, state: ViewState, window_hw: tuple[int, int] | None = None
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Return a new picture that shows what `state` asks for.

        Args:
            picture: frame, hands and words.
            state: the viewer's choices.
            window_hw: size of the window, where that matters for the size of letters.
        """
        picture = _enlarged(picture)
        rgb, camera, hands = picture.frame.rgb, picture.camera, picture.hands
        if state.stage:
            view = self._stage.view(rgb.shape[:2], hands, state.orbit)
            rgb, camera, hands = view.rgb, view.camera, view.hands
        hands = tuple(hand for hand in hands if hand.state != "lost")
        drawn = hands if state.texture else tuple(_in_one_color(hand) for hand in hands)
        opacity = 1.0 if state.surface == "mesh" else 0.0
        painted = draw_hands(
            rgb,
            drawn,
            camera,
            self._renderer,
            opacity=opacity,
            skeleton=state.skeleton,
            label=False,
        )
        if state.surface == "wireframe":
            for hand in hands:
                draw_wireframe(painted, hand, camera)
        for outline in () if state.stage else picture.outlines:
            corners = np.round(outline * 16 - 8).astype(np.int32)
            cv2.polylines(painted, [corners], True, _OUTLINE_RGB, 2, cv2.LINE_AA, 4)
        if state.mirror:
            painted = cv2.flip(painted, 1)
        size_px = text_size_px(painted.shape[:2], window_hw)
        _write(painted, picture, hands, state, size_px)
        return painted


def _enlarged(picture: LivePicture) -> LivePicture:
    """Return small pictures several times as large, with everything that is measured in pixels."""
    height, width = picture.frame.rgb.shape[:2]
    times = min(-(-MIN_HEIGHT_PX // height), _MAX_ENLARGED)
    if times <= 1:
        return picture
    hw = height * times, width * times
    rgb = cv2.resize(picture.frame.rgb, (hw[1], hw[0]), interpolation=cv2.INTER_LINEAR)
    return replace(
        picture,
        frame=replace(picture.frame, rgb=rgb),
        camera=picture.camera.resized(hw),
        hands=tuple(replace(hand, uv=hand.uv * times) for hand in picture.hands),
        outlines=tuple(outline * times for outline in picture.outlines),
    )


def _in_one_color(hand: TrackedHand) -> TrackedHand:
    color = np.array(SIDE_RGB[hand.side], np.float32) / 255
    return replace(hand, colors=np.tile(color, (len(hand.vertices), 1)))


def _write(
    rgb: np.ndarray,
    picture: LivePicture,
    hands: Sequence[TrackedHand],
    state: ViewState,
    size: int,
) -> None:
    """Add the words: hands' names, numbers, a notice, the help."""
    if state.hud:
        for hand in hands:
            _name(rgb, hand, size, mirror=state.mirror)
        draw_panel(rgb, [*picture.hud.lines, _HELP_HINT], place="top left", size_px=size)
    if state.help:
        draw_panel(rgb, help_lines(), place="right", size_px=round(1.15 * size))
    if picture.hud.notice:
        large = round(1.5 * size)
        lines = wrapped(picture.hud.notice, rgb.shape[1] - 2 * large, large)
        draw_panel(rgb, lines, place="bottom", size_px=large, color=AMBER)


def _name(rgb: np.ndarray, hand: TrackedHand, size: int, *, mirror: bool) -> None:
    if not np.isfinite(hand.uv).all():
        return
    u, v = float(hand.uv[:, 0].mean()), float(hand.uv[:, 1].min()) - 0.4 * size
    color = WHITE if hand.state == "tracked" else AMBER
    state = "" if hand.state == "tracked" else f" {hand.state}"
    text = f"{hand.side} {hand.score:.2f}{state}"
    draw_caption(rgb, text, (rgb.shape[1] - u if mirror else u, v), size, color)
