"""The tracker's own logic, with hands drawn on frames the real detectors see."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import demo_clip
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.records import Frame, TrackedHand


@pytest.fixture(scope="module")
def tracker() -> HandTracker:
    return HandTracker()


@pytest.fixture(scope="module")
def two_hands() -> list[Frame]:
    """Half a second with both hands in sight."""
    return demo_clip.with_hands(2)[:15]


def run(tracker: HandTracker, frames: list[Frame]) -> list[list[TrackedHand]]:
    tracker.reset()
    return [tracker(frame) for frame in frames]


def without_hand(frame: Frame, seconds_later: float) -> Frame:
    return replace(
        frame, rgb=np.full_like(frame.rgb, 90), timestamp_s=frame.timestamp_s + seconds_later
    )


def test_both_hands_are_found_once_with_their_sides(
    tracker: HandTracker, two_hands: list[Frame]
) -> None:
    for hands in run(tracker, two_hands):
        assert sorted(hand.side for hand in hands) == ["left", "right"]
    assert len({(h.track_id, h.side) for hands in run(tracker, two_hands) for h in hands}) == 2


def test_the_same_frames_give_the_same_hands(tracker: HandTracker, two_hands: list[Frame]) -> None:
    first, second = (run(tracker, two_hands[:5])[-1] for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.vertices, b.vertices)
        assert b.track_id > a.track_id  # a number is never used again


def test_joints_vertices_and_uv_belong_together(
    tracker: HandTracker, two_hands: list[Frame]
) -> None:
    frame = two_hands[0]
    assert frame.camera is not None
    for hand in run(tracker, [frame])[0]:
        np.testing.assert_allclose(hand.uv, frame.camera.project(hand.joints), atol=1e-4)
        tips = np.linalg.norm(hand.vertices[:, None] - hand.joints[[4, 8, 12, 16, 20]], axis=-1)
        assert tips.min(0).max() < 1e-6  # fingertips are vertices
        assert 0 < hand.score <= 1
        assert hand.colors.min() >= 0
        assert hand.colors.max() <= 1


def test_a_hidden_hand_is_predicted_then_lost_then_back_as_itself(
    tracker: HandTracker, two_hands: list[Frame]
) -> None:
    seen = run(tracker, two_hands[:5])[-1]
    last = two_hands[4]
    predicted = tracker(without_hand(last, 0.1))
    assert [h.state for h in predicted] == ["predicted"] * 2
    assert all(p.score < s.score for p, s in zip(predicted, seen, strict=True))
    assert [h.state for h in tracker(without_hand(last, 0.5))] == ["lost"] * 2
    assert tracker(without_hand(last, 0.6)) == []
    back = tracker(replace(two_hands[5], timestamp_s=last.timestamp_s + 1.0))
    assert {(h.track_id, h.side) for h in back} == {(h.track_id, h.side) for h in seen}


def test_a_hand_away_for_long_comes_back_as_a_new_one(
    tracker: HandTracker, two_hands: list[Frame]
) -> None:
    seen = run(tracker, two_hands[:3])[-1]
    for later in (0.5, 3.0):
        tracker(without_hand(two_hands[2], later))
    back = tracker(replace(two_hands[3], timestamp_s=two_hands[2].timestamp_s + 3.5))
    assert {h.track_id for h in back}.isdisjoint({h.track_id for h in seen})


def test_a_photograph_needs_no_warm_up(two_hands: list[Frame]) -> None:
    photos = HandTracker(HandTrackerConfig(static=True))
    first, again = photos(two_hands[0]), photos(two_hands[0])
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.vertices, b.vertices)


def test_warming_up_leaves_no_hand_behind(tracker: HandTracker, two_hands: list[Frame]) -> None:
    before = run(tracker, two_hands[:2])[-1]
    tracker.reset()
    tracker.warmup()
    assert tracker(without_hand(two_hands[0], 0.0)) == []
    after = run(tracker, two_hands[:2])[-1]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a.vertices, b.vertices)


def test_max_hands_is_kept(two_hands: list[Frame]) -> None:
    one = HandTracker(HandTrackerConfig(max_hands=1))
    assert all(len(one(frame)) == 1 for frame in two_hands[:4])


@pytest.mark.parametrize("make", [np.zeros, np.ones])
def test_a_frame_without_hands_gives_an_empty_list(
    tracker: HandTracker, make: Callable[..., np.ndarray]
) -> None:
    tracker.reset()
    assert tracker(Frame(make((120, 160, 3), np.uint8))) == []


def test_a_mirrored_clip_has_the_other_hands(tracker: HandTracker, two_hands: list[Frame]) -> None:
    frame = two_hands[0]
    assert frame.camera is not None
    mirror = Frame(np.ascontiguousarray(frame.rgb[:, ::-1]), frame.camera.mirrored())
    straight = {h.side: h for h in run(tracker, [frame])[0]}
    swapped = {h.side: h for h in run(tracker, [mirror])[0]}
    for side, other in (("left", "right"), ("right", "left")):
        expected = straight[side].joints * np.array([-1, 1, 1], np.float32)
        found = swapped[other].joints
        np.testing.assert_allclose(swapped[other].uv, _mirrored(straight[side].uv, frame), atol=10)
        # The landmark model is not symmetric, and one picture says little about the distance.
        apart = (found - found[0]) - (expected - expected[0])
        assert np.linalg.norm(apart, axis=-1).mean() < 0.01
        assert abs(found[0, 2] / expected[0, 2] - 1) < 0.08


def _mirrored(uv: np.ndarray, frame: Frame) -> np.ndarray:
    return np.stack([frame.rgb.shape[1] - uv[:, 0], uv[:, 1]], -1)


def test_a_known_hand_length_sets_the_size(two_hands: list[Frame]) -> None:
    depth = {}
    for length in (150.0, 200.0):
        tracker = HandTracker(HandTrackerConfig(static=True, hand_length_mm=length))
        depth[length] = np.mean([h.joints[:, 2].mean() for h in tracker(two_hands[0])])
    assert depth[200.0] / depth[150.0] == pytest.approx(200 / 150, rel=0.05)


@pytest.mark.parametrize("wrong", [{"max_hands": 0}, {"hand_length_mm": 5.0}, {"network_every": 0}])
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HandTrackerConfig(**wrong)  # pyright: ignore[reportArgumentType]
