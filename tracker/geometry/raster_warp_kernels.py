"""Warp kernels of the rasteriser: what is drawn at a pixel, and what a pixel's gradient is worth.

`nearest` holds the face seen at a pixel as (1/z, face), `pairs[y, x, axis]` the edge that passes
between a pixel and its right (0) or lower (1) neighbour as (t + 1/2, edge): the bits of a positive
float in the upper half of an int64, the index in the lower; -1 for none.
"""

from typing import no_type_check

import warp as wp  # pyright: ignore[reportMissingImports]

from tracker.geometry.raster_rules import BEHIND, FLAT_PX2, HIDDEN, INSIDE_SLACK, THINNEST_PX2

wp.set_module_options({"enable_backward": False})

_BEHIND = wp.constant(wp.float32(BEHIND))
_HIDDEN = wp.constant(wp.float32(HIDDEN))
_SLACK = wp.constant(wp.float32(INSIDE_SLACK))
_THINNEST = wp.constant(wp.float32(THINNEST_PX2))
_FLAT = wp.constant(wp.float32(FLAT_PX2))
_INDEX = wp.constant(wp.int64(0xFFFFFFFF))


@no_type_check
@wp.func
def key_of(value: float, index: int):
    """Join a positive float and an index so that keys are ordered by the float."""
    return (wp.int64(wp.cast(value, wp.int32)) << wp.int64(32)) | wp.int64(index)


@no_type_check
@wp.func
def value_in(key: wp.int64):
    """Return the float of a key, 0 where there is none."""
    if key < wp.int64(0):
        return 0.0
    return wp.cast(wp.int32(key >> wp.int64(32)), wp.float32)


@no_type_check
@wp.func
def index_in(key: wp.int64):
    """Return the index of a key."""
    return wp.int32(key & _INDEX)


