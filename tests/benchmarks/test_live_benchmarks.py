"""The live benchmarks measure what they say."""

import mmap
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import live_run
from benchmarks.latency import _growth_ms, _oldest
from benchmarks.live_run import LiveResult, WebcamLike
from benchmarks.soak import growth, open_files, resident_mb


def result(latency_ms: np.ndarray, age_ms: float = 1.0) -> LiveResult:
    captured_s = np.arange(len(latency_ms)) / 30
    published_s = captured_s + latency_ms / 1000
    return LiveResult(captured_s, captured_s + age_ms / 1000, published_s, 0, 1.0, 0)


def test_growth_is_seen_and_noise_is_not(rng: np.random.Generator) -> None:
    still = 12 + rng.normal(0, 1, 300)
    assert abs(_growth_ms(result(still))) < 0.5
    assert _growth_ms(result(still + np.linspace(0, 9, 300))) == pytest.approx(6, abs=0.5)
    assert growth(np.linspace(500, 530, 100)) == pytest.approx(24, abs=1)
    assert growth(500 + np.where(np.arange(100) == 90, 300, 0)) == 0


def test_age_counts_in_frame_times() -> None:
    assert _oldest(result(np.full(9, 12.0), age_ms=25.0), 60.0) == pytest.approx(1.5)


def test_the_process_is_measured() -> None:
    files, megabytes = open_files(), resident_mb()
    # Pages of its own: what an allocator gives may be memory that others have left.
    block = mmap.mmap(-1, 32 << 20)
    np.frombuffer(block, np.uint8)[:] = 1
    with Path(__file__).open():
        assert open_files() == files + 1
    assert resident_mb() - megabytes > 25
    block.close()


def test_a_webcam_gives_its_picture_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    picture = cv2.imencode(".jpg", np.full((48, 64, 3), 99, np.uint8))[1]
    monkeypatch.setattr(live_run, "jpegs", lambda: [picture])
    feed = WebcamLike(50.0)
    got = [feed.read() for _ in range(4)]
    times = [p.captured_s for p in got if p is not None]
    assert len(times) == 4
    assert (np.diff(times) >= 0.0199).all()
    assert times[-1] <= time.monotonic()
