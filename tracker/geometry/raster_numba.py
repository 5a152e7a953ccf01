"""The rasteriser on the processor: compiled kernels, one image a thread, gradients in closed form.

What a picture is made of, and why, is told in `rasteriser`. Visible faces, their 1/z and the list of
silhouette crossings are kept for the way back. The kernels meet one set of types only (float32,
int32), see `skinning`.
"""

import math
from typing import Any, Final, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from tracker.geometry.image_threads import map_images
from tracker.geometry.raster_rules import BEHIND, FLAT_PX2, HIDDEN
from tracker.geometry.zbuffer import box_of, draw_faces, is_front

_HALF: Final = np.float32(0.5)
_ONE: Final = np.float32(1)
_BEHIND: Final = np.float32(BEHIND)
_HIDDEN: Final = np.float32(HIDDEN)
_STEEPEST: Final = np.float32(1 / FLAT_PX2)


def render(
    uvw: Float[Tensor, "b V 3"],
    colors: Float[Tensor, "b V 3"],
    faces: Int[np.ndarray, "F 3"],
    edges: Int[np.ndarray, "E 4"],
    hw: tuple[int, int],
    antialias: bool,
) -> tuple[Float[Tensor, "b h w 3"], Float[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Return colour, coverage and depth of projected meshes; float32 on the processor."""
    return _Render.apply(uvw, colors, faces, edges, hw, antialias)


class _Render(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        uvw: Tensor,
        colors: Tensor,
        faces: np.ndarray,
        edges: np.ndarray,
        hw: tuple[int, int],
        antialias: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        size = (len(uvw), *hw)
        rgb, mask, depth = torch.zeros(*size, 3), torch.zeros(size), torch.zeros(size)
        meshes = (_array(uvw), _array(colors))
        seen = (np.empty(size, np.int32), np.zeros(size, np.float32))
        layers = (*seen, rgb.numpy(), mask.numpy(), depth.numpy())
        boxes = [box_of(image, hw) for image in meshes[0]]

        def draw(i: int) -> tuple[np.ndarray, np.ndarray]:
            mesh = (meshes[0][i], meshes[1][i], faces)
            return _draw(mesh, edges, boxes[i], antialias, *(layer[i] for layer in layers))

        crossings = map_images(draw, len(uvw))
        ctx.save_for_backward(uvw, colors)
        ctx.kept = faces, edges, boxes, seen, crossings
        ctx.mark_non_differentiable(depth)
        ctx.set_materialize_grads(False)
        return rgb, mask, depth

    @staticmethod
    @once_differentiable  # untyped, so the parameters' names are lost on the type checker
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Any, ...]:
        rgb, mask, _ = grad_outputs
        meshes = [_array(values) for values in ctx.saved_tensors]
        faces, edges, boxes, seen, crossings = ctx.kept
        size = seen[0].shape
        up_rgb = np.zeros((*size, 3), np.float32) if rgb is None else _array(rgb)
        up_mask = np.zeros(size, np.float32) if mask is None else _array(mask)
        to_meshes = tuple(np.zeros_like(values) for values in meshes)

        def draw_adjoint(i: int) -> None:
            mesh = (meshes[0][i], meshes[1][i], faces)
            picture = (seen[0][i], seen[1][i], up_rgb[i], up_mask[i])
            to_mesh = (to_meshes[0][i], to_meshes[1][i])
            _draw_adjoint(mesh, edges, boxes[i], crossings[i], picture, to_mesh)

        map_images(draw_adjoint, len(boxes))
        return *(torch.from_numpy(values) for values in to_meshes), None, None, None, None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _draw(mesh, edges, box, antialias, face_id, inv_depth, rgb, mask, depth):
    """Draw one image; every layer but `face_id` is zero on entry. Returns its `_crossings`."""
    uvw, _, faces = mesh
    draw_faces(uvw, faces, 0, 0, face_id, inv_depth)
    x0, y0, x1, y1 = box
    for y in range(y0, y1):
        for x in range(x0, x1):
            if inv_depth[y, x] > 0:
                _colour_at(mesh, face_id[y, x], x, y, rgb[y, x])
                mask[y, x] = _ONE
                depth[y, x] = _ONE / inv_depth[y, x]
    if not antialias:
        return np.empty((0, 4), np.int32), np.empty((0, 3), np.float32)
    places, blends = _crossings(uvw, faces, edges, box, face_id, inv_depth)
    _blend(places, blends, rgb.reshape(-1, 3), mask.ravel())
    return places, blends


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _colour_at(mesh, f, x, y, out):
    """Write the perspective-correct colour that a pixel centre sees on face `f`."""
    uvw, colors, faces = mesh
    a, b, c, la, lb, lc, _, _, _, _ = _weights(uvw, faces, f, x, y)
    wa, wb, wc = la * uvw[a, 2], lb * uvw[b, 2], lc * uvw[c, 2]
    z = _ONE / (wa + wb + wc)
    for k in range(3):
        out[k] = (wa * colors[a, k] + wb * colors[b, k] + wc * colors[c, k]) * z


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _weights(uvw, faces, f, x, y):
    """Return the corners of a face, their weights at a pixel centre, and how two of these grow."""
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    ax, ay = uvw[a, 0], uvw[a, 1]
    bx, by, cx, cy = uvw[b, 0] - ax, uvw[b, 1] - ay, uvw[c, 0] - ax, uvw[c, 1] - ay
    inv = _ONE / (bx * cy - by * cx)
    b_dx, b_dy, c_dx, c_dy = cy * inv, -cx * inv, -by * inv, bx * inv
    dx, dy = np.float32(x) + _HALF - ax, np.float32(y) + _HALF - ay
    lb, lc = b_dx * dx + b_dy * dy, c_dx * dx + c_dy * dy
    return a, b, c, _ONE - lb - lc, lb, lc, b_dx, b_dy, c_dx, c_dy


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _crossings(uvw, faces, edges, box, face_id, inv_depth):
    """Find where silhouette edges pass between a covered pixel and the one beyond the edge.

    Where several pass between the same two pixels, the outermost counts.

    Returns:
        `places` (n, 4) int32: inner pixel, outer pixel (y * w + x), edge, axis across the edge.
        `blends` (n, 3) float32: share t that changes sides, sign of dt along the axis, place u of
        the crossing along the edge.
    """
    height, width = face_id.shape
    sides = _silhouette(uvw, faces, edges)
    capacity = 0
    for e in range(edges.shape[0]):
        if sides[e] != 0:
            _, start, stop = _span(uvw, edges, e, height, width)
            capacity += max(stop - start, 0)
    places, blends = np.empty((capacity, 4), np.int32), np.empty((capacity, 3), np.float32)
    corner = box[1] * width
    winner = np.full((box[3] * width - corner) * 2, -1, np.int32)
    seen = (face_id.ravel(), inv_depth.ravel())
    n = 0
    for e in range(edges.shape[0]):
        if sides[e] == 0:
            continue
        axis, start, stop = _span(uvw, edges, e, height, width)
        for row in range(start, stop):
            inner, outer, t, sign, u = _crossing(uvw, edges, e, sides[e], axis, row, seen, width)
            if inner < 0:
                continue
            key = (min(inner, outer) - corner) * 2 + axis
            j = winner[key]
            if j < 0:
                winner[key] = j = n
                n += 1
            elif blends[j, 0] >= t:
                continue
            places[j, 0], places[j, 1], places[j, 2], places[j, 3] = inner, outer, e, axis
            blends[j, 0], blends[j, 1], blends[j, 2] = t, sign, u
    return places[:n], blends[:n]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _crossing(uvw, edges, e, side, axis, row, seen, width):
    """Return inner and outer pixel, t, its sign and u where an edge meets a row (column) of centres.

    The inner pixel is -1 if the edge outlines nothing there.
    """
    face_id, inv_depth = seen
    none = (-1, -1, _ONE, _ONE, _ONE)
    a, b, along, across = edges[e, 0], edges[e, 1], 1 - axis, axis
    run = uvw[b, along] - uvw[a, along]
    u = (np.float32(row) + _HALF - uvw[a, along]) / run
    place = uvw[a, across] + u * (uvw[b, across] - uvw[a, across])
    near = math.floor(place - _HALF)
    size = width if axis == 0 else len(inv_depth) // width
    if near < 0 or near + 1 >= size:
        return none
    low, high = (
        (row * width + near, row * width + near + 1)
        if axis == 0
        else (near * width + row, (near + 1) * width + row)
    )
    past = place - np.float32(near) - _ONE  # from the border of the two pixels to the crossing
    inner_is_high = side * run * (1 if axis == 1 else -1) > 0
    inner, outer = (high, low) if inner_is_high else (low, high)
    sign = -_ONE if inner_is_high else _ONE
    if inv_depth[inner] <= 0:
        return none
    if inv_depth[outer] > 0:
        w = uvw[a, 2] + u * (uvw[b, 2] - uvw[a, 2])
        hidden = w <= inv_depth[outer] * _BEHIND or inv_depth[inner] > w * _HIDDEN
        if hidden or face_id[inner] == face_id[outer]:
            return none
    return inner, outer, sign * past, sign, u


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _silhouette(uvw, faces, edges):
    """Return 0 for an edge between faces of one kind, else the sign of its inner side."""
    front = np.empty(faces.shape[0], np.bool_)
    for f in range(faces.shape[0]):
        front[f] = is_front(uvw, faces, f)
    sides = np.zeros(edges.shape[0], np.int8)
    for e in range(edges.shape[0]):
        left, right = edges[e, 2], edges[e, 3]
        left_front, right_front = front[left], right >= 0 and front[right]
        if left_front != right_front:
            sides[e] = -1 if left_front else 1
    return sides


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _span(uvw, edges, e, height, width):
    """Return whether an edge crosses rows (0) or columns (1) of pixel centres, and which."""
    a, b = edges[e, 0], edges[e, 1]
    steep = abs(uvw[b, 1] - uvw[a, 1]) >= abs(uvw[b, 0] - uvw[a, 0])
    along, size = (1, height) if steep else (0, width)
    low, high = min(uvw[a, along], uvw[b, along]), max(uvw[a, along], uvw[b, along])
    start = max(math.ceil(low - _HALF), 0)
    return (0 if steep else 1), start, min(math.ceil(high - _HALF), size)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _blend(places, blends, rgb, mask):
    """Give each crossing's share of its pixel pair to the side it belongs to."""
    steps = np.empty((len(places), 4), np.float32)
    for j in range(len(places)):
        t, inner, outer = blends[j, 0], places[j, 0], places[j, 1]
        for k in range(3):
            steps[j, k] = t * (rgb[inner, k] - rgb[outer, k])
        steps[j, 3] = t * (mask[inner] - mask[outer])
    for j in range(len(places)):
        pixel = places[j, 1] if blends[j, 0] > 0 else places[j, 0]
        for k in range(3):
            rgb[pixel, k] += steps[j, k]
        mask[pixel] += steps[j, 3]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _draw_adjoint(mesh, edges, box, crossings, picture, to_mesh):
    """Turn the gradients of one image into gradients of its mesh, which are zero on entry."""
    face_id, inv_depth, up_rgb, up_mask = picture
    up = up_rgb.reshape(-1, 3)
    x0, y0, x1, y1 = box
    for y in range(y0, y1):
        x = x0
        while x < x1:
            start = x
            x += 1
            if inv_depth[y, start] > 0:
                f = face_id[y, start]
                while x < x1 and inv_depth[y, x] > 0 and face_id[y, x] == f:
                    x += 1
                pixel = y * face_id.shape[1] + start
                _colour_adjoint(mesh, to_mesh, f, y, start, x, up, pixel, _ONE)
    seen = (face_id, inv_depth)
    _blend_adjoint(crossings, mesh, to_mesh, edges, seen, up, up_mask.ravel())


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _colour_adjoint(mesh, to_mesh, f, y, first, stop, up, pixel, gain):
    """Pass gradients of a row's colours to the corners of the one face seen there.

    The gradients of columns `first` .. `stop` are `gain * up[pixel:]`. With weights l and inverse
    depths w of the corners, the colour is sum(l w c) / sum(l w). A corner that moves by d changes
    every weight as if the pixel centre moved by -l d. What is the same all along the row is
    multiplied at the end.
    """
    uvw, colors, faces = mesh
    a, b, c, la, lb, lc, b_dx, b_dy, c_dx, c_dy = _weights(uvw, faces, f, first, y)
    wa, wb, wc = uvw[a, 2], uvw[b, 2], uvw[c, 2]
    # Differences first: corners are much alike, and rounding would eat what they differ by.
    b_step = (colors[b, 0] - colors[a, 0], colors[b, 1] - colors[a, 1], colors[b, 2] - colors[a, 2])
    c_step = (colors[c, 0] - colors[a, 0], colors[c, 1] - colors[a, 1], colors[c, 2] - colors[a, 2])
    zero = np.float32(0)
    to_a, to_b, to_c = (zero, zero, zero), (zero, zero, zero), (zero, zero, zero)
    depth_a, depth_b, depth_c = zero, zero, zero
    ab, ac, bb, bc, cb, cc = zero, zero, zero, zero, zero, zero
    for j in range(pixel, pixel + stop - first):
        z = _ONE / (la * wa + lb * wb + lc * wc)
        gain_z = gain * z
        r, g, blue = gain_z * up[j, 0], gain_z * up[j, 1], gain_z * up[j, 2]
        gb = r * b_step[0] + g * b_step[1] + blue * b_step[2]
        gc = r * c_step[0] + g * c_step[1] + blue * c_step[2]
        ga = -(lb * wb * gb + lc * wc * gc) * z
        gb, gc = gb + ga, gc + ga
        to_a = (to_a[0] + la * r, to_a[1] + la * g, to_a[2] + la * blue)
        to_b = (to_b[0] + lb * r, to_b[1] + lb * g, to_b[2] + lb * blue)
        to_c = (to_c[0] + lc * r, to_c[1] + lc * g, to_c[2] + lc * blue)
        depth_a, depth_b, depth_c = depth_a + la * ga, depth_b + lb * gb, depth_c + lc * gc
        by_b, by_c = gb * wb - ga * wa, gc * wc - ga * wa
        ab, bb, cb = ab + la * by_b, bb + lb * by_b, cb + lc * by_b
        ac, bc, cc = ac + la * by_c, bc + lb * by_c, cc + lc * by_c
        lb, lc = lb + b_dx, lc + c_dx
        la = _ONE - lb - lc
    if abs(b_dx * c_dy - b_dy * c_dx) > _STEEPEST:
        b_dx, b_dy, c_dx, c_dy = zero, zero, zero, zero
    _add(to_mesh, a, ab * b_dx + ac * c_dx, ab * b_dy + ac * c_dy, depth_a, wa, to_a)
    _add(to_mesh, b, bb * b_dx + bc * c_dx, bb * b_dy + bc * c_dy, depth_b, wb, to_b)
    _add(to_mesh, c, cb * b_dx + cc * c_dx, cb * b_dy + cc * c_dy, depth_c, wc, to_c)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _add(to_mesh, corner, dx, dy, depth, w, to_color):
    to_uvw, to_colors = to_mesh
    to_uvw[corner, 0] -= dx
    to_uvw[corner, 1] -= dy
    to_uvw[corner, 2] += depth
    to_colors[corner, 0] += w * to_color[0]
    to_colors[corner, 1] += w * to_color[1]
    to_colors[corner, 2] += w * to_color[2]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _blend_adjoint(crossings, mesh, to_mesh, edges, seen, up_rgb, up_mask):
    """Pass the gradients of blended pixels to both sides' colours and to the edges between them."""
    (places, blends), (face_id, inv_depth) = crossings, seen
    width = face_id.shape[1]
    colour_in, colour_out = np.empty(3, np.float32), np.empty(3, np.float32)
    for j in range(len(places)):
        t, sign, u = blends[j, 0], blends[j, 1], blends[j, 2]
        inner, outer = places[j, 0], places[j, 1]
        y_in, x_in, y_out, x_out = inner // width, inner % width, outer // width, outer % width
        pixel = outer if t > 0 else inner
        covered = inv_depth[y_out, x_out] > 0
        to_t = np.float32(0) if covered else up_mask[pixel]
        f = face_id[y_in, x_in]
        _colour_at(mesh, f, x_in, y_in, colour_in)
        _colour_adjoint(mesh, to_mesh, f, y_in, x_in, x_in + 1, up_rgb, pixel, t)
        colour_out[:] = 0
        if covered:
            f = face_id[y_out, x_out]
            _colour_at(mesh, f, x_out, y_out, colour_out)
            _colour_adjoint(mesh, to_mesh, f, y_out, x_out, x_out + 1, up_rgb, pixel, -t)
        for k in range(3):
            to_t += up_rgb[pixel, k] * (colour_in[k] - colour_out[k])
        _edge_adjoint(mesh[0], to_mesh[0], edges, places[j, 2], places[j, 3], u, sign * to_t)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _edge_adjoint(uvw, to_uvw, edges, e, axis, u, up):
    """Pass `up`, the gradient of where an edge crosses a row or column, to the edge's ends."""
    a, b, along, across = edges[e, 0], edges[e, 1], 1 - axis, axis
    slope = (uvw[b, across] - uvw[a, across]) / (uvw[b, along] - uvw[a, along])
    to_uvw[a, across] += (_ONE - u) * up
    to_uvw[b, across] += u * up
    to_uvw[a, along] -= (_ONE - u) * slope * up
    to_uvw[b, along] -= u * slope * up
