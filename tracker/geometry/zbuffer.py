"""Which triangle is seen at which pixel: visibility by a z-buffer, without gradients.

The kernels work on projected vertices `uvw` = (u, v, 1/z) because 1/z is linear in the image, so
one plane for each triangle gives perspective-correct depth. Faces turned away from the camera are
culled and faces that reach the near plane are left out: close a surface first
(`topology.closed_faces`) if it must not be seen through.
"""

import math
from typing import Final, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from tracker.geometry.camera import Camera

NEAR_M: Final = 0.01
"""Points nearer than this to the camera are not drawn."""

_INSIDE_SLACK: Final = 1e-5  # closes the cracks that rounding leaves between neighbouring triangles
_THINNEST_PX2: Final = 1e-9  # twice the area below which a triangle is a line
_FRONT_COSINE: Final = 0.15  # a surface seen at more than 81 degrees says little about its colour
_DEPTH_SLACK_M: Final = 0.004  # a third of a child's fingertip: front and back are never mixed up

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels; the end is not part of it."""


def rasterise(
    xyz: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    K: Float[np.ndarray, "3 3"],
    hw: tuple[int, int],
) -> tuple[Int[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Return the index of the face seen at each pixel centre, and 1/z there.

    Args:
        xyz: vertices in the camera frame, metres.
        faces: triangles, counter-clockwise seen from outside.
        K: intrinsic matrix in pixels, (0, 0) at the corner of the image.
        hw: image height and width.

    Returns:
        `face_id` int32, -1 where nothing is seen, and `inv_depth` float32 in 1/m, 0 there.
    """
    face_id = np.full(hw, -1, np.int32)
    inv_depth = np.zeros(hw, np.float32)
    uvw = project(xyz, K)
    draw_faces(uvw, np.ascontiguousarray(faces, np.int32), 0, 0, face_id, inv_depth)
    return face_id, inv_depth


def visible_vertices(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], camera: Camera
) -> Bool[np.ndarray, " V"]:
    """Tell which vertices the camera sees well enough to take their colour from the image.

    Such a vertex lies inside the image, its normal is at most 81 degrees off the ray to the camera,
    and nothing is more than 4 mm in front of it at the pixel that holds it. A vertex on the outline
    whose pixel centre already belongs to the background does not count.
    """
    uvw = project(vertices, camera.K)
    box = box_of(uvw, camera.hw)
    x0, y0, x1, y1 = box
    inv_depth = np.zeros((y1 - y0, x1 - x0), np.float32)
    face_id = np.empty(inv_depth.shape, np.int32)
    draw_faces(uvw, np.ascontiguousarray(faces, np.int32), x0, y0, face_id, inv_depth)
    normals = vertex_normals(vertices, faces)
    rays = vertices / np.maximum(np.linalg.norm(vertices, axis=1, keepdims=True), 1e-9)
    front = -(normals * rays).sum(1) > _FRONT_COSINE
    return front & _in_front(uvw, box, inv_depth)


