"""A window and its OpenGL, as little of both as it takes to show a picture made in memory.

The picture goes into a texture, and from there into the window with one `glBlitFramebuffer`. On
Mesa's software OpenGL that takes 3 ms at 1280x720, a third of drawing a rectangle with shaders.
"""

import ctypes
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from tracker.errors import RenderError

_WHAT_TO_DO: Final = (
    "use `--view none` or `--view browser`; over SSH connect with `ssh -X`, and where there is no "
    "screen at all `xvfb-run` lends one"
)
_MIN_SIZE: Final = (160, 120)


class WindowSurface:
    """A resizable window that shows pictures with their shape kept.

    Raises:
        RenderError: there is no display, or no OpenGL on it.
    """

    def __init__(self, size: tuple[int, int], title: str) -> None:
        self.alive = False
        self._failures: tuple[type[Exception], ...] = (OSError,)
        self._guard = _ConnectionGuard()
        try:
            self._open(size, title)
        except Exception as error:  # pyglet has a dozen unrelated classes for this
            raise RenderError(
                f"no window could be opened ({_reason(error)}); {_WHAT_TO_DO}"
            ) from error
        self.alive = True

    def _open(self, size: tuple[int, int], title: str) -> None:
        import pyglet

        pyglet.options.shadow_window = False  # a hidden window that only sharing contexts needs
        pyglet.options.debug_gl = False  # asks for errors after each call; we ask once a picture
        from pyglet import gl, window
        from pyglet.gl import lib

        self._failures = (
            *(OSError, gl.ContextException, window.WindowException, lib.GLException),
            lib.MissingFunctionException,
        )
        self._gl: Any = gl
        self._key: Any = window.key
        self._window: Any = window.Window(
            *size,
            caption=title,
            resizable=True,
            vsync=False,  # waiting for the screen would make every picture up to a frame late
            config=gl.Config(double_buffer=True, depth_size=0, sample_buffers=0),
        )
        self._guard.watch(self._window)
        self._window.set_minimum_size(*_MIN_SIZE)
        self._texture, self._framebuffer = gl.GLuint(), gl.GLuint()
        gl.glGenTextures(1, self._texture)
        gl.glGenFramebuffers(1, self._framebuffer)
        self._texture_hw = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the window as the mouse measures it."""
        return self._window.get_size()

    @property
    def renderer_name(self) -> str:
        """Who draws OpenGL here, e.g. `llvmpipe (LLVM 15.0.6, 256 bits)`."""
        return str(self._window.context.get_info().get_renderer())

    def listen(self, handlers: Mapping[str, Any]) -> None:
        """Call these functions on pyglet's window events."""
        self._window.push_handlers(**handlers)

    def key_name(self, symbol: int) -> str:
        """Return the name of a key as pyglet spells it."""
        return self._key.symbol_string(symbol)

    def make_current(self) -> None:
        """Let OpenGL calls that follow go to this window.

        Raises:
            RenderError: the window is gone.
        """
        self._check()
        with self._errors():
            self._window.switch_to()

    def dispatch(self) -> None:
        """Handle the events that wait.

        Raises:
            RenderError: the display is gone.
        """
        self._check()
        with self._errors():
            self._window.switch_to()
            self._window.dispatch_events()
        self._check()

    def present(self, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        """Put a picture on the screen, as large as its shape allows, with black bars beside it.

        Raises:
            RenderError: the window or its OpenGL is gone.
        """
        self._check()
        with self._errors():
            self._upload(np.ascontiguousarray(rgb))
            self._blit(rgb.shape[:2])
            if self._gl.glGetError() == self._gl.GL_CONTEXT_LOST:
                raise OSError("the OpenGL context was lost")
            self._window.flip()
        self._check()

    def close(self) -> None:
        """Close the window; safe to call twice."""
        if self.alive:
            self.alive = False
            if not self._guard.broken:
                with self._errors():
                    self._window.close()

    def _upload(self, rgb: np.ndarray) -> None:
        gl, (height, width) = self._gl, rgb.shape[:2]
        gl.glBindTexture(gl.GL_TEXTURE_2D, self._texture)
        gl.glPixelStorei(gl.GL_UNPACK_ALIGNMENT, 1)
        pixels = ctypes.c_void_p(rgb.ctypes.data)
        layout = (width, height), (gl.GL_RGB, gl.GL_UNSIGNED_BYTE, pixels)
        if self._texture_hw == (height, width):
            gl.glTexSubImage2D(gl.GL_TEXTURE_2D, 0, 0, 0, *layout[0], *layout[1])
            return
        gl.glTexImage2D(gl.GL_TEXTURE_2D, 0, gl.GL_RGB8, *layout[0], 0, *layout[1])
        gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, self._framebuffer)
        gl.glFramebufferTexture2D(
            gl.GL_READ_FRAMEBUFFER, gl.GL_COLOR_ATTACHMENT0, gl.GL_TEXTURE_2D, self._texture, 0
        )
        self._texture_hw = height, width

    def _blit(self, hw: tuple[int, int]) -> None:
        gl = self._gl
        width, height = self._window.get_framebuffer_size()
        x0, y0, x1, y1 = box = fitted_box(hw, (height, width))
        gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, self._framebuffer)
        gl.glBindFramebuffer(gl.GL_DRAW_FRAMEBUFFER, 0)
        gl.glDisable(gl.GL_SCISSOR_TEST)
        if box != (0, 0, width, height):
            gl.glClearColor(0, 0, 0, 1)
            gl.glClear(gl.GL_COLOR_BUFFER_BIT)
        same = (y1 - y0, x1 - x0) == hw
        # The first row of the picture is the top one; OpenGL counts from the bottom.
        gl.glBlitFramebuffer(
            *(0, 0, hw[1], hw[0], x0, y1, x1, y0),
            gl.GL_COLOR_BUFFER_BIT,
            gl.GL_NEAREST if same else gl.GL_LINEAR,
        )

    def _check(self) -> None:
        if self._guard.broken:
            raise RenderError(f"the connection to the display broke; {_WHAT_TO_DO}")
        if not self.alive:
            raise RenderError("this window is closed; open another")

    def _errors(self) -> "_AsRenderError":
        return _AsRenderError(self._failures)


