"""Draw meshes on the processor alone: z-buffer, Gouraud colours, an outline without steps.

Visibility decides one face for each pixel centre. Where an outline edge then runs between two
pixels, the one that holds the smaller part of the edge's side takes over that part from its
neighbour (`_soften`), which is exact for straight edges and costs only as much as the outline is
long. Only the box around the meshes is touched, and its buffers are kept from call to call.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import UInt8
from numba import njit

from tracker.geometry.camera import Camera
from tracker.geometry.shading import DEFAULT_LIGHT, Light
from tracker.geometry.topology import edge_faces
from tracker.geometry.zbuffer import Box, box_of, draw_faces, project
from tracker.view.renderer import Mesh, Rendering, prepare

_SAME_SURFACE: Final = 1.002  # ratio of depths within which an edge still lies on what is behind it
_OCCLUDED: Final = 1.02  # ratio of depths beyond which an edge is hidden by what is in front of it


class SoftwareRenderer:
    """Renderer that works everywhere; one instance serves one thread at a time.

    Example:
        >>> picture = SoftwareRenderer().render([mesh], Camera.from_fov((720, 1280)))
    """

    name = "software"

    def __init__(self) -> None:
        self._buffers = _Buffers(0)

    def render(
        self, meshes: Sequence[Mesh], camera: Camera, light: Light = DEFAULT_LIGHT
    ) -> Rendering:
        """Draw the meshes together, nearer surfaces in front."""
        height, width = camera.hw
        rgb = np.zeros((height, width, 3), np.uint8)
        alpha = np.zeros((height, width), np.float32)
        depth = np.full((height, width), np.inf, np.float32)
        box, layers = self._draw(meshes, camera, light)
        _write(*layers, box[0], box[1], rgb, alpha, depth)
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
        box, layers = self._draw(meshes, camera, light)
        _blend(*layers, box[0], box[1], np.float32(opacity), rgb)

    def close(self) -> None:
        """Give the buffers back."""
        self._buffers = _Buffers(0)

    def _draw(
        self, meshes: Sequence[Mesh], camera: Camera, light: Light
    ) -> tuple[Box, tuple[np.ndarray, ...]]:
        mesh = prepare(meshes, light)
        uvw = project(mesh.vertices, camera.K)
        box = box_of(uvw, camera.hw)
        x0, y0, x1, y1 = box
        if (y1 - y0) * (x1 - x0) > len(self._buffers.face_id):
            self._buffers = _Buffers((y1 - y0) * (x1 - x0))
        layers = self._buffers.window(y1 - y0, x1 - x0)
        draw_faces(uvw, mesh.faces, x0, y0, *layers[:2])
        _soften(uvw, mesh.faces, edge_faces(mesh.faces), x0, y0, *layers)
        return box, (*layers, _color_planes(uvw, mesh.faces, mesh.colors, x0, y0))


class _Buffers:
    """Flat memory for the largest window so far."""

    def __init__(self, pixels: int) -> None:
        self.face_id = np.empty(pixels, np.int32)
        self.inv_depth = np.empty(pixels, np.float32)
        self.pairs = np.zeros(2 * pixels, np.float32)  # `_soften` leaves it as it found it
        self.mix = np.empty(pixels, np.float32)
        self.mix_from = np.empty(pixels, np.int8)

    def window(self, height: int, width: int) -> tuple[np.ndarray, ...]:
        pixels = height * width
        self.inv_depth[:pixels] = 0
        self.mix[:pixels] = 0
        parts = (self.face_id, self.inv_depth, self.mix, self.mix_from)
        pairs = self.pairs[: 2 * pixels].reshape(height, width, 2)
        return (*(part[:pixels].reshape(height, width) for part in parts), pairs)


@njit(cache=True, nogil=True, error_model="numpy")
def _is_front(uvw, faces, f):
    if f < 0:
        return False
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    if min(uvw[a, 2], min(uvw[b, 2], uvw[c, 2])) <= 0:
        return False
    area = (uvw[b, 0] - uvw[a, 0]) * (uvw[c, 1] - uvw[a, 1])
    return area < (uvw[b, 1] - uvw[a, 1]) * (uvw[c, 0] - uvw[a, 0])


@njit(cache=True, nogil=True, error_model="numpy")
def _soften(uvw, faces, edges, x0, y0, face_id, inv_depth, mix, mix_from, pairs):
    """Find how much of which neighbour each pixel on an outline takes over.

    An outline edge is one between a front and a back face. It is followed along its longer axis;
    at each row (or column) it crosses one pair of neighbouring pixel centres, `reach` pixels away
    from the centre on the drawn side. Of several edges between one pair the outermost counts.
    `pairs[y, x, 0]` belongs to (x, y) and (x + 1, y), `pairs[y, x, 1]` to (x, y) and (x, y + 1).
    """
    height, width = face_id.shape
    half = np.float32(0.5)
    touched = [(0, 0, 0) for _ in range(0)]
    for e in range(edges.shape[0]):
        left_front = _is_front(uvw, faces, edges[e, 2])
        if left_front == _is_front(uvw, faces, edges[e, 3]):
            continue
        # From a to b, the drawn side is on the left as seen from outside.
        a, b = (edges[e, 0], edges[e, 1]) if left_front else (edges[e, 1], edges[e, 0])
        ax, ay = uvw[a, 0] - np.float32(x0), uvw[a, 1] - np.float32(y0)
        ex, ey = uvw[b, 0] - uvw[a, 0], uvw[b, 1] - uvw[a, 1]
        steep = abs(ey) >= abs(ex)
        along, across = (ay, ax) if steep else (ax, ay)
        run, slope = (ey, ex) if steep else (ex, ey)
        if run == 0:
            continue
        slope /= run
        drawn_high = (ey > 0) if steep else (ex < 0)
        rows, columns = (height, width) if steep else (width, height)
        first = max(int(math.ceil(min(along, along + run) - half)), 0)
        last = min(int(math.ceil(max(along, along + run) - half)) - 1, rows - 1)
        for row in range(first, last + 1):
            step = np.float32(row) + half - along
            cross = across + step * slope
            low = int(math.floor(cross - half))
            if low < 0 or low + 1 >= columns:
                continue
            x, y = (low, row) if steep else (row, low)
            x_high, y_high = (low + 1, row) if steep else (row, low + 1)
            x_in, y_in, x_out, y_out = x, y, x_high, y_high
            reach = cross - (np.float32(low) + half)
            if drawn_high:
                x_in, y_in, x_out, y_out = x_high, y_high, x, y
                reach = np.float32(1) - reach
            if inv_depth[y_in, x_in] == 0:
                continue
            behind = inv_depth[y_out, x_out]
            if behind > 0:
                edge_w = uvw[a, 2] + (uvw[b, 2] - uvw[a, 2]) * step / run
                if edge_w <= behind * np.float32(_SAME_SURFACE):
                    continue
                if inv_depth[y_in, x_in] > edge_w * np.float32(_OCCLUDED):
                    continue
            axis = 0 if steep else 1
            known = pairs[y, x, axis]
            if known == 0:
                touched.append((y, x, axis))
            # The sign says which of the two is drawn; one is added so that zero means unknown.
            if known == 0 or reach + 1 > abs(known):
                pairs[y, x, axis] = -(reach + 1) if drawn_high else reach + 1
    for y, x, axis in touched:
        value = pairs[y, x, axis]
        pairs[y, x, axis] = 0
        part = abs(value) - np.float32(1.5)
        # The low pixel of the pair changes if the edge is on its side of the middle.
        low_changes = (value > 0) == (part < 0)
        yt = y if (low_changes or axis == 0) else y + 1
        xt = x if (low_changes or axis == 1) else x + 1
        if abs(part) > mix[yt, xt]:
            mix[yt, xt] = abs(part)
            mix_from[yt, xt] = (1 if low_changes else -1) * (axis + 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _color_planes(uvw, faces, colors, x0, y0):
    """Return, for each front face, its corner (x, y) and the plane of color/z on each channel."""
    planes = np.empty((faces.shape[0], 11), np.float32)
    for f in range(faces.shape[0]):
        if not _is_front(uvw, faces, f):
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


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _color_at(planes, face_id, inv_depth, y, x):
    """Colour (0 to 255) at the centre of a covered pixel."""
    f, half = face_id[y, x], np.float32(0.5)
    dx, dy = np.float32(x) + half - planes[f, 0], np.float32(y) + half - planes[f, 1]
    z = np.float32(255) / inv_depth[y, x]
    r = (planes[f, 2] + planes[f, 3] * dx + planes[f, 4] * dy) * z
    g = (planes[f, 5] + planes[f, 6] * dx + planes[f, 7] * dy) * z
    b = (planes[f, 8] + planes[f, 9] * dx + planes[f, 10] * dy) * z
    return r, g, b


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _mixed(planes, face_id, inv_depth, mix, mix_from, y, x):
    """Colour (0 to 255, times coverage) and coverage of a pixel that takes part of a neighbour."""
    side, t = mix_from[y, x], mix[y, x]
    y2, x2 = y + (side == 2) - (side == -2), x + (side == 1) - (side == -1)
    r, g, b, a = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for part, yy, xx in ((np.float32(1) - t, y, x), (t, y2, x2)):
        if inv_depth[yy, xx] > 0:
            red, green, blue = _color_at(planes, face_id, inv_depth, yy, xx)
            r, g, b, a = r + part * red, g + part * green, b + part * blue, a + part
    return r, g, b, a


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _as_byte(value):
    return np.uint8(min(max(np.int32(value + np.float32(0.5)), np.int32(0)), np.int32(255)))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _write(face_id, inv_depth, mix, mix_from, _pairs, planes, x0, y0, rgb, alpha, depth):
    height, width = face_id.shape
    for y in range(height):
        for x in range(width):
            if inv_depth[y, x] == 0 and mix[y, x] == 0:
                continue
            r, g, b, a = _mixed(planes, face_id, inv_depth, mix, mix_from, y, x)
            alpha[y + y0, x + x0] = a
            for k, value in enumerate((r, g, b)):
                rgb[y + y0, x + x0, k] = _as_byte(value / max(a, np.float32(1e-6)))
            if inv_depth[y, x] > 0:
                depth[y + y0, x + x0] = np.float32(1) / inv_depth[y, x]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _blend(face_id, inv_depth, mix, mix_from, _pairs, planes, x0, y0, opacity, rgb):
    height, width = face_id.shape
    one = np.float32(1)
    keep = one - opacity
    for y in range(height):
        row = rgb[y + y0]
        for x in range(width):
            if inv_depth[y, x] > 0 and mix[y, x] == 0:
                r, g, b = _color_at(planes, face_id, inv_depth, y, x)
                row[x + x0, 0] = _as_byte(keep * np.float32(row[x + x0, 0]) + opacity * r)
                row[x + x0, 1] = _as_byte(keep * np.float32(row[x + x0, 1]) + opacity * g)
                row[x + x0, 2] = _as_byte(keep * np.float32(row[x + x0, 2]) + opacity * b)
    # The outline comes second and apart: few pixels, and the loop above stays small and fast.
    for y in range(height):
        row = rgb[y + y0]
        for x in range(width):
            if mix[y, x] > 0:
                r, g, b, a = _mixed(planes, face_id, inv_depth, mix, mix_from, y, x)
                for k, value in enumerate((r, g, b)):
                    under = np.float32(row[x + x0, k])
                    row[x + x0, k] = _as_byte((one - opacity * a) * under + opacity * value)
