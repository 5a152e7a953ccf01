"""A bank card drawn beside a palm, in its plane."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.vision.open_palms import CAMERA, Palm
from tracker.vision.calibration_card import CARD_M, find_card

PX_M = 1e4  # the card's own drawing, pixels a metre
RADIUS = 32


def card_picture(color: tuple[int, int, int], aspect: float) -> np.ndarray:
    """A card with round corners and a chip; colour and alpha."""
    width, height = round(CARD_M[1] * aspect * PX_M), round(CARD_M[1] * PX_M)
    alpha = np.zeros((height, width), np.uint8)
    cv2.rectangle(alpha, (RADIUS, 0), (width - RADIUS, height), 255, -1)
    cv2.rectangle(alpha, (0, RADIUS), (width, height - RADIUS), 255, -1)
    for x in (RADIUS, width - RADIUS):
        for y in (RADIUS, height - RADIUS):
            cv2.circle(alpha, (x, y), RADIUS, 255, -1)
    picture = np.dstack([np.full((height, width, 3), color, np.uint8), alpha])
    cv2.rectangle(picture, (80, 180), (200, 280), (200, 180, 90, 255), -1)
    return picture


def with_card(
    rgb, hand, *, turn=0.3, enlarged=1.0, color=(40, 60, 150), aspect=CARD_M[0] / CARD_M[1]
):
    """Lay a card beside a hand that is really `enlarged` times as large as it was fitted."""
    card = card_picture(color, aspect)
    points = hand.joints.astype(float)
    flat = points[[0, *range(5, 21)]]  # the thumb stands out of the palm's plane
    normal = np.linalg.svd(flat - flat.mean(0))[2][2]
    away = points[17] - points[5]
    away -= normal * (away @ normal)
    away /= np.linalg.norm(away)
    up = np.cross(normal, away)
    x = np.cos(turn) * away + np.sin(turn) * up
    y = np.cross(normal, x)
    center = points[[0, 9]].mean(0) + 0.13 * away
    center -= normal * ((center - flat.mean(0)) @ normal)
    half = np.array([card.shape[1], card.shape[0]]) / 2 / PX_M / enlarged
    corners = [
        center + sx * half[0] * x + sy * half[1] * y
        for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    uv = CAMERA.project(np.array(corners))
    own = np.float32(
        [[0, 0], [card.shape[1], 0], [card.shape[1], card.shape[0]], [0, card.shape[0]]]
    )
    fine = 3
    to_picture = cv2.getPerspectiveTransform(own, np.float32(uv * fine))
    height, width = rgb.shape[:2]
    large = cv2.warpPerspective(card, to_picture, (width * fine, height * fine))
    drawn = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA).astype(float)
    alpha = drawn[..., 3:] / 255
    return (rgb * (1 - alpha) + drawn[..., :3] * alpha).astype(np.uint8), uv


@pytest.fixture
def desk(rng) -> np.ndarray:
    """A bright, slightly uneven background."""
    ramp = np.linspace(150, 200, 1280)[None, :, None] + rng.normal(0, 3, (720, 1280, 3))
    return ramp.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("turn", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("tilt", [0.0, 0.35])
def test_the_size_of_the_hand_is_measured(desk, turn, tilt):
    hand = Palm(orient=(np.pi / 2 + tilt, 0.0, 0.0), at=(0.1, -0.06, 0.5)).seen()
    rgb, corners = with_card(desk, hand, turn=turn, enlarged=1.08)
    found = find_card(rgb, hand, CAMERA)
    assert found is not None
    assert found.enlarged == pytest.approx(1.08, rel=0.01)
    off = np.linalg.norm(found.corners_uv[:, None] - corners[None], axis=-1).min(1)
    assert off.max() < 2  # the drawn corners are round


@pytest.mark.parametrize("color", [(20, 20, 25), (250, 250, 250), (200, 60, 40)])
def test_cards_of_any_colour_are_found(desk, color):
    hand = Palm(at=(0.1, -0.06, 0.5)).seen()
    rgb, _ = with_card(desk, hand, color=color)
    found = find_card(rgb, hand, CAMERA)
    assert found is not None
    assert found.enlarged == pytest.approx(1, rel=0.015)


def test_other_rectangles_are_no_cards(desk):
    hand = Palm(at=(0.1, -0.06, 0.5)).seen()
    for aspect in (1.0, 1.33, 2.2):
        assert find_card(with_card(desk, hand, aspect=aspect)[0], hand, CAMERA) is None
    for enlarged in (0.4, 2.5):  # cards of no hand's size
        assert find_card(with_card(desk, hand, enlarged=enlarged)[0], hand, CAMERA) is None


def test_a_picture_without_a_card_has_none(desk):
    hand = Palm().seen()
    assert find_card(desk, hand, CAMERA) is None
    cut_off = Palm(at=(0.1, 0.06, 0.45)).seen()  # the card beside it leaves the picture
    assert find_card(with_card(desk, cut_off)[0], cut_off, CAMERA) is None
    nowhere = replace(hand, uv=np.full((21, 2), np.nan))
    assert find_card(desk, nowhere, CAMERA) is None
