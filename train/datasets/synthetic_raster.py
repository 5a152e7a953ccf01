"""Draw a lit scene into a layer with coverage: visibility at four points of each pixel.

Colour is computed once a pixel where all four see the same triangle, so outlines are soft at little
more than the price of hard ones.
"""

from typing import Final, no_type_check

import numpy as np
from numba import njit

from tracker.geometry.zbuffer import draw_small_faces, is_front

_SIDE: Final = 2
"""Sample points along each side of a pixel."""


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def project_fine(xyz, K, uvw):
    """Write (u, v, 1/z) on the finer grid of sample points into `uvw`; 1/z is 0 near the camera."""
    for i in range(xyz.shape[0]):
        uvw[i, 0] = uvw[i, 1] = uvw[i, 2] = 0
        if xyz[i, 2] > np.float32(0.02):
            w = np.float32(1) / xyz[i, 2]
            x, y = xyz[i, 0] * w, xyz[i, 1] * w
            uvw[i, 0] = np.float32(_SIDE) * (K[0, 0] * x + K[0, 1] * y + K[0, 2])
            uvw[i, 1] = np.float32(_SIDE) * (K[1, 1] * y + K[1, 2])
            uvw[i, 2] = w


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _planes(uvw, faces, colors, planes):
    """Write each front face's corner and the slopes of its colour: 2 + 3 * 3 numbers.

    Triangles are a few pixels wide, so colour is taken as linear in the picture.
    """
    for f in range(faces.shape[0]):
        if not is_front(uvw, faces, f):
            continue
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        bx, by = uvw[b, 0] - uvw[a, 0], uvw[b, 1] - uvw[a, 1]
        cx, cy = uvw[c, 0] - uvw[a, 0], uvw[c, 1] - uvw[a, 1]
        inv = np.float32(1) / (bx * cy - by * cx)
        planes[f, 0], planes[f, 1] = uvw[a, 0], uvw[a, 1]
        for k in range(3):
            to_b, to_c = colors[b, k] - colors[a, k], colors[c, k] - colors[a, k]
            planes[f, 2 + 3 * k] = colors[a, k]
            planes[f, 3 + 3 * k] = (to_b * cy - to_c * by) * inv
            planes[f, 4 + 3 * k] = (to_c * bx - to_b * cx) * inv


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _add(planes, f, x, y, weight, color):
    dx, dy = x - planes[f, 0], y - planes[f, 1]
    zero, top = np.float32(0), np.float32(255)
    r, g, b = color
    red = planes[f, 2] + planes[f, 3] * dx + planes[f, 4] * dy
    green = planes[f, 5] + planes[f, 6] * dx + planes[f, 7] * dy
    blue = planes[f, 8] + planes[f, 9] * dx + planes[f, 10] * dy
    r += weight * min(max(red, zero), top)
    g += weight * min(max(green, zero), top)
    b += weight * min(max(blue, zero), top)
    return r, g, b


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _box(uvw, height, width):
    """Return the pixels x0, y0, x1, y1 that a scene can touch."""
    x0, y0, x1, y1 = np.float32(1e6), np.float32(1e6), np.float32(-1e6), np.float32(-1e6)
    for i in range(uvw.shape[0]):
        if uvw[i, 2] > 0:
            x0, x1 = min(x0, uvw[i, 0]), max(x1, uvw[i, 0])
            y0, y1 = min(y0, uvw[i, 1]), max(y1, uvw[i, 1])
    left, top = int(max(x0 / _SIDE - 1, 0)), int(max(y0 / _SIDE - 1, 0))
    right, bottom = int(min(x1 / _SIDE + 2, width)), int(min(y1 / _SIDE + 2, height))
    return min(left, width), min(top, height), max(right, left), max(bottom, top)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def draw_layer(uvw, faces, colors, hand_faces, skin_faces, grain, fine, layer, mask):
    """Draw a scene.

    Args:
        uvw: projected vertices, from `project_fine`.
        faces: triangles; the hand's come first, then the rest of its arm's.
        colors: of each vertex, 0 to 255.
        hand_faces: how many belong to the hand itself.
        skin_faces: how many belong to the arm; they carry the grain.
        grain: (h, w) factor on the skin's colour.
        fine: scratch memory: face and 1/z of each sample point, and the colour planes.
        layer: (2, h, w, 3) uint8: colour times coverage, and coverage, the same in each channel.
        mask: (h, w) True where half of the pixel or more shows the hand.
    """
    face_id, inv_depth, planes = fine
    inv_depth[:] = 0
    layer[:] = 0
    mask[:] = False
    x0, y0, x1, y1 = _box(uvw, mask.shape[0], mask.shape[1])
    face_id[2 * y0 : 2 * y1, 2 * x0 : 2 * x1] = -1
    draw_small_faces(uvw, faces, face_id, inv_depth)
    _planes(uvw, faces, colors, planes)
    half, top, none = np.float32(0.5), np.float32(255), np.float32(0)
    for y in range(y0, y1):
        upper, lower = face_id[2 * y], face_id[2 * y + 1]
        for x in range(x0, x1):
            f0, f1, f2, f3 = upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]
            if f0 == f1 == f2 == f3:
                if f0 < 0:
                    continue
                at_x, at_y = np.float32(2 * x + 1), np.float32(2 * y + 1)
                color = _add(planes, f0, at_x, at_y, np.float32(1), (none, none, none))
                covered, skin, hand = 4, 4 * (f0 < skin_faces), 4 * (f0 < hand_faces)
            else:
                color, covered, skin, hand = (none, none, none), 0, 0, 0
                for k, f in enumerate((f0, f1, f2, f3)):
                    if f >= 0:
                        at_x = np.float32(2 * x + (k & 1)) + half
                        at_y = np.float32(2 * y + (k >> 1)) + half
                        color = _add(planes, f, at_x, at_y, np.float32(0.25), color)
                        covered += 1
                        skin += f < skin_faces
                        hand += f < hand_faces
            factor = grain[y, x] if skin >= 2 else np.float32(1)
            layer[0, y, x, 0] = np.uint8(np.int32(min(color[0] * factor + half, top)))
            layer[0, y, x, 1] = np.uint8(np.int32(min(color[1] * factor + half, top)))
            layer[0, y, x, 2] = np.uint8(np.int32(min(color[2] * factor + half, top)))
            alpha = np.uint8(min(64 * covered, 255))
            layer[1, y, x, 0] = layer[1, y, x, 1] = layer[1, y, x, 2] = alpha
            mask[y, x] = hand >= 2
