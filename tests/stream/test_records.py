"""Frames as a client reads them: the best hand of a side, parts that are missing, operator points."""

from dataclasses import replace

import numpy as np
import pytest

from tracker.stream.frames import AXES
from tracker.stream.records import StreamFrame, StreamHand


@pytest.fixture
def hand(rng: np.random.Generator) -> StreamHand:
    points = rng.normal(size=(21, 3)) * 0.03
    return StreamHand(1, "right", "tracked", 0.9, None, 1.0, 0, kp3d=points)


def dex_points(xyz: np.ndarray, side: str) -> np.ndarray:
    """The published procedure, plane fit and all, written out again."""
    centred = xyz - xyz[0]
    three = centred[[0, 5, 9]]
    normal = np.linalg.svd(three - three.mean(0))[2][2]
    x = (three[0] - three[2]) - ((three[0] - three[2]) @ normal) * normal
    x /= np.linalg.norm(x)
    z = np.cross(x, normal)
    if z @ (three[1] - three[2]) < 0:
        normal, z = -normal, -z
    right = np.array([[0, 0, -1], [-1, 0, 0], [0, 1, 0]])
    left = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]])
    return centred @ np.stack([x, normal, z], 1) @ (right if side == "right" else left)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("axes", AXES)
def test_operator_points_are_those_of_dex_retargeting(hand: StreamHand, axes: str, side: str):
    expected = dex_points(hand.kp3d * [1, -1, -1], side)
    sent = replace(hand, side=side, axes=axes, kp3d=AXES[axes].points(hand.kp3d))
    np.testing.assert_allclose(sent.operator_points(), expected, atol=1e-12)


def test_the_best_hand_in_view_is_taken(hand: StreamHand):
    hands = (
        replace(hand, id=1, score=0.5),
        replace(hand, id=2, score=0.8),
        replace(hand, id=3, score=0.95, state="lost"),
    )
    frame = StreamFrame(1, 1, 0, 0, hands)
    assert frame.right is not None
    assert frame.right.id == 2
    assert frame.left is None


def test_missing_parts_are_named(hand: StreamHand):
    with pytest.raises(ValueError, match="'joints'"):
        _ = hand.positions
    with pytest.raises(ValueError, match="'kp3d'"):
        replace(hand, kp3d=None).operator_points()
