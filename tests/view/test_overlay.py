"""Hands on their frame."""

from dataclasses import replace

import numpy as np
import pytest

from tracker.view.overlay import (
    FINGER_RGB,
    PREDICTED_OPACITY,
    draw_hands,
    draw_skeleton,
    mesh_of,
    overlay_in_place,
    second_view,
    side_by_side,
)
from tracker.view.software_renderer import SoftwareRenderer


@pytest.fixture
def frame(golden, rng) -> np.ndarray:
    return rng.integers(0, 256, (*golden.camera.hw, 3), np.uint8)


@pytest.fixture
def software() -> SoftwareRenderer:
    return SoftwareRenderer()


def test_the_frame_itself_stays_and_a_predicted_hand_is_fainter(
    frame, tracked_hands, golden, software
):
    before = frame.copy()
    out = draw_hands(frame, tracked_hands, golden.camera, software, label=False)
    np.testing.assert_array_equal(frame, before)
    taken = np.zeros(golden.camera.hw, bool)  # the tracked hand is in front of the predicted one
    for hand, opacity in zip(tracked_hands, (1.0, PREDICTED_OPACITY), strict=True):
        drawn = software.render([mesh_of(hand)], golden.camera)
        solid = (drawn.alpha == 1) & ~taken
        taken |= drawn.alpha > 0
        assert solid.sum() > 1000
        mixed = opacity * drawn.rgb[solid] + (1 - opacity) * frame[solid]
        assert np.abs(out[solid] - mixed).max() <= 1.01


def test_lost_hands_are_not_drawn(frame, tracked_hands, golden, software):
    lost = [replace(hand, state="lost") for hand in tracked_hands]
    out = draw_hands(frame, lost, golden.camera, software, skeleton=True)
    np.testing.assert_array_equal(out, frame)
    overlay_in_place(out, lost, golden.camera, software)
    np.testing.assert_array_equal(out, frame)


def test_both_renderers_give_the_same_overlay(frame, tracked_hands, golden, software, pyrender):
    ours, theirs = (
        draw_hands(frame, tracked_hands, golden.camera, renderer)
        for renderer in (software, pyrender)
    )
    assert np.abs(ours.astype(int) - theirs).mean() < 0.5


def test_in_place_is_draw_hands_without_words(frame, tracked_hands, golden, software):
    hands = tracked_hands[:1]
    out = draw_hands(frame, hands, golden.camera, software, opacity=0.8, label=False)
    overlay_in_place(frame, hands, golden.camera, software, opacity=0.8)
    np.testing.assert_array_equal(frame, out)


def test_skeleton_has_each_fingers_colour_at_its_tip(tracked_hands, golden):
    picture = np.zeros((*golden.camera.hw, 3), np.uint8)
    hand = tracked_hands[0]
    draw_skeleton(picture, hand)
    for finger, tip in zip(FINGER_RGB, (0, 4, 8, 12, 16, 20), strict=True):
        u, v = np.floor(hand.uv[tip]).astype(int)
        np.testing.assert_array_equal(picture[v, u], FINGER_RGB[finger])


def test_skeleton_is_centred_on_the_joint(tracked_hands):
    """OpenCV counts from pixel centres; a missing shift would be half a pixel."""
    picture = np.zeros((41, 41, 3), np.uint8)
    draw_skeleton(picture, replace(tracked_hands[0], uv=np.full((21, 2), 20.5)))
    weight = picture.sum(-1).astype(float)
    rows, columns = np.mgrid[:41, :41] + 0.5
    center = [(columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()]
    np.testing.assert_allclose(center, 20.5, atol=0.1)


def test_joints_without_a_pixel_are_left_out(frame, tracked_hands, golden, software):
    uv = np.full((21, 2), np.nan)
    hand = replace(tracked_hands[0], uv=uv, vertices=-tracked_hands[0].vertices)
    out = draw_hands(frame, [hand], golden.camera, software, skeleton=True)
    np.testing.assert_array_equal(out, frame)


def test_label_is_written_beside_the_hand_and_inside_the_frame(tracked_hands, golden, software):
    blank = np.full((*golden.camera.hw, 3), 90, np.uint8)
    for shift in (-1000.0, 0.0, 1000.0):
        hand = replace(tracked_hands[0], uv=tracked_hands[0].uv + shift)
        with_label, without = (
            draw_hands(blank, [hand], golden.camera, software, label=label)
            for label in (True, False)
        )
        assert 100 < (with_label != without).any(-1).sum() < 3000


def test_side_by_side_brings_pictures_to_one_height():
    row = side_by_side(
        np.zeros((40, 60, 3), np.uint8),
        np.full((40, 60, 3), 255, np.uint8),
        np.full((80, 80, 3), 7, np.uint8),
    )
    assert row.shape == (40, 160, 3)
    assert [int(row[20, x, 0]) for x in (30, 90, 140)] == [0, 255, 7]


def test_second_view_holds_whole_hands_from_the_side(tracked_hands, software):
    plain = second_view([], software, (120, 160))
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) == 1
    front, side = (
        second_view(tracked_hands, software, (120, 160), turn_deg=turn) for turn in (0.0, 90.0)
    )
    for view in (front, side):
        drawn = (view != plain).any(-1)
        assert drawn.mean() > 0.02
        assert not drawn[[0, -1]].any()
        assert not drawn[:, [0, -1]].any()
    # From the front the hands lie beside one another; from the side one hides the other.
    assert (front != plain).any(-1).any(0).sum() > 1.5 * (side != plain).any(-1).any(0).sum()


def test_the_viewer_walks_to_the_right(tracked_hands, software):
    """Walking right around the hands, what is nearer to the camera moves to the left."""
    near, far = (
        replace(hand, vertices=tracked_hands[0].vertices + np.float32([0.07, 0, z]), colors=color)
        for hand, z, color in (
            (tracked_hands[0], -0.15, np.tile(np.float32([1, 0, 0]), (778, 1))),
            (tracked_hands[0], 0.15, np.tile(np.float32([0, 0, 1]), (778, 1))),
        )
    )
    view = second_view([near, far], software, (120, 160), turn_deg=80.0).astype(int)
    red, blue = view[..., 0] > 100, view[..., 2] > 100
    assert np.nonzero(red)[1].mean() < np.nonzero(blue)[1].mean() - 20
