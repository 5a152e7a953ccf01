"""Draw meshes with pyrender and OpenGL, off screen.

Reading the picture back and smoothing its edges costs time for each pixel, so only the box around
the meshes is drawn: the viewport is a little larger than the box and the principal point moves
with it. Colours arrive lit (`geometry.shading`) and are drawn flat, so that this renderer and the
software renderer show the same picture.
"""

import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tracker.errors import RenderError
from tracker.geometry.camera import Camera
from tracker.geometry.shading import DEFAULT_LIGHT, Light
from tracker.geometry.zbuffer import NEAR_M, Box, box_of, project
from tracker.view.gl_shims import import_pyrender, open_offscreen
from tracker.view.renderer import Mesh, Rendering, prepare

STEP_PX: Final = 64
"""Viewport sizes are multiples of it, so a moving hand rarely changes them."""
_OPENGL_FROM_OPENCV: Final = np.array([1, -1, -1], np.float32)
_FAR_M: Final = 100.0


class PyrenderRenderer:
    """OpenGL renderer; an OpenGL context belongs to one thread, so create, use and close it in one.

    Raises:
        RenderError: no OpenGL works here; the message says what to install.
    """

    def __init__(self) -> None:
        self._pyrender, platform = import_pyrender()
        self.name = f"pyrender-{platform}"
        self._offscreen: Any = open_offscreen(self._pyrender, platform, STEP_PX, STEP_PX)
        self._thread = threading.get_ident()

    def render(
        self, meshes: Sequence[Mesh], camera: Camera, light: Light = DEFAULT_LIGHT
    ) -> Rendering:
        """Draw the meshes together, nearer surfaces in front.

        Raises:
            RenderError: called from another thread than the one that opened it, or after `close`.
        """
        self._check_usable()
        mesh = prepare(meshes, light)
        box = box_of(project(mesh.vertices, camera.K), camera.hw)
        picture = _empty(camera.hw, box)
        x0, y0, x1, y1 = box
        if x1 > x0 and y1 > y0:
            rgba, depth = self._draw(mesh, camera, box)
            part = (slice(y0, y1), slice(x0, x1))
            alpha = rgba[..., 3:]
            # The background was transparent black, so a pixel on the outline holds color * alpha.
            straight = rgba[..., :3].astype(np.float32) * 255 / np.maximum(alpha, 1)
            picture.rgb[part] = np.minimum(straight + 0.5, 255).astype(np.uint8)
            picture.alpha[part] = alpha[..., 0] / np.float32(255)
            picture.depth[part] = np.where(depth > 0, depth, np.inf)
        return picture

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._offscreen is not None:
            self._check_usable()
            self._offscreen.delete()
            self._offscreen = None

    def _draw(self, mesh: Mesh, camera: Camera, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Return RGBA and depth (0 where empty) of the box."""
        width, height = box[2] - box[0], box[3] - box[1]
        self._fit_viewport(width, height)
        flags = self._pyrender.RenderFlags.FLAT | self._pyrender.RenderFlags.RGBA
        rgba, depth = self._offscreen.render(self._scene(mesh, camera, box), flags)
        return rgba[:height, :width], depth[:height, :width]

    def _scene(self, mesh: Mesh, camera: Camera, box: Box) -> Any:
        pyrender, K = self._pyrender, camera.K
        # pyrender's camera knows no skew; shearing the points shows them at the same pixels.
        sheared = mesh.vertices + mesh.vertices[:, 1:2] * np.array([K[0, 1] / K[0, 0], 0, 0])
        primitive = pyrender.Primitive(
            positions=sheared * _OPENGL_FROM_OPENCV,
            indices=mesh.faces,
            color_0=np.concatenate([mesh.colors, np.ones_like(mesh.colors[:, :1])], 1),
            mode=pyrender.GLTF.TRIANGLES,
        )
        scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0])
        scene.add(pyrender.Mesh([primitive]))
        # Both sides put (0, 0) at the corner of the image, so the principal point only moves.
        center = (K[0, 2] - box[0], K[1, 2] - box[1])
        scene.add(
            pyrender.IntrinsicsCamera(K[0, 0], K[1, 1], *center, znear=NEAR_M, zfar=_FAR_M),
            pose=np.eye(4),
        )
        return scene

    def _fit_viewport(self, width: int, height: int) -> None:
        """Grow to hold the box; shrink only when three quarters would be wasted."""
        target = self._offscreen
        fits = width <= target.viewport_width and height <= target.viewport_height
        wanted_w, wanted_h = (-(-side // STEP_PX) * STEP_PX for side in (width, height))
        if not fits or 4 * wanted_w * wanted_h < target.viewport_width * target.viewport_height:
            target.viewport_width, target.viewport_height = wanted_w, wanted_h

    def _check_usable(self) -> None:
        if self._offscreen is None:
            raise RenderError("this renderer is closed; open another with `open_renderer()`")
        if threading.get_ident() != self._thread:
            raise RenderError(
                "pyrender was called from another thread than the one that opened it; open a "
                "renderer in each thread, or use the software renderer"
            )


def _empty(hw: tuple[int, int], box: Box) -> Rendering:
    return Rendering(
        np.zeros((*hw, 3), np.uint8),
        np.zeros(hw, np.float32),
        np.full(hw, np.inf, np.float32),
        box,
    )
