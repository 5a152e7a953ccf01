"""The hand as one signed distance field: palm, thumb, fingers, knuckles and nails joined smoothly.

The radii of the smooth joins are chosen by eye on renderings: large in the palm's fat, small between the
fingers, so that the webs end 20 to 22 mm beyond the knuckles, as in life.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from train.open_hand.anthropometry import (
    CHAINS,
    DIGITS,
    GIRTH,
    LONG_FINGERS,
    METACARPALS_MM,
    MM,
    finger_stations,
    skeleton,
    unit,
)
from train.open_hand.sdf import Ellipsoid, Field, Tube, smooth_max, smooth_min

Triple = np.ndarray | tuple[float | int, ...]
UP = np.array([0.0, 1.0, 0.0])
WRIST_CUT = 27 * MM
"""The mesh ends in this plane x = constant, on the forearm."""


def _ellipsoid(
    center_mm: Triple,
    radii_mm: Triple,
    along: Triple = (1.0, 0.0, 0.0),
    hint: np.ndarray = UP,
) -> Ellipsoid:
    x = unit(np.asarray(along, float))
    y = unit(np.asarray(hint) - x * (hint @ x))
    return Ellipsoid(
        np.asarray(center_mm) * MM, np.stack([x, y, np.cross(x, y)]), np.asarray(radii_mm) * MM
    )


def _metacarpal(finger: str) -> Tube:
    head = skeleton().chain(finger)[0]
    base = np.array([-12 * MM, -3 * MM, head[2] * 0.42])
    length = np.linalg.norm(head - base) / MM
    width, dorsal, palmar = METACARPALS_MM[finger]
    # The bases are thin, because overlapping tubes add up to a fat carpus under the smooth minimum.
    stations = np.array([
        (-4, width * 0.75, 10.5, 12),
        (length * 0.35, width * 0.9, 11.5, 14),
        (length * 0.75, width, dorsal + 0.3, palmar),
        (length - 4, width * 0.97, dorsal, palmar - 0.8),
        (length, width * 0.9, dorsal - 1.2, palmar - 2.4),
    ])  # fmt: skip
    return Tube.between(base, head, UP, stations * MM, (14 * MM, 8 * MM))


def _forearm() -> Tube:
    stations = np.array([
        (0, 24, 12.5, 14.5), (14, 26, 15, 17), (26, 26, 16.5, 18.5), (40, 27, 17.5, 19.5), (62, 28.5, 18.5, 20.5),
    ])  # fmt: skip
    start, end = np.array([-22, -2.5, 0]) * MM, np.array([40, -2.5, 0]) * MM
    return Tube.between(start, end, UP, stations * MM, (24 * MM, 30 * MM))


def _palm_pads() -> tuple[tuple[Ellipsoid, float], ...]:
    """Return the soft parts of the palm with the radius that joins each: thenar, hypothenar, web, distal pad."""
    cmc, mcp = skeleton().chain("thumb")[:2]
    index = skeleton().chain("index")[0]
    thenar = (cmc * 0.45 + mcp * 0.55) / MM + np.array([3, -3.5, -3])
    return (
        (_ellipsoid(thenar, (31, 15, 17), mcp - cmc), 13 * MM),
        (_ellipsoid((-40, -11, -28), (38, 14, 12.5), (-1, 0, -0.22)), 11 * MM),
        (_ellipsoid((-60, -9, 31), (20, 7.5, 17), mcp - index), 10 * MM),
        (_ellipsoid((-84, -11, -5), (36, 8.5, 11), (0, 0, 1)), 8 * MM),
    )


def _digit(digit: str) -> Tube:
    chain = skeleton().chain(digit)
    stations = finger_stations(digit)
    reach = np.linalg.norm(chain[3] - chain[0])
    up = skeleton().axes[CHAINS[digit][2], 1]
    base = 16 * MM if digit == "thumb" else 14 * MM
    return Tube.between(chain[0], chain[3], up, stations, (base, reach - stations[-1, 0]))


def _nail_shave(digit: str) -> Ellipsoid:
    """Return the ellipsoid that is taken away from above a fingertip, which leaves the nail's flat."""
    bones = skeleton()
    _, dorsal, along = bones.axes[CHAINS[digit][2]]
    girth = GIRTH.get(digit, 1.12)
    height = (6.6 if digit == "thumb" else 6.1) + 16
    center = bones.tips[DIGITS.index(digit)] / MM + (dorsal * height - along * 7) * girth
    return _ellipsoid(center, np.array([17, 16, 11]) * girth, along, dorsal)


@lru_cache(maxsize=1)
def hand_field() -> Field:
    """Return the field of the whole hand in the frame of `anthropometry.skeleton`."""
    metacarpals = [_metacarpal(finger) for finger in METACARPALS_MM]
    fingers = [_digit(finger) for finger in LONG_FINGERS]
    pads = _palm_pads()
    thumb, forearm = _digit("thumb"), _forearm()
    nails = [_nail_shave(digit) for digit in DIGITS]
    heads = [skeleton().chain(finger)[0] / MM for finger in LONG_FINGERS]
    knuckles = [_ellipsoid(head + np.array([1.0, 3.4, 0]), (9.5, 7.3, 6.6)) for head in heads]
    styloid = _ellipsoid((9, 5.5, -17.5), (9, 8.5, 7))

    def field(points: np.ndarray) -> np.ndarray:
        value = _join(metacarpals, points, 8 * MM)
        for pad, radius in pads:
            value = smooth_min(value, pad(points), radius)
        value = smooth_min(value, forearm(points), 14 * MM)
        value = smooth_min(value, thumb(points), 8 * MM)
        value = smooth_min(value, _join(fingers, points, 3 * MM), 5 * MM)
        for knuckle in knuckles:
            value = smooth_min(value, knuckle(points), 5 * MM)
        value = smooth_min(value, styloid(points), 8 * MM)
        for nail in nails:
            value = smooth_max(value, -nail(points), 1.5 * MM)
        return value

    return field


def _join(parts: Sequence[Field], points: np.ndarray, radius: float) -> np.ndarray:
    value = parts[0](points)
    for part in parts[1:]:
        value = smooth_min(value, part(points), radius)
    return value