class _AsRenderError:
    """Turns what pyglet raises when a display or OpenGL goes away into our own error."""

    def __init__(self, failures: tuple[type[Exception], ...]) -> None:
        self._failures = failures

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, self._failures):
            raise RenderError(f"the window was lost ({_reason(error)}); {_WHAT_TO_DO}") from error


class _ConnectionGuard:
    """Keeps the program alive when the X server goes away: Xlib would end the whole process.

    Xlib's two handlers, one of the process and one of the display (`XSetIOErrorExitHandler`, since
    libX11 1.7 of 2020), let it return instead. Elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self.broken = False

    def watch(self, window: Any) -> None:
        """Look after the display of a pyglet window."""
        if not sys.platform.startswith("linux"):
            return
        try:
            xlib = ctypes.CDLL("libX11.so.6")
            on_error, on_exit = xlib.XSetIOErrorHandler, xlib.XSetIOErrorExitHandler
        except (OSError, AttributeError):
            return
        pointer = ctypes.c_void_p
        quiet = ctypes.CFUNCTYPE(ctypes.c_int, pointer)(_say_nothing)
        note = ctypes.CFUNCTYPE(None, pointer, pointer)(self._note)
        _KEPT.extend((quiet, note))
        on_error.restype = pointer
        on_error(quiet)
        on_exit.argtypes, on_exit.restype = [pointer, type(note), pointer], None
        on_exit(ctypes.cast(window.display._display, pointer), note, None)

    def _note(self, display: Any, data: Any) -> None:
        self.broken = True


def _say_nothing(display: Any) -> int:
    return 0


_KEPT: Final[list[Any]] = []
"""Functions that Xlib may call as long as the process lives."""


def fitted_box(hw: tuple[int, int], window_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return (x0, y0, x1, y1) in the window where a picture fits, centred and with its shape."""
    ratio = min(window_hw[0] / hw[0], window_hw[1] / hw[1])
    height, width = (min(round(side * ratio), of) for side, of in zip(hw, window_hw, strict=True))
    x0, y0 = (window_hw[1] - width) // 2, (window_hw[0] - height) // 2
    return x0, y0, x0 + width, y0 + height


def _reason(error: BaseException | None) -> str:
    if type(error).__name__ == "NoSuchDisplayException":
        return f"the display {os.environ.get('DISPLAY', '')!r} does not answer"
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__
