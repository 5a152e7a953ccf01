"""Regions: geometry is exact to the pixel, and cutting moves pixels where it says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.vision.crops import cut, frame_from_crop, roi_from_landmarks, roi_from_palm
from tracker.vision.records import Detection, Roi

angles = st.floats(-math.pi, math.pi)


@given(angle=angles, size=st.floats(20, 2000), u=st.floats(-500, 2000), v=st.floats(-500, 2000))
def test_the_map_takes_the_crop_onto_the_turned_square(
    angle: float, size: float, u: float, v: float
) -> None:
    affine = frame_from_crop(Roi(np.array([u, v]), size, angle), 224)
    corners = np.array([[0, 0], [224, 0], [224, 224], [0, 224], [112, 112.0]])
    mapped = corners @ affine[:, :2].T + affine[:, 2]
    np.testing.assert_allclose(mapped[4], [u, v], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(mapped[1] - mapped[0]), size, rtol=1e-9)
    up = (mapped[0] - mapped[3]) / size
    np.testing.assert_allclose(up, [math.sin(angle), -math.cos(angle)], atol=1e-9)


def test_an_untouched_square_is_cut_unchanged() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    roi = Roi(np.array([40.0, 30.0]), 32.0, 0.0)
    np.testing.assert_array_equal(cut(rgb, roi, 32), rgb[14:46, 24:56])


def test_a_quarter_turn_is_the_array_s_quarter_turn() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    roi = Roi(np.array([32.0, 32.0]), 64.0, math.pi / 2)  # the hand points right
    np.testing.assert_array_equal(cut(rgb, roi, 64), np.rot90(rgb))


def test_outside_the_frame_is_black() -> None:
    rgb = np.full((20, 20, 3), 200, np.uint8)
    crop = cut(rgb, Roi(np.array([0.0, 0.0]), 20.0, 0.0), 20)
    assert crop[:9, :9].max() == 0
    assert crop[11:, 11:].min() == 200


def hand_pointing(angle: float) -> np.ndarray:
    """A flat hand of 21 points, 100 px long, fingers towards `angle` clockwise from up."""
    fingers = np.linspace(-0.5, 0.5, 5)
    upright = [[0.0, 0.0]]
    for spread in fingers:
        upright += [[30 * spread * r, -r * 100] for r in (0.45, 0.7, 0.85, 1.0)]
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array(upright) @ np.array([[cos, sin], [-sin, cos]]) + 300


@given(angle=angles)
def test_the_next_region_turns_with_the_hand(angle: float) -> None:
    upright = roi_from_landmarks(hand_pointing(0.0))
    turned = roi_from_landmarks(hand_pointing(angle))
    difference = (turned.angle_rad - upright.angle_rad - angle + math.pi) % (2 * math.pi) - math.pi
    assert abs(difference) < 1e-6
    assert turned.size_px == pytest.approx(upright.size_px, rel=1e-6)


def test_the_next_region_holds_the_whole_hand() -> None:
    uv = hand_pointing(0.7)
    roi = roi_from_landmarks(uv)
    cos, sin = math.cos(roi.angle_rad), math.sin(roi.angle_rad)
    inside = (uv - roi.center_uv) @ np.array([[cos, -sin], [sin, cos]])
    assert np.abs(inside).max() < roi.size_px / 2


def test_a_palm_s_region_reaches_towards_the_fingers() -> None:
    keypoints = np.array(
        [[100, 150], [90, 110], [100, 105], [110, 107], [118, 112], [80, 140], [75, 125]]
    )
    palm = Detection(np.array([75.0, 105.0, 120.0, 150.0]), keypoints.astype(float), 0.9)
    roi = roi_from_palm(palm)
    assert roi.angle_rad == pytest.approx(0.0)
    assert roi.center_uv[1] < 127.5  # above the palm's own centre
    assert roi.size_px == pytest.approx(2.6 * 45)
