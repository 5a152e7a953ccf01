"""The live window: a pyglet window that shows what `LivePainter` paints, and its keys and mouse.

The picture is made in memory and copied into the window: where OpenGL runs on the processor, drawing
only the hands' region there costs a tenth of drawing the whole window. On a graphics card the
meshes are drawn by pyrender in the window's own OpenGL context, again only their region.
"""

import logging
from dataclasses import replace
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from tracker.errors import RenderError
from tracker.view.live_keys import ViewState, press
from tracker.view.live_painter import LivePainter
from tracker.view.live_stage import Orbit
from tracker.view.live_surface import WindowSurface
from tracker.view.live_view import Command, LivePicture
from tracker.view.renderer import Renderer
from tracker.view.software_renderer import SoftwareRenderer

_log = logging.getLogger(__name__)

_WIDEST: Final = (1280, 900)
"""A new window is no larger than this; it may be resized."""
_SOFTWARE_GL: Final = ("llvmpipe", "softpipe", "swrast", "software")


class LiveWindow:
    """Shows pictures in a window; create it and use it on the main thread only.

    Args:
        hw: size of the pictures that will come; the window opens with their shape.
        title: of the window.
        state: what is shown at first.

    Raises:
        RenderError: there is no display, or no OpenGL on it; the message says what to do.
    """

    def __init__(
        self,
        hw: tuple[int, int] = (720, 1280),
        *,
        title: str = "Handloom",
        state: ViewState | None = None,
    ) -> None:
        self.state = state or ViewState()
        self._surface = WindowSurface(_window_size(hw), title)
        self._painter = LivePainter(self._best_renderer())
        self._asked: list[Command] = []
        self._picture: LivePicture | None = None
        self._painted: np.ndarray | None = None
        self._stale = False
        """Whether a key or the mouse changed what the picture should show."""
        self._surface.listen(self._handlers())

    @property
    def renderer_name(self) -> str:
        """What draws the meshes, e.g. `software` or `pyrender-window`."""
        return self._painter.renderer.name

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the window."""
        return self._surface.size

    def show(self, picture: LivePicture) -> None:
        """Draw one picture and put it on the screen.

        Raises:
            RenderError: the window or its OpenGL is gone.
        """
        self._picture = picture
        self._paint()

    def commands(self) -> list[Command]:
        """Handle waiting events, show at once what they changed, return what was asked.

        Raises:
            RenderError: the window or its OpenGL is gone.
        """
        self._surface.dispatch()
        if self._stale:
            self._paint()
        asked, self._asked = self._asked, []
        return asked

    def shown(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return what is on the screen now, without the bars beside it."""
        return self._painted

    def close(self) -> None:
        """Close the window; safe to call twice."""
        if self._surface.alive:
            try:
                self._painter.renderer.close()
            except RenderError as error:
                _log.info("the renderer was gone before its window: %s", error)
        self._surface.close()

    def _paint(self) -> None:
        self._stale = False
        if self._picture is not None:
            self._surface.make_current()
            width, height = self.size
            self._painted = self._painter.paint(self._picture, self.state, (height, width))
            self._surface.present(self._painted)

    def _best_renderer(self) -> Renderer:
        """Take pyrender where a graphics card draws; else the processor draws best by itself."""
        name = self._surface.renderer_name
        if any(word in name.lower() for word in _SOFTWARE_GL):
            return SoftwareRenderer()
        try:
            from tracker.view.window_renderer import WindowRenderer

            return WindowRenderer()
        except RenderError as error:
            _log.info("drawing hands with the software renderer, because %s", error)
            return SoftwareRenderer()

    def _handlers(self) -> dict[str, Any]:
        return {
            "on_key_press": self._pressed,
            "on_mouse_drag": self._dragged,
            "on_mouse_scroll": self._scrolled,
            "on_close": self._closed,
            "on_expose": self._exposed,
            "on_resize": self._resized,
        }

    def _pressed(self, symbol: int, modifiers: int) -> bool:
        self.state, command = press(self.state, self._surface.key_name(symbol))
        self._asked += [] if command is None else [command]
        self._stale = True
        return True  # pyglet would close the window on Escape

    def _dragged(self, x: int, y: int, dx: int, dy: int, *rest: int) -> None:
        self._turn(self.state.orbit.dragged(dx, dy, self._surface.size[1]))

    def _scrolled(self, x: int, y: int, dx: float, dy: float) -> None:
        self._turn(self.state.orbit.scrolled(dy))

    def _turn(self, orbit: Orbit) -> None:
        if self.state.stage:
            self.state = replace(self.state, orbit=orbit)
            self._stale = True

    def _closed(self) -> bool:
        self._asked.append(Command.QUIT)
        return True  # the program decides when the window goes

    def _exposed(self) -> None:
        self._stale = True

    def _resized(self, width: int, height: int) -> bool:
        self._stale = True
        return True


def _window_size(hw: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of a new window with the shape of the pictures."""
    height, width = hw
    ratio = min(_WIDEST[0] / width, _WIDEST[1] / height)
    ratio = min(ratio, max(1.0, 640 / width))  # small pictures get a window one can see
    return max(round(width * ratio), 160), max(round(height * ratio), 120)