@no_type_check
@wp.func
def doubled_area(a: wp.vec3, b: wp.vec3, c: wp.vec3):
    """Return twice the signed area of a triangle in the image; negative for front faces."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


@no_type_check
@wp.func
def weights(a: wp.vec3, b: wp.vec3, c: wp.vec3, x: int, y: int):
    """Return the weights of the corners at a pixel centre."""
    inv = 1.0 / doubled_area(a, b, c)
    dx, dy = float(x) + 0.5 - a[0], float(y) + 0.5 - a[1]
    lb = (dx * (c[1] - a[1]) - dy * (c[0] - a[0])) * inv
    lc = (dy * (b[0] - a[0]) - dx * (b[1] - a[1])) * inv
    return wp.vec3(1.0 - lb - lc, lb, lc)


@no_type_check
@wp.kernel
def see(
    uvw: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    nearest: wp.array3d(dtype=wp.int64),
):
    """Offer one face of one image to every pixel centre it covers."""
    i, f = wp.tid()
    a, b, c = uvw[i, faces[f, 0]], uvw[i, faces[f, 1]], uvw[i, faces[f, 2]]
    if doubled_area(a, b, c) >= -_THINNEST:
        return
    low, high = wp.min(wp.min(a, b), c), wp.max(wp.max(a, b), c)
    # Clamped as floats, because far vertices are outside of the range of int.
    x0 = int(wp.ceil(wp.clamp(low[0] - 0.5, 0.0, float(nearest.shape[2]))))
    y0 = int(wp.ceil(wp.clamp(low[1] - 0.5, 0.0, float(nearest.shape[1]))))
    x1 = int(wp.floor(wp.clamp(high[0] + 0.5, 0.0, float(nearest.shape[2]))))
    y1 = int(wp.floor(wp.clamp(high[1] + 0.5, 0.0, float(nearest.shape[1]))))
    for y in range(y0, y1):
        for x in range(x0, x1):
            part = weights(a, b, c, x, y)
            if wp.min(part) >= -_SLACK:
                w = wp.dot(part, wp.vec3(a[2], b[2], c[2]))
                wp.atomic_max(nearest, i, y, x, key_of(w, f))


@no_type_check
@wp.func
def colour_at(
    uvw: wp.array2d(dtype=wp.vec3),
    colors: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    key: wp.int64,
    i: int,
    y: int,
    x: int,
):
    """Return the perspective-correct colour that a pixel centre sees, 0 where that is nothing."""
    if key < wp.int64(0):
        return wp.vec3(0.0, 0.0, 0.0)
    f = index_in(key)
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    part = weights(uvw[i, a], uvw[i, b], uvw[i, c], x, y)
    part = wp.cw_mul(part, wp.vec3(uvw[i, a][2], uvw[i, b][2], uvw[i, c][2]))
    mixed = part[0] * colors[i, a] + part[1] * colors[i, b] + part[2] * colors[i, c]
    return mixed / (part[0] + part[1] + part[2])


@no_type_check
@wp.kernel
def colour(
    uvw: wp.array2d(dtype=wp.vec3),
    colors: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    nearest: wp.array3d(dtype=wp.int64),
    rgb: wp.array3d(dtype=wp.vec3),
    mask: wp.array3d(dtype=float),
    depth: wp.array3d(dtype=float),
):
    """Write colour, coverage and depth of one pixel."""
    i, y, x = wp.tid()
    key = nearest[i, y, x]
    rgb[i, y, x] = colour_at(uvw, colors, faces, key, i, y, x)
    mask[i, y, x] = 0.0
    depth[i, y, x] = 0.0
    if key >= wp.int64(0):
        mask[i, y, x] = 1.0
        depth[i, y, x] = 1.0 / value_in(key)


@no_type_check
@wp.func
def is_front(uvw: wp.array2d(dtype=wp.vec3), faces: wp.array2d(dtype=wp.int32), i: int, f: int):
    """Tell whether a face (-1 for none) is turned to the camera."""
    if f < 0:
        return False
    a, b, c = uvw[i, faces[f, 0]], uvw[i, faces[f, 1]], uvw[i, faces[f, 2]]
    return doubled_area(a, b, c) < -_THINNEST


@no_type_check
@wp.func
def along_first(p: wp.vec3, axis: int):
    """Return a point with the axis along an edge first and the axis across it second."""
    if axis == 0:
        return wp.vec3(p[1], p[0], p[2])
    return p


@no_type_check
@wp.func
def inner_is_high(a: wp.vec3, b: wp.vec3, left: bool, axis: int):
    """Tell whether the surface lies towards larger coordinates; `left`: the face of a -> b is front."""
    return ((b[0] > a[0]) == left) == (axis == 0)


@no_type_check
@wp.kernel
def cross(
    uvw: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    edges: wp.array2d(dtype=wp.int32),
    nearest: wp.array3d(dtype=wp.int64),
    pairs: wp.array4d(dtype=wp.int64),
):
    """Follow one edge of one image, if it is on an outline, and offer it to the pixel pairs."""
    i, e = wp.tid()
    left = is_front(uvw, faces, i, edges[e, 2])
    if left == is_front(uvw, faces, i, edges[e, 3]):
        return
    run = uvw[i, edges[e, 1]] - uvw[i, edges[e, 0]]
    axis = wp.where(wp.abs(run[1]) >= wp.abs(run[0]), 0, 1)
    a = along_first(uvw[i, edges[e, 0]], axis)
    b = along_first(uvw[i, edges[e, 1]], axis)
    rows = wp.where(axis == 0, nearest.shape[1], nearest.shape[2])
    size = wp.where(axis == 0, nearest.shape[2], nearest.shape[1])
    start = int(wp.ceil(wp.clamp(wp.min(a[0], b[0]) - 0.5, 0.0, float(rows))))
    stop = int(wp.ceil(wp.clamp(wp.max(a[0], b[0]) - 0.5, 0.0, float(rows))))
    for row in range(start, stop):
        u = (float(row) + 0.5 - a[0]) / (b[0] - a[0])
        place = a[1] + u * (b[1] - a[1])
        if place < 0.5 or place >= float(size) - 0.5:
            continue
        near = int(wp.floor(place - 0.5))
        y, x = wp.where(axis == 0, row, near), wp.where(axis == 0, near, row)
        low, high = nearest[i, y, x], nearest[i, y + axis, x + 1 - axis]
        to_high = inner_is_high(a, b, left, axis)
        inner, outer = wp.where(to_high, high, low), wp.where(to_high, low, high)
        distance = place - 0.5 - float(near)
        distance = wp.where(to_high, 1.0 - distance, distance)
        if inner < wp.int64(0):
            continue
        if outer >= wp.int64(0):
            w = a[2] + u * (b[2] - a[2])
            if w <= value_in(outer) * _BEHIND or value_in(inner) > w * _HIDDEN:
                continue
            if index_in(inner) == index_in(outer):
                continue
        wp.atomic_max(pairs, i, y, x, axis, key_of(wp.max(distance, 0.0), e))


@no_type_check
@wp.func
def share_of(
    uvw: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    edges: wp.array2d(dtype=wp.int32),
    e: int,
    pixel: wp.vec4i,
):
    """Return how an edge passes a pair (image, y, x, axis): t, sign of dt, u, slope."""
    i, y, x, axis = pixel[0], pixel[1], pixel[2], pixel[3]
    a = along_first(uvw[i, edges[e, 0]], axis)
    b = along_first(uvw[i, edges[e, 1]], axis)
    u = (float(wp.where(axis == 0, y, x)) + 0.5 - a[0]) / (b[0] - a[0])
    past = a[1] + u * (b[1] - a[1]) - float(wp.where(axis == 0, x, y)) - 1.0
    left = is_front(uvw, faces, i, edges[e, 2])
    sign = wp.where(inner_is_high(a, b, left, axis), -1.0, 1.0)
    return sign * past, sign, u, (b[1] - a[1]) / (b[0] - a[0])


@no_type_check
@wp.kernel
def blend(
    uvw: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    edges: wp.array2d(dtype=wp.int32),
    nearest: wp.array3d(dtype=wp.int64),
    pairs: wp.array4d(dtype=wp.int64),
    hard: wp.array3d(dtype=wp.vec3),
    rgb: wp.array3d(dtype=wp.vec3),
    mask: wp.array3d(dtype=float),
):
    """Give the share of one pixel pair to the side it belongs to; `hard` is `rgb` on entry."""
    i, y, x, axis = wp.tid()
    key = pairs[i, y, x, axis]
    if key < wp.int64(0):
        return
    t, sign, _, _ = share_of(uvw, faces, edges, index_in(key), wp.vec4i(i, y, x, axis))
    # The step is the same seen from either side: t (inner - outer) = (t sign) (low - high).
    y_high, x_high = y + axis, x + 1 - axis
    step = t * sign * (hard[i, y, x] - hard[i, y_high, x_high])
    to_high = (t > 0.0) == (sign > 0.0)
    y_to, x_to = wp.where(to_high, y_high, y), wp.where(to_high, x_high, x)
    wp.atomic_add(rgb, i, y_to, x_to, step)
    if wp.min(nearest[i, y, x], nearest[i, y_high, x_high]) < wp.int64(0):
        wp.atomic_add(mask, i, y_to, x_to, t)


@no_type_check
@wp.kernel
def blend_adjoint(
    uvw: wp.array2d(dtype=wp.vec3),
    colors: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    edges: wp.array2d(dtype=wp.int32),
    nearest: wp.array3d(dtype=wp.int64),
    pairs: wp.array4d(dtype=wp.int64),
    up_rgb: wp.array3d(dtype=wp.vec3),
    up_mask: wp.array3d(dtype=float),
    up_hard: wp.array3d(dtype=wp.vec3),
    to_uvw: wp.array2d(dtype=wp.vec3),
):
    """Pass a blended pixel's gradient to both sides (`up_hard`) and to the edge between them."""
    i, y, x, axis = wp.tid()
    key = pairs[i, y, x, axis]
    if key < wp.int64(0):
        return
    e = index_in(key)
    t, sign, u, slope = share_of(uvw, faces, edges, e, wp.vec4i(i, y, x, axis))
    y_high, x_high = y + axis, x + 1 - axis
    to_high = (t > 0.0) == (sign > 0.0)
    y_to, x_to = wp.where(to_high, y_high, y), wp.where(to_high, x_high, x)
    up = up_rgb[i, y_to, x_to]
    wp.atomic_add(up_hard, i, y, x, t * sign * up)
    wp.atomic_add(up_hard, i, y_high, x_high, -t * sign * up)
    low, high = nearest[i, y, x], nearest[i, y_high, x_high]
    step = colour_at(uvw, colors, faces, low, i, y, x)
    step -= colour_at(uvw, colors, faces, high, i, y_high, x_high)
    to_place = wp.dot(up, step)
    if wp.min(low, high) < wp.int64(0):
        to_place += sign * up_mask[i, y_to, x_to]
    to_end = to_place * wp.vec3(-slope, 1.0, 0.0)
    wp.atomic_add(to_uvw, i, edges[e, 0], (1.0 - u) * along_first(to_end, axis))
    wp.atomic_add(to_uvw, i, edges[e, 1], u * along_first(to_end, axis))