def vertex_normals(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> Float[np.ndarray, "V 3"]:
    """Return unit normals (float32), outward; each face counts by its area, loose vertices get zero."""
    xyz = np.ascontiguousarray(vertices, np.float32)
    return _vertex_normals(xyz, np.ascontiguousarray(faces, np.int32))


def project(xyz: Float[np.ndarray, "V 3"], K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "V 3"]:
    """Return (u, v, 1/z) float32 of camera-frame points; 1/z is 0 for points that have no pixel.

    Those are points nearer than `NEAR_M`, behind the camera, or not finite.
    """
    return _project(np.ascontiguousarray(xyz, np.float32), np.ascontiguousarray(K, np.float32))


def box_of(uvw: Float[np.ndarray, "V 3"], hw: tuple[int, int], margin_px: int = 2) -> Box:
    """Return the pixels that projected vertices can touch, clipped to the image; it may be empty."""
    return _box_of(uvw, hw[0], hw[1], margin_px)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _project(xyz, K):
    uvw = np.zeros_like(xyz)
    for i in range(xyz.shape[0]):
        x, y, z = xyz[i]
        if not z > NEAR_M:
            continue
        w = np.float32(1) / z
        u = (K[0, 0] * x + K[0, 1] * y) * w + K[0, 2]
        v = (K[1, 0] * x + K[1, 1] * y) * w + K[1, 2]
        if abs(u) < np.float32(1e6) and abs(v) < np.float32(1e6):  # false for NaN too
            uvw[i, 0], uvw[i, 1], uvw[i, 2] = u, v, w
    return uvw


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _box_of(uvw, height, width, margin):
    x0, y0, x1, y1 = np.float32(1e6), np.float32(1e6), np.float32(-1e6), np.float32(-1e6)
    for i in range(uvw.shape[0]):
        if uvw[i, 2] > 0:
            x0, x1 = min(x0, uvw[i, 0]), max(x1, uvw[i, 0])
            y0, y1 = min(y0, uvw[i, 1]), max(y1, uvw[i, 1])
    left = min(max(math.floor(x0) - margin, 0), width)
    top = min(max(math.floor(y0) - margin, 0), height)
    right = max(min(math.ceil(x1) + margin, width), left)
    bottom = max(min(math.ceil(y1) + margin, height), top)
    return left, top, right, bottom


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _clip(start, stop, value, slope):
    """Narrow start <= x <= stop to where value + slope * x >= 0."""
    if slope > 0:
        return max(start, -value / slope), stop
    if slope < 0:
        return start, min(stop, -value / slope)
    return start, stop if value >= 0 else start - np.float32(2)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def draw_faces(uvw, faces, x0, y0, face_id, inv_depth):
    """Draw the front faces into a window of the image whose first pixel is (x0, y0).

    `inv_depth` is the z-buffer: 0 where empty on entry. `face_id` changes with it, so it may be
    left unwritten on entry if it is only read where `inv_depth` is positive.
    """
    height, width = face_id.shape
    one, half, slack = np.float32(1), np.float32(0.5), np.float32(_INSIDE_SLACK)
    for f in range(faces.shape[0]):
        if not is_front(uvw, faces, f):
            continue
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay = uvw[a, 0] - np.float32(x0), uvw[a, 1] - np.float32(y0)
        bx, by = uvw[b, 0] - np.float32(x0), uvw[b, 1] - np.float32(y0)
        cx, cy = uvw[c, 0] - np.float32(x0), uvw[c, 1] - np.float32(y0)
        left = max(math.ceil(min(ax, bx, cx) - half), 0)
        right = min(math.floor(max(ax, bx, cx) - half), width - 1)
        top = max(math.ceil(min(ay, by, cy) - half), 0)
        bottom = min(math.floor(max(ay, by, cy) - half), height - 1)
        if left > right:
            continue
        inv = one / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
        b_dx, b_dy = (cy - ay) * inv, (ax - cx) * inv
        c_dx, c_dy = (ay - by) * inv, (bx - ax) * inv
        wa = uvw[a, 2]
        wb, wc = uvw[b, 2] - wa, uvw[c, 2] - wa
        w_dx = wb * b_dx + wc * c_dx
        for y in range(top, bottom + 1):
            dy = np.float32(y) + half - ay
            row_b, row_c = b_dy * dy, c_dy * dy
            # One pixel wider than the box: its sides are whole pixels and kept by the loop below.
            start, stop = np.float32(left) - half - ax, np.float32(right) + one + half - ax
            start, stop = _clip(start, stop, row_b + slack, b_dx)
            start, stop = _clip(start, stop, row_c + slack, c_dx)
            start, stop = _clip(start, stop, one + slack - row_b - row_c, -b_dx - c_dx)
            row_w = wa + wb * row_b + wc * row_c
            first = max(math.ceil(start + ax - half), left)
            last = min(math.floor(stop + ax - half), right)
            for x in range(first, last + 1):
                w = row_w + w_dx * (np.float32(x) + half - ax)
                if w > inv_depth[y, x]:
                    inv_depth[y, x] = w
                    face_id[y, x] = f


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def draw_small_faces(uvw, faces, face_id, inv_depth):
    """Do what `draw_faces` does, in a whole picture, twice as fast for triangles of some ten pixels.

    Every point of a triangle's box is tested, without a branch, so that the processor takes several
    at once; finding where each row begins and ends costs more than that.
    """
    height, width = face_id.shape
    one, half, outside = np.float32(1), np.float32(0.5), np.float32(-_INSIDE_SLACK)
    for f in range(faces.shape[0]):
        if not is_front(uvw, faces, f):
            continue
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by, cx, cy = uvw[a, 0], uvw[a, 1], uvw[b, 0], uvw[b, 1], uvw[c, 0], uvw[c, 1]
        left = max(int(math.ceil(min(ax, bx, cx) - half)), 0)
        right = min(int(math.floor(max(ax, bx, cx) - half)), width - 1)
        top = max(int(math.ceil(min(ay, by, cy) - half)), 0)
        bottom = min(int(math.floor(max(ay, by, cy) - half)), height - 1)
        if left > right:
            continue
        inv = one / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
        b_dx, b_dy = (cy - ay) * inv, (ax - cx) * inv
        c_dx, c_dy = (ay - by) * inv, (bx - ax) * inv
        a_dx = -b_dx - c_dx
        wb, wc = uvw[b, 2] - uvw[a, 2], uvw[c, 2] - uvw[a, 2]
        w_dx = wb * b_dx + wc * c_dx
        dx = np.float32(left) + half - ax
        for y in range(top, bottom + 1):
            dy = np.float32(y) + half - ay
            row_b, row_c = b_dx * dx + b_dy * dy, c_dx * dx + c_dy * dy
            row_a, row_w = one - row_b - row_c, uvw[a, 2] + wb * row_b + wc * row_c
            depths, ids = inv_depth[y], face_id[y]
            for i in range(right - left + 1):
                t, x = np.float32(i), left + i
                w = row_w + w_dx * t
                inside = (row_b + b_dx * t >= outside) & (row_c + c_dx * t >= outside)
                inside = inside & (row_a + a_dx * t >= outside) & (w > depths[x])
                depths[x] = w if inside else depths[x]
                ids[x] = f if inside else ids[x]


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def is_front(uvw, faces, f):
    """Tell whether face `f` (-1 for none) is drawn: it has a pixel and is turned to the camera."""
    if f < 0:
        return False
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    if min(uvw[a, 2], uvw[b, 2], uvw[c, 2]) <= 0:
        return False
    area = (uvw[b, 0] - uvw[a, 0]) * (uvw[c, 1] - uvw[a, 1])
    # Counter-clockwise from outside turns to negative area because v points down.
    return area - (uvw[b, 1] - uvw[a, 1]) * (uvw[c, 0] - uvw[a, 0]) < -_THINNEST_PX2


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _in_front(uvw, box, inv_depth):
    seen = np.zeros(uvw.shape[0], np.bool_)
    x0, y0, x1, y1 = box
    for i in range(uvw.shape[0]):
        x, y = math.floor(uvw[i, 0]), math.floor(uvw[i, 1])
        if uvw[i, 2] > 0 and x0 <= x < x1 and y0 <= y < y1:
            nearest = inv_depth[y - y0, x - x0]
            seen[i] = nearest > 0 and 1 / uvw[i, 2] < 1 / nearest + _DEPTH_SLACK_M
    return seen


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _vertex_normals(xyz, faces):
    normals = np.zeros_like(xyz)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        px, py, pz = xyz[b, 0] - xyz[a, 0], xyz[b, 1] - xyz[a, 1], xyz[b, 2] - xyz[a, 2]
        qx, qy, qz = xyz[c, 0] - xyz[a, 0], xyz[c, 1] - xyz[a, 1], xyz[c, 2] - xyz[a, 2]
        nx, ny, nz = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for i in range(xyz.shape[0]):
        length = math.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2)
        if length > 0:
            for k in range(3):
                normals[i, k] /= length
    return normals
