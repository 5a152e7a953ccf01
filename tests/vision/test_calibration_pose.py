"""What an open palm is."""

from dataclasses import replace

import numpy as np
import pytest

from tests.vision.open_palms import CAMERA, Palm
from tracker.vision.calibration_pose import bent_finger, complaint, facing, is_moving, size_px

PALM = Palm()


def test_an_open_palm_is_fine_from_both_sides_and_at_some_tilt():
    for orient in ((np.pi / 2, 0, 0), (-np.pi / 2, 0, 0), (np.pi / 2 + 0.4, 0, 0.2)):
        assert complaint(replace(PALM, orient=orient).seen(), CAMERA) is None


@pytest.mark.parametrize(
    ("palm", "todo"),
    [
        (replace(PALM, at=(0.45, 0.0, 0.5)), "keep the whole hand in the picture"),
        (replace(PALM, at=(0.1, 0.0, 2.5)), "come closer"),
        (replace(PALM, score=0.2), "the hand is not clear; more light"),
        (replace(PALM, orient=(0.1, 0.0, 0.0)), "turn the palm to the camera"),
        (replace(PALM, bent=(0, 1.4)), "stretch the index finger"),
        (replace(PALM, bent=(3, 1.4)), "stretch the middle finger"),
    ],
)
def test_what_is_wrong_is_said_as_a_thing_to_do(palm, todo):
    assert str(complaint(palm.seen(), CAMERA)).startswith(todo)


def test_hands_without_pixels_are_not_in_the_picture():
    hand = replace(PALM.seen(), uv=np.full((21, 2), np.nan))
    assert complaint(hand, CAMERA) == "keep the whole hand in the picture"


@pytest.mark.parametrize(
    ("joint", "finger"), [(1, "index"), (4, "middle"), (7, "pinky"), (10, "ring")]
)
def test_a_finger_bent_in_the_middle_is_named(joint, finger):
    assert bent_finger(replace(PALM, bent=(joint, 1.6)).seen().joints) == finger


def test_facing_is_about_the_line_of_sight_and_not_the_axis():
    straight, aside = (
        abs(facing(replace(PALM, at=at).seen().joints)) for at in ((0.1, 0, 0.5), (0.5, 0, 0.5))
    )
    assert straight > 0.95
    assert aside < straight


def test_moving_is_measured_in_sizes_of_the_hand():
    still, near = PALM.seen(0.0), replace(PALM, at=(0.1005, 0.0, 0.5)).seen(1 / 30)
    assert not is_moving(still, near)
    assert is_moving(still, replace(PALM, at=(0.13, 0.0, 0.5)).seen(1 / 30))
    assert is_moving(still, replace(PALM, track_id=9).seen(1 / 30))
    assert is_moving(still, PALM.seen(0.0))
    assert size_px(still) > 200
