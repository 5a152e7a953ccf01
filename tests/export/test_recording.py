"""What a recording takes in, refuses, and gives back."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tracker.export.recording import ClipInfo, Recording, skin
from tracker.geometry.hand_model import HandModel
from tracker.vision.records import TrackedHand


@pytest.fixture
def hand(studio: Any) -> TrackedHand:
    return studio.hand(studio.actor(1, "right", range(3)), 0)


@pytest.fixture
def empty(studio: Any) -> Recording:
    return studio.record([], 0)


def test_rows_and_skinned_vertices_are_those_of_the_hands(
    two_hands: Recording, studio: Any
) -> None:
    rows = two_hands.rows
    assert (len(rows), len(two_hands.frames)) == (96, 60)
    vertices = skin(two_hands.models, rows[10:14])
    for row, found in zip(rows[10:14], vertices, strict=True):
        settle_frames = 15 if row["side"] == "right" else 0
        actor = studio.actor(0, row["side"].item(), (), int(row["track_id"]) - 1, settle_frames)
        hand = studio.hand(actor, int(row["frame"]))
        np.testing.assert_allclose(row["joints"], hand.joints, atol=1e-7)
        np.testing.assert_allclose(found, hand.vertices, atol=1e-6)


def test_tracks_are_grouped_and_gaps_hold_the_row_before(two_hands: Recording) -> None:
    right, left = two_hands.tracks
    assert (right.name, left.name) == ("hand_right_1", "hand_left_2")
    assert (right.model.side, left.model.side) == ("right", "left")
    index, seen = right.at(np.array([0, 2, 24, 28, 31, 59]))
    assert right.rows["frame"][index].tolist() == [2, 2, 24, 24, 31, 59]
    assert seen.tolist() == [False, True, True, False, True, True]
    assert not left.at(np.array([50]))[1].any()  # given up in that frame
    changes, visible = right.visibility(two_hands.frames)
    assert (changes.tolist(), visible.tolist()) == ([0, 2, 25, 31], [False, True, False, True])


def test_last_colours_of_a_track_count(empty: Recording, hand: TrackedHand) -> None:
    empty.append(0, 0.0, [hand])
    empty.append(1, 0.1, [replace(hand, colors=hand.colors * 0.5)])
    np.testing.assert_allclose(empty.tracks[0].colors, hand.colors * 0.5, atol=1e-7)


def test_many_frames_outgrow_the_first_buffer(empty: Recording, hand: TrackedHand) -> None:
    for frame in range(200):
        empty.append(frame, frame / 10, [hand])
    assert empty.rows["frame"].tolist() == list(range(200))
    assert empty.rows.nbytes / 200 < 1000
    with pytest.raises(ValueError, match="read-only"):
        empty.rows["score"] = 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["joints", "colors", "score", "hand_pose", "transl", "scale"])
def test_numbers_that_are_none_are_refused_and_leave_no_trace(
    empty: Recording, hand: TrackedHand, name: str, bad: float
) -> None:
    if hasattr(hand, name):
        broken = replace(hand, **{name: getattr(hand, name) + bad})
    else:
        params = replace(hand.params, **{name: getattr(hand.params, name) + bad})
        broken = replace(hand, params=params)
    with pytest.raises(ValueError, match=f"{name} of track 1 .*NaN or infinity"):
        empty.append(0, 0.0, [replace(hand, track_id=2), broken])
    assert len(empty.rows) == len(empty.frames) == len(empty.tracks) == 0


def test_a_joint_behind_the_camera_has_no_pixel_and_is_taken(
    empty: Recording, hand: TrackedHand
) -> None:
    empty.append(0, 0.0, [replace(hand, uv=np.full_like(hand.uv, np.nan))])
    assert np.isnan(empty.rows["uv"]).all()


def test_wrong_order_side_shape_and_doubles_are_refused(
    empty: Recording, hand: TrackedHand
) -> None:
    empty.append(2, 0.08, [hand])
    for frame, seconds in ((2, 9.0), (3, 0.08), (3, float("nan"))):
        with pytest.raises(ValueError, match=rf"frame {frame} .*(come after|finite)"):
            empty.append(frame, seconds, [])
    with pytest.raises(ValueError, match="changes side to left"):
        empty.append(3, 9.0, [replace(hand, side="left")])
    with pytest.raises(ValueError, match="twice in frame 3"):
        empty.append(3, 9.0, [hand, hand])
    with pytest.raises(ValueError, match=r"700 vertices.*has 778"):
        empty.append(
            3, 9.0, [replace(hand, vertices=hand.vertices[:700], colors=hand.colors[:700])]
        )
    assert len(empty.frames) == 1


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_that_is_none_is_refused(fps: float, studio: Any) -> None:
    with pytest.raises(ValueError, match="fps must be positive"):
        ClipInfo("clip.mp4", studio.camera, fps)


def test_a_left_model_serves_as_well_as_a_right_one(studio: Any) -> None:
    info = ClipInfo("clip.mp4", studio.camera, 25.0)
    left = Recording(info, HandModel.load(side="left"))
    right = Recording(info, HandModel.load())
    for side in ("left", "right"):
        assert (left.models[side].v_template == right.models[side].v_template).all()
