"""Draw meshes on the processor alone: z-buffer, Gouraud colours, an outline without steps.

Visibility decides one face for each pixel centre. Where an outline edge then runs between two
pixels, the one that holds the smaller part of the edge's side takes over that part from its
neighbour (`outline.soften`), which is exact for straight edges and costs only as much as the outline is
long. Only the box around the meshes is touched, and its buffers are kept from call to call. Hands that
are apart in the picture are blended side by side, each in its own box, and all but the first on a thread
beside the caller's.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import combinations
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import UInt8
from numba import njit

from tracker.geometry.camera import Camera
from tracker.geometry.shading import DEFAULT_LIGHT, Light
from tracker.geometry.topology import edge_faces
from tracker.geometry.zbuffer import Box, box_of, draw_faces, is_front, project
from tracker.view.outline import soften
from tracker.view.renderer import Mesh, Rendering, prepare


class SoftwareRenderer:
    """Renderer that works everywhere; one instance serves one thread at a time.

    Example:
        >>> picture = SoftwareRenderer().render([mesh], Camera.from_fov((720, 1280)))
    """

    name = "software"

    def __init__(self) -> None:
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._buffers = [_Buffers()]
        self._helper = ThreadPoolExecutor(1, "blend")  # its thread starts with its first hand

    def render(
        self, meshes: Sequence[Mesh], camera: Camera, light: Light = DEFAULT_LIGHT
    ) -> Rendering:
        """Draw the meshes together, nearer surfaces in front."""
        height, width = camera.hw
        rgb = np.zeros((height, width, 3), np.uint8)
        alpha = np.zeros((height, width), np.float32)
        depth = np.full((height, width), np.inf, np.float32)
        box, layers = _draw(meshes, camera, light, self._buffers[0])
        _write(layers, box[0], box[1], rgb, alpha, depth)
        return Rendering(rgb, alpha, depth, box)

    def blend_into(
        self,
        rgb: UInt8[np.ndarray, "h w 3"],
        meshes: Sequence[Mesh],
        camera: Camera,
        *,
        opacity: float = 1.0,
        light: Light = DEFAULT_LIGHT,
    ) -> None:
        """Draw the meshes over the picture itself: the fastest overlay.

        Raises:
            ValueError: the picture cannot be written, or its size is not the camera's.
        """
        if rgb.shape[:2] != camera.hw or not rgb.flags.writeable:
            raise ValueError(
                f"blend_into needs a writable picture of the camera's size {camera.hw}, "
                f"found {rgb.shape[:2]}, writable: {rgb.flags.writeable}"
            )
        groups = [[mesh] for mesh in meshes] if _are_apart(meshes, camera) else [meshes]
        self._buffers += [_Buffers() for _ in groups[len(self._buffers) :]]

        def blend(group: Sequence[Mesh], buffers: _Buffers) -> None:
            box, layers = _draw(group, camera, light, buffers)
            _blend(layers, box[0], box[1], np.float32(opacity), rgb)

        others = zip(groups[1:], self._buffers[1:], strict=False)
        elsewhere = [self._helper.submit(blend, *other) for other in others]
        try:
            blend(groups[0], self._buffers[0])
        finally:
            wait(elsewhere)  # nothing may draw into the picture after the call
        for part in elsewhere:
            part.result()

    def close(self) -> None:
        """Give buffers and thread back; drawing takes new ones."""
        self._helper.shutdown()
        self._start_afresh()


def _are_apart(meshes: Sequence[Mesh], camera: Camera) -> bool:
    """Return whether there are several meshes and no two can touch in the picture."""
    if len(meshes) < 2:
        return False
    boxes = [box_of(project(mesh.vertices, camera.K), camera.hw) for mesh in meshes]
    return not any(
        max(a[0], b[0]) < min(a[2], b[2]) and max(a[1], b[1]) < min(a[3], b[3])
        for a, b in combinations(boxes, 2)
    )


def _draw(
    meshes: Sequence[Mesh], camera: Camera, light: Light, buffers: "_Buffers"
) -> tuple[Box, "_Layers"]:
    mesh = prepare(meshes, light)
    uvw = project(mesh.vertices, camera.K)
    x0, y0, x1, y1 = box = box_of(uvw, camera.hw)
    planes = _color_planes(uvw, mesh.faces, mesh.colors, x0, y0)
    layers, pairs = buffers.window(y1 - y0, x1 - x0, planes)
    draw_faces(uvw, mesh.faces, x0, y0, layers.face_id, layers.inv_depth)
    edges = edge_faces(mesh.faces)
    soften(uvw, mesh.faces, edges, x0, y0, layers.inv_depth, layers.mix, layers.mix_from, pairs)
    return box, layers


class _Layers(NamedTuple):
    """What is seen in a window of the image."""

    face_id: np.ndarray
    """(h, w) int32, only meant where `inv_depth` is positive."""
    inv_depth: np.ndarray
    """(h, w) 1/z, 0 where empty."""
    mix: np.ndarray
    """(h, w) part taken from a neighbour, see `outline.soften`."""
    mix_from: np.ndarray
    """(h, w) int8, which neighbour."""
    planes: np.ndarray
    """(F, 11) colours of the front faces, see `_color_planes`."""


class _Buffers:
    """Flat memory for the largest window so far."""

    def __init__(self) -> None:
        self._allocate(0)

    def _allocate(self, pixels: int) -> None:
        self.face_id = np.empty(pixels, np.int32)
        self.inv_depth = np.empty(pixels, np.float32)
        self.mix = np.empty(pixels, np.float32)
        self.mix_from = np.empty(pixels, np.int8)
        self.pairs = np.zeros(2 * pixels, np.float32)  # `outline.soften` leaves it as it found it

    def window(self, height: int, width: int, planes: np.ndarray) -> tuple[_Layers, np.ndarray]:
        """Return empty layers of a size, and scratch memory for the outline."""
        if height * width > len(self.face_id):
            self._allocate(height * width)

        def shaped(buffer: np.ndarray) -> np.ndarray:
            return buffer[: height * width].reshape(height, width)

        layers = _Layers(
            shaped(self.face_id),
            shaped(self.inv_depth),
            shaped(self.mix),
            shaped(self.mix_from),
            planes,
        )
        layers.inv_depth[:] = 0
        layers.mix[:] = 0
        layers.mix_from[:] = 0  # read even where nothing is mixed; a stale side may lie outside
        return layers, self.pairs[: 2 * height * width].reshape(height, width, 2)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _color_planes(uvw, faces, colors, x0, y0):
    """Return, for each front face, its corner (x, y) and the plane of color/z on each channel."""
    planes = np.empty((faces.shape[0], 11), np.float32)
    for f in range(faces.shape[0]):
        if not is_front(uvw, faces, f):
            continue
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        bx, by = uvw[b, 0] - uvw[a, 0], uvw[b, 1] - uvw[a, 1]
        cx, cy = uvw[c, 0] - uvw[a, 0], uvw[c, 1] - uvw[a, 1]
        inv = np.float32(1) / (bx * cy - by * cx)
        planes[f, 0], planes[f, 1] = uvw[a, 0] - np.float32(x0), uvw[a, 1] - np.float32(y0)
        for k in range(3):
            at_a = colors[a, k] * uvw[a, 2]
            to_b, to_c = colors[b, k] * uvw[b, 2] - at_a, colors[c, k] * uvw[c, 2] - at_a
            planes[f, 2 + 3 * k] = at_a
            planes[f, 3 + 3 * k] = (to_b * cy - to_c * by) * inv
            planes[f, 4 + 3 * k] = (to_c * bx - to_b * cx) * inv
    return planes


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _color_at(layers, y, x):
    """Colour (0 to 255) at the centre of a covered pixel."""
    planes, f, half = layers.planes, layers.face_id[y, x], np.float32(0.5)
    dx, dy = np.float32(x) + half - planes[f, 0], np.float32(y) + half - planes[f, 1]
    z = np.float32(255) / layers.inv_depth[y, x]
    r = (planes[f, 2] + planes[f, 3] * dx + planes[f, 4] * dy) * z
    g = (planes[f, 5] + planes[f, 6] * dx + planes[f, 7] * dy) * z
    b = (planes[f, 8] + planes[f, 9] * dx + planes[f, 10] * dy) * z
    return r, g, b


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _mixed(layers, y, x):
    """Colour (0 to 255, times coverage) and coverage of a pixel that takes part of a neighbour."""
    side, t = layers.mix_from[y, x], layers.mix[y, x]
    y2, x2 = y + (side == 2) - (side == -2), x + (side == 1) - (side == -1)
    r, g, b, a = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for part, yy, xx in ((np.float32(1) - t, y, x), (t, y2, x2)):
        if layers.inv_depth[yy, xx] > 0:
            red, green, blue = _color_at(layers, yy, xx)
            r, g, b, a = r + part * red, g + part * green, b + part * blue, a + part
    return r, g, b, a


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _as_byte(value):
    zero, top, half = np.float32(0), np.float32(255), np.float32(0.5)
    return np.uint8(np.int32(min(max(value, zero), top) + half))


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _write(layers, x0, y0, rgb, alpha, depth):
    inv_depth, mix = layers.inv_depth, layers.mix
    height, width = mix.shape
    for y in range(height):
        for x in range(width):
            if inv_depth[y, x] == 0 and mix[y, x] == 0:
                continue
            r, g, b, a = _mixed(layers, y, x)
            alpha[y + y0, x + x0] = a
            for k, value in enumerate((r, g, b)):
                rgb[y + y0, x + x0, k] = _as_byte(value / max(a, np.float32(1e-6)))
            if inv_depth[y, x] > 0:
                depth[y + y0, x + x0] = np.float32(1) / inv_depth[y, x]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _blend(layers, x0, y0, opacity, rgb):
    inv_depth, mix, face_id, planes = layers.inv_depth, layers.mix, layers.face_id, layers.planes
    height, width = mix.shape
    one, half, zero = np.float32(1), np.float32(0.5), np.float32(0)
    keep, gain = one - opacity, np.float32(255) * opacity
    for y in range(height):
        row = rgb[y + y0]
        last = -1
        r = g = b = r_step = g_step = b_step = zero
        for x in range(width):
            if inv_depth[y, x] > 0 and mix[y, x] == 0:
                if face_id[y, x] != last:  # a face's plane is taken up once for its run in the row
                    last = face_id[y, x]
                    dx, dy = half - planes[last, 0], np.float32(y) + half - planes[last, 1]
                    r_step, g_step, b_step = planes[last, 3], planes[last, 6], planes[last, 9]
                    r = planes[last, 2] + planes[last, 4] * dy + r_step * dx
                    g = planes[last, 5] + planes[last, 7] * dy + g_step * dx
                    b = planes[last, 8] + planes[last, 10] * dy + b_step * dx
                z, along = gain / inv_depth[y, x], np.float32(x)
                pixel = row[x + x0]
                pixel[0] = _as_byte(keep * np.float32(pixel[0]) + (r + r_step * along) * z)
                pixel[1] = _as_byte(keep * np.float32(pixel[1]) + (g + g_step * along) * z)
                pixel[2] = _as_byte(keep * np.float32(pixel[2]) + (b + b_step * along) * z)
    # The outline comes second and apart: few pixels, and the loop above stays small and fast.
    for y in range(height):
        row = rgb[y + y0]
        for x in range(width):
            if mix[y, x] > 0:
                r, g, b, a = _mixed(layers, y, x)
                for k, value in enumerate((r, g, b)):
                    under = np.float32(row[x + x0, k])
                    row[x + x0, k] = _as_byte((one - opacity * a) * under + opacity * value)
