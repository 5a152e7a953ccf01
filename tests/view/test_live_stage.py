"""The stage and the viewer who walks around it."""

from dataclasses import replace

import numpy as np
import pytest

from tracker.view.live_stage import Orbit, Stage

HW = (180, 240)
FLAT = Orbit(pitch_deg=0.0)


@pytest.fixture
def hand(tracked_hands):
    return tracked_hands[0]


def test_at_first_the_hands_are_in_the_middle(hand):
    view = Stage().view(HW, [hand], FLAT)
    middle = (view.hands[0].uv.min(0) + view.hands[0].uv.max(0)) / 2
    np.testing.assert_allclose(middle, (120, 90), atol=12)
    np.testing.assert_allclose(view.hands[0].uv, view.camera.project(view.hands[0].joints))


def test_turning_is_a_rigid_motion(hand):
    turned = Stage().view(HW, [hand], Orbit(70.0, 25.0, 1.2)).hands[0]
    for before, after in ((hand.joints, turned.joints), (hand.vertices, turned.vertices)):
        lengths = [np.linalg.norm(points - points[0], axis=-1) for points in (before, after)]
        np.testing.assert_allclose(lengths[1], lengths[0], atol=1e-5)


def test_from_behind_left_is_right(hand):
    stage = Stage()
    front = stage.view(HW, [hand], FLAT).hands[0]
    behind = stage.view(HW, [hand], replace(FLAT, yaw_deg=180.0)).hands[0]
    across = [np.sign(h.uv[5, 0] - h.uv[17, 0]) for h in (front, behind)]
    assert across[0] == -across[1]


def test_from_above_the_floor_is_seen(hand):
    stage = Stage()
    views = [stage.view(HW, [], Orbit(0.0, pitch)).rgb for pitch in (-30.0, 30.0)]
    lower = [view[HW[0] // 2 :].astype(int).std() for view in views]
    assert lower[1] > lower[0]


def test_zooming_in_makes_hands_larger(hand):
    near, far = (Stage().view(HW, [hand], replace(FLAT, zoom=z)).hands[0] for z in (1.5, 0.75))
    assert np.ptp(near.uv, axis=0).max() > 1.7 * np.ptp(far.uv, axis=0).max()


def test_the_eye_follows_calmly(hand):
    stage = Stage()
    stage.view(HW, [hand], FLAT)
    step = np.float32([0.1, 0, 0])
    moved = replace(hand, joints=hand.joints + step, vertices=hand.vertices + step)
    columns = [stage.view(HW, [moved], FLAT).hands[0].uv[:, 0].mean() for _ in range(60)]
    assert columns[0] > columns[20] > columns[59]
    assert columns[59] == pytest.approx(120, abs=20)


def test_a_hand_behind_the_viewer_is_left_out(hand):
    view = Stage().view(HW, [hand], replace(FLAT, zoom=8.0))
    assert view.hands == () or view.hands[0].vertices[:, 2].min() > 0


@pytest.mark.parametrize("state", ["lost"])
def test_lost_hands_are_not_on_the_stage(hand, state):
    assert Stage().view(HW, [replace(hand, state=state)], FLAT).hands == ()


def test_dragging_never_turns_the_world_upside_down():
    orbit = Orbit()
    for _ in range(50):
        orbit = orbit.dragged(37.0, -60.0, 180.0)
        assert -180 <= orbit.yaw_deg <= 180
        assert -85 <= orbit.pitch_deg <= 85
    for notches in (100.0, -300.0):
        assert 0.1 < orbit.scrolled(notches).zoom < 10
