"""A bank card beside the hand as its ruler: find the card, and measure it in the plane of the palm.

Every bank card is 85.60 mm wide and 53.98 mm high (ISO/IEC 7810, ID-1). Lying in the plane of the
palm, its corners unproject onto that plane; how much too small or too large it comes out there
is how much too small or too large the hand was fitted. Focal length and distance cancel out.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracker.geometry.camera import Camera
from tracker.geometry.skeleton import JOINTS
from tracker.vision.records import TrackedHand

CARD_M: Final = (0.08560, 0.05398)
"""Width and height of a bank card, metres."""
_ASPECT: Final = CARD_M[0] / CARD_M[1]
_ASPECT_TOLERANCE: Final = 0.08
"""Relative error of width over height, in the plane of the palm, that a card may show."""
_ENLARGED: Final = (0.6, 1.7)
"""How wrong the size of a fitted hand can be: children to the longest hand on record."""
_REACH: Final = 1.3
"""How far from the middle of the hand a card is looked for, in sizes of the hand."""
_CORNER: Final = 0.03
"""Precision of the first outline, as a part of its length; corners are rounded."""
_SIDE_SAMPLES: Final = np.linspace(0.15, 0.85, 24)
_SEARCH_PX: Final = 4.0
_SEARCH_STEP_PX: Final = 0.5
_EDGE_PX: Final = 3.0
_PLANE: Final = np.array([i for i, name in enumerate(JOINTS) if not name.startswith("thumb")])


@dataclass(frozen=True)
class CardSighting:
    """A card seen in the plane of a palm."""

    corners_uv: Float[np.ndarray, "4 2"]
    """In order around it, pixels."""
    enlarged: float
    """How many times larger than it was fitted the hand really is."""


def find_card(
    rgb: UInt8[np.ndarray, "h w 3"], hand: TrackedHand, camera: Camera
) -> CardSighting | None:
    """Return the bank card that lies beside a flat hand in its plane; None where none is seen."""
    x0, y0, x1, y1 = _region(hand, camera)
    if x1 - x0 < 32 or y1 - y0 < 32:
        return None
    gray = cv2.cvtColor(rgb[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY)
    corner = np.array([x0, y0], np.float64)
    best: tuple[float, CardSighting] | None = None
    for outline in _outlines(gray, hand):
        corners = _sharpened(gray, outline)
        if corners is None or not _is_whole(corners + corner, camera):
            continue
        sides = _sides_m(corners + corner, hand, camera)
        if sides is None:
            continue
        error = abs(sides[0] / sides[1] / _ASPECT - 1)
        enlarged = float(np.sqrt(CARD_M[0] * CARD_M[1] / (sides[0] * sides[1])))
        plausible = error < _ASPECT_TOLERANCE and _ENLARGED[0] < enlarged < _ENLARGED[1]
        if plausible and (best is None or error < best[0]):
            best = error, CardSighting(corners + corner, enlarged)
    return None if best is None else best[1]


def _is_whole(corners_uv: np.ndarray, camera: Camera) -> bool:
    """Tell whether a card lies inside the picture: what its edge cuts off has false sides."""
    height, width = camera.hw
    return bool(
        (corners_uv > _EDGE_PX).all() and (corners_uv < (width - _EDGE_PX, height - _EDGE_PX)).all()
    )


def _region(hand: TrackedHand, camera: Camera) -> tuple[int, int, int, int]:
    """Return the box around the hand in which a card beside it must lie."""
    height, width = camera.hw
    if not np.isfinite(hand.uv).all():
        return 0, 0, 0, 0
    center = (hand.uv.min(0) + hand.uv.max(0)) / 2
    reach = _REACH * float(np.ptp(hand.uv, axis=0).max())
    x0, y0 = np.clip(center - reach, 0, (width, height)).astype(int)
    x1, y1 = np.clip(center + reach, 0, (width, height)).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _outlines(gray: np.ndarray, hand: TrackedHand) -> list[np.ndarray]:
    """Return four-cornered outlines (4, 2) about as large as a card beside this hand."""
    size = float(np.ptp(hand.uv, axis=0).max())
    smallest, largest = (0.12 * size) ** 2, (0.75 * size) ** 2
    smooth = cv2.GaussianBlur(gray, (5, 5), 0)
    level, mask = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    edges = cv2.Canny(smooth, 0.3 * level, 0.7 * level)
    block = max(int(size / 3) | 1, 3)
    local = cv2.adaptiveThreshold(
        smooth, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, block, -4
    )
    found: list[np.ndarray] = []
    for picture in (
        cv2.dilate(edges, np.ones((3, 3), np.uint8)),
        mask,
        255 - mask,
        local,
        255 - local,
    ):
        contours, _ = cv2.findContours(picture, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        for contour in contours:
            if not smallest < cv2.contourArea(contour) < largest:
                continue
            hull = cv2.convexHull(contour)
            corners = cv2.approxPolyDP(hull, _CORNER * cv2.arcLength(hull, True), True)
            solid = cv2.contourArea(contour) > 0.93 * cv2.contourArea(hull)
            if len(corners) == 4 and solid:
                found.append(corners[:, 0].astype(np.float64) + 0.5)
    return found


def _sharpened(gray: np.ndarray, corners: np.ndarray) -> np.ndarray | None:
    """Return the corners where lines through the strongest edges of the four sides meet.

    A card's own corners are round; its sides are straight between them.
    """
    sides = [_side(gray, corners[i], corners[(i + 1) % 4]) for i in range(4)]
    lines = [line for line in sides if line is not None]
    if len(lines) < 4:
        return None
    meeting = [np.cross(lines[i - 1], lines[i]) for i in range(4)]
    if min(abs(point[2]) for point in meeting) < 1e-9:
        return None
    sharp = np.array([point[:2] / point[2] for point in meeting])
    moved = np.linalg.norm(sharp - corners, axis=-1).max()
    return sharp if moved < 0.25 * np.linalg.norm(corners[0] - corners[2]) else None


def _side(gray: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Return the line (n, -n.p) through the edge between two corners."""
    along = b - a
    length = float(np.linalg.norm(along))
    if length < 8:
        return None
    normal = np.array([-along[1], along[0]]) / length
    steps = np.arange(-_SEARCH_PX, _SEARCH_PX + 1e-9, _SEARCH_STEP_PX)
    points = (a + _SIDE_SAMPLES[:, None] * along)[:, None] + steps[:, None] * normal
    at = (points - 0.5).astype(np.float32)
    profile = cv2.remap(
        gray, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    slope = np.abs(np.diff(profile.astype(np.float64), axis=1)) + 1e-3
    peak = slope.argmax(1)
    near = np.abs(np.arange(slope.shape[1]) - peak[:, None]) <= 2
    weight = slope * near
    offset = (weight * (steps[:-1] + _SEARCH_STEP_PX / 2)).sum(1) / weight.sum(1)
    edge = a + _SIDE_SAMPLES[:, None] * along + offset[:, None] * normal
    strong = slope.max(1) > 0.3 * np.median(slope.max(1))
    vx, vy, x, y = cv2.fitLine(
        edge[strong].astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01
    ).ravel()
    return np.array([-vy, vx, vy * x - vx * y], np.float64)


def _sides_m(
    corners_uv: np.ndarray, hand: TrackedHand, camera: Camera
) -> tuple[float, float] | None:
    """Return width and height of a quadrangle in the plane of the palm, or None if it has none."""
    center, normal = _palm_plane(hand)
    rays = np.c_[corners_uv, np.ones(4)] @ np.linalg.inv(camera.K).T
    toward = rays @ normal
    if (np.abs(toward) < 1e-6).any():
        return None
    points = rays * (center @ normal / toward)[:, None]
    if points[:, 2].min() <= 0:
        return None
    a, b, c, d = (float(np.linalg.norm(points[i] - points[(i + 1) % 4])) for i in range(4))
    if min(a, b, c, d) <= 0 or max(a / c, c / a, b / d, d / b) > 1.15:  # no rectangle
        return None
    sides = (a + c) / 2, (b + d) / 2
    return max(sides), min(sides)


def _palm_plane(hand: TrackedHand) -> tuple[np.ndarray, np.ndarray]:
    """Return a point of the flat hand's plane and its normal, without the thumb."""
    points = hand.joints[_PLANE].astype(np.float64)
    center = points.mean(0)
    return center, np.linalg.svd(points - center)[2][2]
