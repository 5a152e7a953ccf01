"""Outlines without steps: how much of a pixel the surface beside it covers.

After the z-buffer each pixel belongs to one face or to none. An outline edge lies between a front
and a back face of the mesh; projected, it runs between pixel centres. Followed along its longer
axis, it crosses one pair of neighbouring centres in each row (or column), and the pixel whose centre
lies on the other side of the crossing takes over the part of it that the edge's side covers. That
is exact for straight edges, and costs only as much as the outline is long.
"""

import math
from typing import Final, no_type_check

import numpy as np
from numba import njit

from tracker.geometry.zbuffer import is_front

_SAME_SURFACE: Final = 1.002  # ratio of depths within which an edge still lies on what is behind it
_OCCLUDED: Final = 1.02  # ratio of depths beyond which an edge is hidden by what is in front of it


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def soften(uvw, faces, edges, x0, y0, inv_depth, mix, mix_from, pairs):
    """Find how much (`mix`, 0 to 0.5) of which neighbour (`mix_from`) each outline pixel takes over.

    Args:
        uvw: projected vertices.
        faces: triangles.
        edges: from `topology.edge_faces`.
        x0: first column of the window in the image.
        y0: first row of the window.
        inv_depth: 1/z of each pixel, 0 where empty.
        mix: zeros on entry.
        mix_from: 1 for the right neighbour, -1 left, 2 below, -2 above; only set where mix > 0.
        pairs: zeros on entry and on exit, one for each pixel and its neighbour to the right (0)
            or below (1).
    """
    touched = [(0, 0, 0) for _ in range(0)]
    for e in range(edges.shape[0]):
        left_front = is_front(uvw, faces, edges[e, 2])
        if left_front == is_front(uvw, faces, edges[e, 3]):
            continue
        # From a to b the drawn side is on the left, as seen from outside.
        a, b = (edges[e, 0], edges[e, 1]) if left_front else (edges[e, 1], edges[e, 0])
        _follow(uvw[a], uvw[b], np.float32(x0), np.float32(y0), inv_depth, pairs, touched)
    for y, x, axis in touched:
        value = pairs[y, x, axis]
        pairs[y, x, axis] = 0
        part = abs(value) - np.float32(1.5)
        low_changes = (value > 0) == (part < 0)
        yt = y if (low_changes or axis == 0) else y + 1
        xt = x if (low_changes or axis == 1) else x + 1
        if abs(part) > mix[yt, xt]:
            mix[yt, xt] = abs(part)
            mix_from[yt, xt] = (1 if low_changes else -1) * (axis + 1)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _follow(a, b, x0, y0, inv_depth, pairs, touched):
    """Note, for each pair of centres that the edge crosses, how far it lies from the drawn one.

    An entry of `pairs` is 1 + that distance, negative where the drawn centre is the second (right
    or lower) one, and 0 where no edge was seen. Of several edges the outermost counts.
    """
    height, width = inv_depth.shape
    half = np.float32(0.5)
    ax, ay, ex, ey = a[0] - x0, a[1] - y0, b[0] - a[0], b[1] - a[1]
    steep = abs(ey) >= abs(ex)
    along, across, run, rise = (ay, ax, ey, ex) if steep else (ax, ay, ex, ey)
    if run == 0:
        return
    second_drawn = (ey > 0) if steep else (ex < 0)
    rows, columns = (height, width) if steep else (width, height)
    first = max(math.ceil(min(along, along + run) - half), 0)
    last = min(math.ceil(max(along, along + run) - half) - 1, rows - 1)
    for row in range(first, last + 1):
        way = (np.float32(row) + half - along) / run
        cross = across + way * rise
        low = math.floor(cross - half)
        if low < 0 or low + 1 >= columns:
            continue
        x, y = (low, row) if steep else (row, low)
        x2, y2 = (low + 1, row) if steep else (row, low + 1)
        reach = cross - (np.float32(low) + half)
        if second_drawn:
            reach = np.float32(1) - reach
            drawn, other = inv_depth[y2, x2], inv_depth[y, x]
        else:
            drawn, other = inv_depth[y, x], inv_depth[y2, x2]
        if drawn == 0 or not _is_seen(a[2] + way * (b[2] - a[2]), drawn, other):
            continue
        axis = 0 if steep else 1
        known = pairs[y, x, axis]
        if known == 0:
            touched.append((y, x, axis))
        if reach + 1 > abs(known):
            pairs[y, x, axis] = -(reach + 1) if second_drawn else reach + 1


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _is_seen(edge, drawn, other):
    """Tell whether an edge separates two pixels, from 1/z of the edge and of both."""
    if other == 0:
        return True
    return edge > other * np.float32(_SAME_SURFACE) and drawn <= edge * np.float32(_OCCLUDED)
