"""pyrender in a window's own OpenGL context: the live window's renderer on a graphics card."""

import threading
from typing import Any, Final

import numpy as np

from tracker.errors import RenderError
from tracker.geometry.camera import Camera
from tracker.view.gl_shims import import_pyrender_in_window
from tracker.view.pyrender_renderer import STEP_PX, PyrenderRenderer
from tracker.view.renderer import Mesh

_TRIANGLE: Final = Mesh(
    np.array([[0.0, 0.0, 1.0], [0.1, 0.1, 1.0], [0.1, 0.0, 1.0]]),
    np.array([[0, 1, 2]]),
    np.ones((3, 3), np.float32),
)


class WindowRenderer(PyrenderRenderer):
    """Draws like `PyrenderRenderer`, with the OpenGL context that is current now and at each call.

    Raises:
        RenderError: OpenGL in this process is bound to EGL or OSMesa, or pyrender cannot start.
    """

    def __init__(self) -> None:
        self._pyrender = import_pyrender_in_window()
        self.name = "pyrender-window"
        self._offscreen: Any = _WindowTarget(self._pyrender)
        self._thread = threading.get_ident()
        self.render([_TRIANGLE], Camera.from_fov((64, 64)))  # fails now or never


class _WindowTarget:
    """Framebuffers beside a window, with the interface of `pyrender.OffscreenRenderer`."""

    def __init__(self, pyrender: Any) -> None:
        from OpenGL.error import Error as OpenGLError

        self._error = OpenGLError
        self._flag = pyrender.RenderFlags.OFFSCREEN
        self.viewport_width = self.viewport_height = STEP_PX
        self._renderer: Any = pyrender.Renderer(STEP_PX, STEP_PX)

    def render(self, scene: Any, flags: int) -> Any:
        self._renderer.viewport_width = self.viewport_width
        self._renderer.viewport_height = self.viewport_height
        try:
            return self._renderer.render(scene, flags | self._flag)
        except (self._error, AttributeError, RuntimeError, ValueError) as error:
            raise RenderError(
                f"pyrender cannot draw with the window's OpenGL ({type(error).__name__}); "
                "use `--view none` or `--view browser`"
            ) from error

    def delete(self) -> None:
        try:
            self._renderer.delete()
        except self._error as error:
            raise RenderError(
                "the window's OpenGL was gone before pyrender let go of it"
            ) from error
