"""A clip's time on the clock of the wall."""

from tracker.live.pacing import Pacer


def test_a_clip_keeps_its_pace_and_waits_for_a_late_reader() -> None:
    pacer = Pacer()
    assert pacer.due_s(0.0, now_s=100.0) == 100.0
    assert pacer.due_s(0.5, now_s=100.2) == 100.5
    assert pacer.due_s(1.0, now_s=103.0) == 103.0
    assert pacer.due_s(1.5, now_s=103.1) == 103.5


def test_a_clip_that_begins_late_in_its_own_time_begins_at_once() -> None:
    assert Pacer().due_s(40.0, now_s=7.0) == 7.0
