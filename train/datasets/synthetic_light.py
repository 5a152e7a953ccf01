"""Light on a made-up scene: sky and floor, one lamp with shadows, a second without; in linear light.

It is on purpose richer than the light the network explains a picture with.
"""

import math
from typing import Final, NamedTuple, no_type_check

import numpy as np
from numba import njit

from tracker.geometry.skin_tones import srgb_from_linear
from tracker.geometry.zbuffer import draw_small_faces

MAP_PX: Final = 64
_REACH_M: Final = 0.28
"""Half side of what a shadow map covers, around the hand."""
_FAR_M: Final = 3.0
_SLACK_M: Final = 0.006
_LEVELS: Final = 256
_GREYS: Final = np.linspace(0, 1, _LEVELS)[:, None].repeat(3, 1)
_ENCODED: Final = srgb_from_linear(_GREYS)[:, 0]
_WRAP: Final = (0.30, 0.16, 0.12)
"""Light goes round the edge of a shadow inside the skin, red light farthest."""


class Lights(NamedTuple):
    """Light of a scene, camera frame; directions point from the surface to the source."""

    sky: np.ndarray
    floor: np.ndarray
    up: np.ndarray
    lamp: np.ndarray
    lamp_direction: np.ndarray
    fill: np.ndarray
    fill_direction: np.ndarray
    gloss: float
    gloss_power: float
    tones: np.ndarray
    """Display-encoded colour, 0 to 255, of linear light in steps from 0 to 1: the camera's curve."""


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / math.sqrt(vector @ vector)).astype(np.float32)


def random_lights(rng: np.random.Generator) -> Lights:
    """Draw the light of a room, a window or the sun."""
    warmth = rng.normal(0, 0.10, 3)
    hue = lambda w: np.array([1 + w, 1.0, 1 - 1.2 * w])  # noqa: E731
    exposure = 2 ** rng.uniform(-1.0, 0.35)
    hard = rng.beta(1.2, 1.2)
    lamp = exposure * (0.25 + 1.0 * hard)
    sky = exposure * (0.95 - 0.62 * hard)
    toward = rng.standard_normal(3)
    # Most lamps hang above and on the camera's side; some stand behind the hand.
    toward[1] = -abs(toward[1]) if rng.random() < 0.8 else toward[1]
    toward[2] = -abs(toward[2]) if rng.random() < 0.85 else toward[2]
    up = np.array([0, -1, -0.2]) + 0.25 * rng.standard_normal(3)
    return Lights(
        sky=(sky * hue(warmth[0])).astype(np.float32),
        floor=(sky * rng.uniform(0.25, 0.8) * hue(warmth[0] + 0.06)).astype(np.float32),
        up=_unit(up),
        lamp=(lamp * hue(warmth[1])).astype(np.float32),
        lamp_direction=_unit(toward),
        fill=(exposure * rng.uniform(0, 0.35) * hue(warmth[2])).astype(np.float32),
        fill_direction=_unit(rng.standard_normal(3)),
        gloss=float(rng.uniform(0, 0.10)),
        gloss_power=float(rng.uniform(8, 40)),
        tones=_tones(rng),
    )


def _tones(rng: np.random.Generator) -> np.ndarray:
    """Draw a camera's exposure, white balance and contrast."""
    gain = 2 ** rng.normal(0, 0.18) * (1 + 0.05 * rng.standard_normal(3))
    curve = (_ENCODED[:, None] * gain).clip(0, 1) ** 2 ** rng.normal(0, 0.22)
    return (255 * curve).astype(np.float32)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def seen_from(vertices, faces, center, direction, face_id, inv_depth, seen):
    """Write into `seen` (V) how much of each vertex a far lamp reaches, 0 to 1."""
    axis = np.zeros(3, np.float32)
    axis[0 if abs(direction[0]) < 0.6 else 1] = 1
    # Rows of a right-handed frame that looks along the light.
    fx, fy, fz = -direction[0], -direction[1], -direction[2]
    sx, sy, sz = (
        fy * axis[2] - fz * axis[1],
        fz * axis[0] - fx * axis[2],
        fx * axis[1] - fy * axis[0],
    )
    length = math.sqrt(sx * sx + sy * sy + sz * sz)
    sx, sy, sz = sx / length, sy / length, sz / length
    tx, ty, tz = fy * sz - fz * sy, fz * sx - fx * sz, fx * sy - fy * sx
    scale, half = np.float32(MAP_PX / 2 / _REACH_M), np.float32(MAP_PX / 2)
    uvw = np.empty_like(vertices)
    for i in range(vertices.shape[0]):
        x, y, z = vertices[i, 0] - center[0], vertices[i, 1] - center[1], vertices[i, 2] - center[2]
        uvw[i, 0] = (sx * x + sy * y + sz * z) * scale + half
        uvw[i, 1] = (tx * x + ty * y + tz * z) * scale + half
        # Parallel light: any positive number that is linear in depth and larger when nearer will do.
        uvw[i, 2] = np.float32(_FAR_M) - (fx * x + fy * y + fz * z)
    inv_depth[:] = 0
    draw_small_faces(uvw, faces, face_id, inv_depth)
    for i in range(vertices.shape[0]):
        x, y = int(math.floor(uvw[i, 0])), int(math.floor(uvw[i, 1]))
        lit = 0
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                xx, yy = min(max(x + dx, 0), MAP_PX - 1), min(max(y + dy, 0), MAP_PX - 1)
                if uvw[i, 2] > inv_depth[yy, xx] - np.float32(_SLACK_M):
                    lit += 1
        seen[i] = np.float32(lit) / np.float32(9)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def shade(vertices, normals, albedo, lights, lamp_seen, sky_seen, colors):
    """Write display-encoded colours (V, 3), 0 to 255, into `colors`."""
    one, zero, half = np.float32(1), np.float32(0), np.float32(0.5)
    up, lamp, fill = lights.up, lights.lamp_direction, lights.fill_direction
    gloss, power = np.float32(lights.gloss), np.float32(lights.gloss_power)
    for i in range(vertices.shape[0]):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        upward = half + half * (x * up[0] + y * up[1] + z * up[2])
        open_sky = np.float32(0.45) + np.float32(0.55) * sky_seen[i]
        facing = x * lamp[0] + y * lamp[1] + z * lamp[2]
        filled = max(x * fill[0] + y * fill[1] + z * fill[2], zero)
        ex, ey, ez = -vertices[i, 0], -vertices[i, 1], -vertices[i, 2]
        length = math.sqrt(ex * ex + ey * ey + ez * ez)
        hx, hy, hz = ex / length + lamp[0], ey / length + lamp[1], ez / length + lamp[2]
        length = max(math.sqrt(hx * hx + hy * hy + hz * hz), np.float32(1e-4))
        shine = max((x * hx + y * hy + z * hz) / length, zero) ** power
        shine *= gloss * lamp_seen[i] * max(facing, zero)
        for k in range(3):
            wrap = np.float32(_WRAP[k])
            lit = max((facing + wrap) / (one + wrap), zero) * lamp_seen[i]
            ambient = lights.floor[k] + upward * (lights.sky[k] - lights.floor[k])
            light = ambient * open_sky + lights.lamp[k] * lit + lights.fill[k] * filled
            value = albedo[i, k] * light + shine * lights.lamp[k]
            place = min(max(value, zero), one) * np.float32(_LEVELS - 1)
            low = min(int(place), _LEVELS - 2)
            step = lights.tones[low + 1, k] - lights.tones[low, k]
            colors[i, k] = lights.tones[low, k] + (place - np.float32(low)) * step