@no_type_check
@wp.kernel
def colour_adjoint(
    uvw: wp.array2d(dtype=wp.vec3),
    colors: wp.array2d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    nearest: wp.array3d(dtype=wp.int64),
    up_hard: wp.array3d(dtype=wp.vec3),
    to_uvw: wp.array2d(dtype=wp.vec3),
    to_colors: wp.array2d(dtype=wp.vec3),
):
    """Pass the gradient of one pixel's colour to the corners of the face seen there.

    With weights l and inverse depths w of the corners, the colour is sum(l w c) / sum(l w). A
    corner that moves by d changes every weight as if the pixel centre moved by -l d.
    """
    i, y, x = wp.tid()
    key = nearest[i, y, x]
    if key < wp.int64(0):
        return
    f = index_in(key)
    ids = wp.vec3i(faces[f, 0], faces[f, 1], faces[f, 2])
    a, b, c = uvw[i, ids[0]], uvw[i, ids[1]], uvw[i, ids[2]]
    part, w = weights(a, b, c, x, y), wp.vec3(a[2], b[2], c[2])
    total = wp.dot(part, w)
    up = up_hard[i, y, x] / total
    # Differences first: corners are much alike, and rounding would eat what they differ by.
    by_b = wp.dot(up, colors[i, ids[1]] - colors[i, ids[0]])
    by_c = wp.dot(up, colors[i, ids[2]] - colors[i, ids[0]])
    by_a = -(part[1] * w[1] * by_b + part[2] * w[2] * by_c) / total
    gain = wp.vec3(by_a, by_b + by_a, by_c + by_a)
    area, move = doubled_area(a, b, c), wp.vec3(0.0, 0.0, 0.0)
    if wp.abs(area) >= _FLAT:
        to_b, to_c = gain[1] * w[1] - gain[0] * w[0], gain[2] * w[2] - gain[0] * w[0]
        move = wp.vec3(
            to_c * (b[1] - a[1]) - to_b * (c[1] - a[1]),
            to_b * (c[0] - a[0]) - to_c * (b[0] - a[0]),
            0.0,
        )
        move = move / area
    for k in range(3):
        to_corner = part[k] * (move + wp.vec3(0.0, 0.0, gain[k]))
        wp.atomic_add(to_uvw, i, ids[k], to_corner)
        wp.atomic_add(to_colors, i, ids[k], part[k] * w[k] * up)
