"""Edges of hands."""

from dataclasses import replace

import numpy as np

from tracker.view.live_wireframe import SIDE_RGB, draw_wireframe
from tracker.view.overlay import mesh_of
from tracker.view.software_renderer import SoftwareRenderer


def test_the_net_covers_the_hand_and_nothing_else(tracked_hands, golden):
    for hand in tracked_hands:
        rgb = np.zeros((*golden.camera.hw, 3), np.uint8)
        draw_wireframe(rgb, hand, golden.camera)
        drawn = rgb.any(-1)
        alpha = SoftwareRenderer().render([mesh_of(hand)], golden.camera).alpha > 0
        grown = np.array([np.roll(alpha, (y, x), (0, 1)) for y in (-2, 0, 2) for x in (-2, 0, 2)])
        assert (drawn & alpha).sum() > 0.4 * alpha.sum()
        assert not (drawn & ~grown.any(0)).any()
        assert (rgb.max((0, 1)) <= np.array(SIDE_RGB[hand.side]) + 1).all()


def test_edges_of_the_far_side_are_not_drawn(tracked_hands, golden):
    """Turned inside out, front and back change places."""
    hand = tracked_hands[0]
    pictures = []
    for faces in (hand.faces, np.ascontiguousarray(hand.faces[:, ::-1])):
        rgb = np.zeros((*golden.camera.hw, 3), np.uint8)
        draw_wireframe(rgb, replace(hand, faces=faces), golden.camera)
        pictures.append(rgb)
    assert (pictures[0] != pictures[1]).any()


def test_a_hand_behind_the_camera_is_left_out(tracked_hands, golden):
    rgb = np.zeros((*golden.camera.hw, 3), np.uint8)
    hand = tracked_hands[0]
    draw_wireframe(rgb, replace(hand, vertices=-hand.vertices), golden.camera)
    assert not rgb.any()
