"""Ctrl-C: once keeps what was tracked, twice stops at once; neither leaves half a file."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tracker.export.npz import read_npz
from tracker.live.sources import open_source
from tracker.stop_request import StopRequest
from tracker.vision.hand_tracker import HandTracker

PROGRAM = Path(__file__).resolve().parents[2] / "apps" / "video_to_mesh.py"
FAST = ("--renderer", "software", "--export", "npz,csv")
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have signals come while a frame is tracked."""

    def schedule(at_frame: int, *numbers: signal.Signals) -> None:
        calls = iter(range(1000))
        track = HandTracker.__call__

        def tracked(self: HandTracker, frame: object) -> list:
            if next(calls) == at_frame:
                for number in numbers:
                    signal.raise_signal(number)
            return track(self, frame)

        monkeypatch.setattr(HandTracker, "__call__", tracked)

    return schedule


@BOTH
def test_the_first_signal_asks_and_the_second_insists(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.made
        signal.raise_signal(number)
        assert stop.made
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_another_thread_is_left_alone() -> None:
    before, made = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with StopRequest() as stop:
            made.append((stop.made, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert made == [(False, before)]


@BOTH
def test_one_signal_finishes_what_was_tracked(
    run: Callable, signals: Callable, clip: Path, tmp_path: Path, number: signal.Signals
) -> None:
    signals(4, number)
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    said = run(clip, other, "--out", tmp_path / "out", *FAST)
    assert said.code == 130
    assert "stopping: writing what was tracked" in said.said
    assert "interrupted: stopped by the user after 5 of 12 frames" in said.said
    assert f"not begun: {other}" in said.said
    folder = tmp_path / "out" / "hands"
    assert sorted(set(read_npz(folder / "hands.npz").frame)) == [0, 1, 2, 3, 4]
    assert len(list(open_source(folder / "overlay.mp4"))) == 5
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["frames"] == 5
    assert any("interrupted" in warning for warning in summary["warnings"])
    assert not (tmp_path / "out" / "other").exists()


@BOTH
def test_two_signals_stop_at_once_and_leave_nothing(
    run: Callable, signals: Callable, clip: Path, tmp_path: Path, number: signal.Signals
) -> None:
    signals(4, number, number)
    said = run(clip, "--out", tmp_path / "out", *FAST)
    assert said.code == 130
    assert said.lines[-1] == "stopped; files that were not finished are not there"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_second_signal_while_files_are_written_leaves_whole_ones(
    run: Callable, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apps.result_folder

    def interrupted(recording: object, folder: Path) -> list[Path]:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return []

    monkeypatch.setitem(apps.result_folder.EXPORTERS, "csv", interrupted)
    assert run(clip, "--out", tmp_path, *FAST).code == 130
    files = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {"overlay.mp4", "contact_sheet.png", "hands.npz"}
    assert len(list(open_source(tmp_path / "hands" / "overlay.mp4"))) == 12


def test_a_real_process_stops_and_its_log_is_plain_text(
    pictures: list[np.ndarray], write_clip: Callable[..., Path], tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "long.mp4", pictures * 40)
    words = [sys.executable, str(PROGRAM), str(clip), "--out", str(tmp_path / "out"), *FAST]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    unfinished = tmp_path / "out" / "long"
    while process.poll() is None and not list(unfinished.glob(".overlay.*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, log = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b""), log
    assert b"interrupted: stopped by the user after" in log
    assert b"\x1b" not in log
    assert b"\r" not in log
    names = {p.name for p in unfinished.iterdir()}
    assert names == {
        *("overlay.mp4", "contact_sheet.png", "hands.npz", "joints.csv", "summary.json"),
    }
    frames = json.loads((unfinished / "summary.json").read_text())["frames"]
    assert 0 < frames < 480
    assert len(list(open_source(unfinished / "overlay.mp4"))) == frames
