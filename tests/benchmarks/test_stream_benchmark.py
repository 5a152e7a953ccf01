"""What the stream's benchmark watches with: gaps, stale frames and latencies it must see."""

import threading
from pathlib import Path

import numpy as np
import pytest

from benchmarks.stream_reference import BareBroadcast
from benchmarks.stream_subscribers import Job, watch
from benchmarks.stream_windows import fullest_send_queue, publishing, resident_bytes
from tracker.stream.binary import encode_frame
from tracker.stream.records import StreamFrame

FRAME = encode_frame(StreamFrame(0, 0, 0, 0, ()))


def test_the_crowd_counts_frames_and_gaps(capsys):
    """Every tenth number is left out on purpose."""
    calls = 0
    with BareBroadcast(FRAME) as bare:

        def publish() -> None:
            nonlocal calls
            calls += 1
            if calls % 10 == 0:
                bare.skip()
            bare.publish()

        with publishing(publish, hz=200.0):
            seen = watch(Job(bare.url, count=3, seconds=0.5, stalled=({},)))
    assert capsys.readouterr().out.split() == ["ready", "done"]
    assert seen.frames == pytest.approx(300, rel=0.5)
    assert seen.gaps == pytest.approx(seen.frames / 10, abs=9)
    assert 0 < np.median(seen.latencies_ms) < 100
    assert seen.stale[0] > 10  # the reference keeps everything for who does not read


def test_publishing_keeps_the_rate():
    moments = threading.Semaphore(0)
    with publishing(moments.release, hz=100.0):
        for _ in range(20):
            assert moments.acquire(timeout=5)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells these numbers")
def test_the_system_tells_what_is_held():
    assert resident_bytes() > 10**7
    assert fullest_send_queue(1) == 0
