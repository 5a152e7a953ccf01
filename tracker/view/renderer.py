"""What every renderer takes and gives, and how to get one that works on this machine.

Two renderers stand behind one protocol: pyrender (OpenGL, through EGL or OSMesa) and our own
software renderer, which needs nothing but the processor. Both draw the same prepared mesh, lit by
`geometry.shading`, so their pictures agree.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8

from tracker.errors import RenderError
from tracker.geometry.camera import Camera
from tracker.geometry.shading import DEFAULT_LIGHT, Light, shade
from tracker.geometry.topology import closed_faces
from tracker.geometry.zbuffer import Box, vertex_normals

_log = logging.getLogger(__name__)

RendererKind = Literal["auto", "pyrender", "software"]


@dataclass(frozen=True)
class Mesh:
    """A coloured surface in the camera frame."""

    vertices: Float[np.ndarray, "V 3"]
    """Metres."""
    faces: Int[np.ndarray, "F 3"]
    """Counter-clockwise seen from outside."""
    colors: Float[np.ndarray, "V 3"]
    """Albedo of each vertex: display-encoded RGB in [0, 1]."""


@dataclass(frozen=True)
class Rendering:
    """A picture of meshes on nothing."""

    rgb: UInt8[np.ndarray, "h w 3"]
    """Colour of the surface, not yet mixed with a background; black where `alpha` is 0."""
    alpha: Float[np.ndarray, "h w"]
    """Part of the pixel that is covered, 0 to 1; between them on the outline."""
    depth: Float[np.ndarray, "h w"]
    """Distance along z in metres at the pixel centre; infinite where nothing is."""
    box_xyxy: Box
    """Whole pixels that hold everything drawn; outside of it all pixels are empty."""


@runtime_checkable
class Renderer(Protocol):
    """Draws meshes as a camera sees them."""

    @property
    def name(self) -> str:
        """What draws, e.g. `software` or `pyrender-egl`."""
        ...

    def render(
        self, meshes: Sequence[Mesh], camera: Camera, light: Light = DEFAULT_LIGHT
    ) -> Rendering:
        """Draw the meshes together, nearer surfaces in front.

        Raises:
            RenderError: the drawing system failed or was called from a foreign thread.
        """
        ...

    def close(self) -> None:
        """Give back what the renderer holds; it cannot draw afterwards."""
        ...


def open_renderer(kind: RendererKind = "auto") -> Renderer:
    """Open a renderer; `auto` tries pyrender and falls back to software, which always works.

    Raises:
        RenderError: pyrender was asked for by name and no OpenGL works here.
    """
    from tracker.view.software_renderer import SoftwareRenderer

    if kind == "software":
        return SoftwareRenderer()
    try:
        # Imported here: pyrender binds OpenGL for the whole process and takes most of a second.
        from tracker.view.pyrender_renderer import PyrenderRenderer

        return PyrenderRenderer()
    except RenderError as error:
        if kind == "pyrender":
            raise
        _log.info("drawing with the software renderer, because %s", error)
        return SoftwareRenderer()


def prepare(meshes: Sequence[Mesh], light: Light) -> Mesh:
    """Return all meshes as one, lit and without holes: what any renderer then only has to draw."""
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    lit = [shade(m.colors, vertex_normals(m.vertices, m.faces), light) for m in meshes]
    faces = [closed_faces(m.faces) + int(o) for m, o in zip(meshes, offsets, strict=False)]
    return Mesh(
        _stack([mesh.vertices for mesh in meshes], np.float32),
        _stack(faces, np.int32),
        _stack(lit, np.float32),
    )


def _stack(parts: Sequence[np.ndarray], dtype: type[np.generic]) -> np.ndarray:
    return np.concatenate([np.empty((0, 3), dtype), *parts]).astype(dtype, copy=False)
