"""What is made of tracked hands: parts, continuity from frame to frame, pinches, selection."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tracker.stream.composer import Composer, pinch_strengths, select
from tracker.stream.motion import Motion
from tracker.stream.openxr import OpenXrJoints
from tracker.stream.protocol import PARTS, Subscription
from tracker.stream.records import StreamFrame

MS = 1_000_000
FLIP = np.array([1.0, -1.0, -1.0])


@pytest.fixture
def composer(models) -> Composer:
    return Composer(models["right"])


def joints_turning(angle: float, place: float = 0.0) -> OpenXrJoints:
    """All joints turned about a slanted axis and moved along x."""
    turn = Rotation.from_rotvec(angle * np.array([0.6, 0.0, 0.8])).as_quat()
    canonical = turn if turn[3] >= 0 else -turn
    positions = np.tile([place, 0.0, -0.5], (26, 1))
    return OpenXrJoints(positions, np.tile(canonical, (26, 1)), np.full(26, 0.01))


def test_the_parts_are_those_of_the_tracked_hand(composer, make_hand_in_view):
    hand = make_hand_in_view(3, "left", track_id=5, state="predicted")
    (sent,) = composer.compose([hand], 0)
    assert (sent.id, sent.side, sent.state, sent.score) == (5, "left", "predicted", 0.9)
    np.testing.assert_allclose(sent.kp3d, hand.joints * FLIP)
    np.testing.assert_array_equal(sent.kp2d, hand.uv)
    np.testing.assert_allclose(sent.verts, hand.vertices * FLIP)
    np.testing.assert_array_equal(sent.mano[:3], hand.params.global_orient)
    np.testing.assert_array_equal(sent.mano[3:48].reshape(15, 3), hand.params.hand_pose)
    np.testing.assert_array_equal(sent.mano[48:58], hand.params.betas)
    np.testing.assert_array_equal(sent.mano[58:], hand.params.transl)
    np.testing.assert_allclose(sent.positions[10], hand.joints[8] * FLIP)  # index tip
    assert sent.scale == hand.params.scale
    assert sent.vel is None  # nothing is known of the frame before


def test_what_nobody_wants_is_not_made(composer, make_hand_in_view):
    (sent,) = composer.compose([make_hand_in_view(0)], 0, {"kp3d"})
    assert sent.kp3d is not None
    assert (sent.verts, sent.pinch, sent.kp2d) == (None, None, None)


def test_broken_hands_are_left_out(composer, make_hand_in_view):
    hand = make_hand_in_view(0)
    holed = hand.joints.copy()
    holed[4, 1] = np.nan
    broken = replace(hand, joints=holed, track_id=2)
    assert [h.id for h in composer.compose([broken, hand], 0)] == [1]


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf])
def test_a_hand_with_infinite_parameters_is_left_out(composer, make_hand_in_view, spoilt: float):
    hand = make_hand_in_view(0)
    vertices = hand.vertices.copy()
    vertices[:2, 0] = np.inf, spoilt  # infinities of both signs add up to none
    betas = np.full(10, spoilt)
    broken = [replace(hand, vertices=vertices), replace(hand, score=spoilt)]
    broken += [replace(hand, params=replace(hand.params, betas=betas))]
    assert composer.compose(broken, 0) == ()


def test_a_hand_that_is_one_point_is_left_out(composer, make_hand_in_view):
    hand = make_hand_in_view(0)
    point = replace(hand, joints=np.tile(hand.joints[:1], (21, 1)), track_id=2)
    assert [h.id for h in composer.compose([point, hand], 0)] == [1]


def test_keypoints_behind_the_camera_have_no_pixels(composer, make_hand_in_view):
    hand = make_hand_in_view(0)
    uv = hand.uv.copy()
    uv[3] = np.nan
    (sent,) = composer.compose([replace(hand, uv=uv)], 0)
    assert sent.kp2d is None
    assert sent.kp3d is not None


def test_quaternions_keep_their_sign_through_two_full_turns():
    motion, found = Motion(), []
    for step in range(100):
        joints = joints_turning(step * 4 * np.pi / 99)
        found.append(motion.follow(1, joints, step * MS)[0][0])
    assert found[0][3] >= 0
    assert (np.einsum("ni,ni->n", found[1:], found[:-1]) > 0.9).all()
    assert min(q[3] for q in found) < -0.9  # so a sign was indeed kept that alone would flip


@pytest.mark.parametrize("start", [0.0, 3.0])
def test_velocities_are_those_of_the_movement(start: float):
    """3 to 3.3 rad passes the half turn, where the canonical quaternion changes sign."""
    motion = Motion()
    assert motion.follow(1, joints_turning(start), 0)[1] is None
    _, vel = motion.follow(1, joints_turning(start + 0.3, 0.02), 100 * MS)
    np.testing.assert_allclose(vel[:, :3], np.tile([0.2, 0, 0], (26, 1)), atol=1e-12)
    np.testing.assert_allclose(vel[:, 3:], np.tile([1.8, 0, 2.4], (26, 1)), atol=1e-9)
    _, still = motion.follow(1, joints_turning(start + 0.3, 0.02), 200 * MS)
    np.testing.assert_allclose(still, 0, atol=1e-9)
    assert motion.follow(1, joints_turning(0.0), 200 * MS)[1] is None  # time stood still


def test_tracks_do_not_mix_and_are_forgotten(composer, make_hand_in_view):
    first, second = make_hand_in_view(0), make_hand_in_view(1, track_id=2)
    composer.compose([first], 0)
    of_first, of_second = composer.compose([first, second], 10 * MS)
    np.testing.assert_allclose(of_first.vel, 0, atol=1e-6)
    assert of_second.vel is None
    composer.compose([], 20 * MS)
    assert composer.compose([first], 30 * MS)[0].vel is None


def test_pinch_goes_from_touching_to_apart():
    joints = np.zeros((21, 3))
    joints[9, 0] = 0.09  # wrist to middle MCP
    for tip, gap in {4: 0.0, 8: 0.009, 12: 0.0324, 16: 0.054, 20: 0.2}.items():
        joints[tip] = [0.05, gap, 0.1]
    np.testing.assert_allclose(pinch_strengths(joints), [1.0, 0.5, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(pinch_strengths(joints * 100), [1.0, 0.5, 0.0, 0.0], atol=1e-9)


def test_selection_takes_parts_sides_and_axes(composer, make_hand_in_view):
    hands = [make_hand_in_view(0), make_hand_in_view(0, "left", track_id=2)]
    frame = StreamFrame(1, 1, 0, 0, composer.compose(hands, 0))
    chosen = select(frame, Subscription(("joints", "verts"), "unity", ("left",)))
    (hand,) = chosen.hands
    assert (hand.side, hand.axes) == ("left", "unity")
    assert {part for part in PARTS if getattr(hand, part) is not None} == {"joints", "verts"}
    left = frame.hands[1]
    np.testing.assert_allclose(hand.positions, left.positions * [1, 1, -1])
    np.testing.assert_allclose(hand.orientations, left.orientations * [-1, -1, 1, 1])
    np.testing.assert_allclose(hand.verts, left.verts * np.float32([1, 1, -1]))
    np.testing.assert_array_equal(hand.radii, left.radii)
    unreal = select(frame, Subscription(("joints",), "unreal")).hands[0]
    np.testing.assert_allclose(unreal.radii, frame.hands[0].radii * 100)


def test_what_is_selected_does_not_change_what_the_camera_saw(composer, make_hand_in_view):
    frame = StreamFrame(1, 1, 0, 0, composer.compose([make_hand_in_view(0)], 0))
    turned = select(frame, Subscription(("mano", "kp2d", "pinch"), "unreal")).hands[0]
    for part in ("mano", "kp2d", "pinch"):
        np.testing.assert_array_equal(getattr(turned, part), getattr(frame.hands[0], part))
