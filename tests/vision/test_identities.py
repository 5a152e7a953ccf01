"""Who is who: sides are voted on, tracks never change side, one hand is one track."""

import numpy as np
import pytest

from tracker.vision.identities import (
    Track,
    drop_duplicates,
    explains,
    log_odds,
    same_hand,
)
from tracker.vision.reconstructor import HandMemory
from tracker.vision.records import Detection, Landmarks, Roi
from tracker.vision.texture import TextureFuser

HAND = np.random.default_rng(0).uniform(0, 100, (21, 2))


def track(number: int = 0, side: str = "right", frames: int = 0) -> Track:
    texture = TextureFuser(np.array([[0, 1, 2]]), 3)
    roi = Roi(np.array([50.0, 50.0]), 200.0, 0.0)
    return Track(number, side, roi, HandMemory(None), texture, frames=frames)  # pyright: ignore


def landmarks(right: float = 0.99, shift: float = 0.0) -> Landmarks:
    return Landmarks(HAND + shift, np.zeros((21, 3)), 0.99, right)


def test_one_wrong_vote_does_not_overturn_a_side() -> None:
    hand = track()
    for right in (0.99, 0.99, 0.01, 0.99):
        hand.see(landmarks(right))
    assert not hand.is_overturned


def test_a_side_that_was_wrong_from_the_start_is_overturned_quickly() -> None:
    hand = track(side="left")
    hand.see(landmarks(0.45))
    votes = 0
    while not hand.is_overturned:
        hand.see(landmarks(0.98))
        votes += 1
    assert 1 < votes <= 3


def test_long_certainty_gives_way_within_a_second() -> None:
    hand = track()
    for _ in range(1000):
        hand.see(landmarks(0.99))
    for _ in range(4):
        hand.see(landmarks(0.01))
    assert not hand.is_overturned
    for _ in range(26):
        hand.see(landmarks(0.01))
    assert hand.is_overturned


@pytest.mark.parametrize("p", [0.0, 1e-9, 0.3, 0.5, 0.7, 1.0])
def test_log_odds_are_odd_and_bounded(p: float) -> None:
    assert log_odds(p) == pytest.approx(-log_odds(1 - p))
    assert abs(log_odds(p)) < 3.1


def test_hands_side_by_side_are_two() -> None:
    assert same_hand(HAND, HAND + 5)
    assert not same_hand(HAND, HAND + 60)


def test_the_longer_lived_of_two_tracks_on_one_hand_stays() -> None:
    old, young, other = track(3, frames=50), track(1, frames=2), track(2, frames=1)
    old.see(landmarks())
    young.see(landmarks(shift=4.0))
    other.see(landmarks(shift=200.0))
    assert [t.track_id for t in drop_duplicates([young, other, old])] == [2, 3]


def test_tracks_not_seen_in_this_frame_are_kept() -> None:
    seen, unseen = track(0, frames=9), track(1)
    seen.see(landmarks())
    assert len(drop_duplicates([seen, unseen])) == 2


def test_a_palm_on_a_followed_hand_is_explained() -> None:
    hand = track()
    palm = Detection(np.array([30.0, 30.0, 70.0, 70.0]), np.zeros((7, 2)), 0.9)
    assert not explains(hand, palm)  # not seen in this frame: the palm may bring it back
    hand.see(landmarks())
    assert explains(hand, palm)
    far = Detection(palm.box_xyxy + 300, np.zeros((7, 2)), 0.9)
    assert not explains(hand, far)
