"""Rates and latencies are those of the last seconds, measured."""

import numpy as np
import pytest

from tests.live.live_fakes import camera_of
from tracker.live.meter import LiveMeter, percentiles
from tracker.live.records import TrackedFrame
from tracker.vision.records import Frame


def frame(captured_s: float, dropped: int = 0, fit_ms: float = 2.0) -> TrackedFrame:
    picture = Frame(np.zeros((16, 16, 3), np.uint8))
    camera = camera_of((16, 16))
    times_s = (captured_s, captured_s + 0.002, captured_s + 0.010)
    return TrackedFrame(picture, camera, (), *times_s, dropped, {"fit": fit_ms})


def test_rates_and_percentiles() -> None:
    meter = LiveMeter(window_s=10.0)
    for n in range(100):
        late_s = 0.050 if n % 10 == 9 else 0.010
        tracked = frame(n / 30, dropped=n // 2)
        meter.tracked(tracked, tracked.captured_s + late_s)
        if n % 2:
            meter.shown(tracked, tracked.captured_s + 0.030)
    facts = meter.facts(100 / 30)
    assert facts.fps == pytest.approx(30, rel=0.02)
    assert facts.shown_fps == pytest.approx(15, rel=0.02)
    assert facts.to_publish is not None
    assert facts.to_screen is not None
    assert (round(facts.to_publish.p50), round(facts.to_publish.p95)) == (10, 50)
    assert facts.to_screen.p95 == pytest.approx(30)
    assert str(facts.to_publish) == "10 / 50 ms"
    assert facts.dropped == 49
    assert facts.dropped_share == pytest.approx(1 / 3, abs=0.01)
    assert facts.stages_ms == pytest.approx({"wait": 2.0, "fit": 2.0})


def test_what_is_long_ago_does_not_count() -> None:
    meter = LiveMeter(window_s=1.0)
    for n in range(60):
        meter.tracked(frame(n / 30, fit_ms=100.0 if n < 30 else 1.0), n / 30 + 0.01)
    assert meter.facts(2.0).stages_ms["fit"] == 1.0
    later = meter.facts(60.0)
    assert (later.fps, later.to_publish, later.to_screen, later.stages_ms) == (0.0, None, None, {})


def test_nothing_measured_is_nothing_said() -> None:
    assert percentiles([]) is None
    assert LiveMeter().facts(0.0).fps == 0.0
