"""Recordings in the background: whole on any end, bounded, honest about what they lack."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import apps.result_folder
import apps.webcam_recorder
from apps.webcam_recorder import LiveRecorder, RecordingPlan
from apps.webcam_recorders import RecorderSwitch, report_line
from tests.live.live_fakes import camera_of, hand
from tracker.errors import OutputError
from tracker.export.npz import read_npz
from tracker.export.video import VideoWriter
from tracker.geometry.hand_model import HandModel
from tracker.live.records import TrackedFrame
from tracker.live.sources import open_source
from tracker.vision.records import Frame


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.load()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def plan(folder: Path, **how: object) -> RecordingPlan:
    return RecordingPlan(folder, ("npz", "csv"), "test", 30.0, **how)  # type: ignore[arg-type]


def frame(number: int, *, hw: tuple[int, int] = (48, 64), first: int = 100) -> TrackedFrame:
    rgb = np.full((*hw, 3), 5 * number % 250, np.uint8)
    camera = camera_of(hw)
    picture = Frame(rgb, camera, (first + number) / 30, first + number)
    at_s = time.monotonic()
    return TrackedFrame(picture, camera, (hand(7),), at_s, at_s, at_s)


def test_a_recording_has_the_files_of_the_clip_program(tmp_path: Path, model: HandModel) -> None:
    recorder = LiveRecorder(plan(tmp_path / "one", patient=True), model)
    for n in range(20):
        recorder.tracked(frame(n))
    report = recorder.close()
    assert (report.frames, report.left_out, report.problems) == (20, 0, ())
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"overlay.mp4", "contact_sheet.png", "hands.npz", "joints.csv", "summary.json"}
    assert {path.name for path in report.files} == names
    hands = read_npz(tmp_path / "one" / "hands.npz")
    assert hands.frame.tolist() == list(range(20))  # by the recording's own numbers
    assert set(hands.track_id) == {0}
    frames = list(open_source(tmp_path / "one" / "overlay.mp4"))
    assert len(frames) == 20
    assert frames[0].timestamp_s == 0.0
    assert frames[-1].timestamp_s == pytest.approx(19 / 30, abs=0.002)


def test_frames_the_camera_dropped_are_a_gap(tmp_path: Path, model: HandModel) -> None:
    recorder = LiveRecorder(plan(tmp_path / "one", overlay=False), model)
    for n in (0, 1, 5, 6):
        recorder.tracked(frame(n))
    recorder.close()
    assert read_npz(tmp_path / "one" / "hands.npz").frame.tolist() == [0, 1, 5, 6]
    assert not (tmp_path / "one" / "overlay.mp4").exists()


def test_a_slow_disk_costs_pictures_and_no_hands_and_no_time(
    tmp_path: Path, model: HandModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = VideoWriter.add

    def slow(self: VideoWriter, rgb: np.ndarray, timestamp_s: float) -> None:
        time.sleep(0.03)
        add(self, rgb, timestamp_s)

    monkeypatch.setattr(VideoWriter, "add", slow)
    recorder = LiveRecorder(plan(tmp_path / "one"), model)
    began_s = time.monotonic()
    for n in range(60):
        recorder.tracked(frame(n))
    took_s = time.monotonic() - began_s
    report = recorder.close()
    assert took_s < 1.0
    assert report.frames == 60
    assert 30 < report.left_out < 60
    written = len(list(open_source(tmp_path / "one" / "overlay.mp4")))
    assert written == 60 - report.left_out
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    assert any(f"lacks {report.left_out} pictures" in said for said in summary["warnings"])
    assert "not in the video" in report_line(report)


def test_a_full_disk_ends_the_recording_and_what_is_there_plays(
    tmp_path: Path, model: HandModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, calls = VideoWriter.add, iter(range(10_000))

    def full(self: VideoWriter, rgb: np.ndarray, timestamp_s: float) -> None:
        if next(calls) >= 75:
            raise OutputError("cannot write overlay.mp4: the disk is full")
        add(self, rgb, timestamp_s)

    monkeypatch.setattr(VideoWriter, "add", full)
    recorder = LiveRecorder(plan(tmp_path / "one", patient=True), model)
    numbers = iter(range(10_000))
    while recorder.is_recording:
        recorder.tracked(frame(next(numbers)))
    assert recorder.problem == "cannot write overlay.mp4: the disk is full"
    report = recorder.close()
    assert report.problems == ("cannot write overlay.mp4: the disk is full",)
    assert 30 <= len(list(open_source(tmp_path / "one" / "overlay.mp4"))) <= 75
    assert len(read_npz(tmp_path / "one" / "hands.npz").frame) == report.frames >= 75


def test_each_format_stands_alone(
    tmp_path: Path, model: HandModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> list[Path]:
        raise OutputError("cannot write hands.npz: the disk is full")

    monkeypatch.setitem(apps.result_folder.EXPORTERS, "npz", full)
    recorder = LiveRecorder(plan(tmp_path / "one", overlay=False), model)
    recorder.tracked(frame(0))
    report = recorder.close()
    assert report.problems == ("cannot write hands.npz: the disk is full",)
    assert {path.name for path in report.files} == {"joints.csv", "summary.json"}


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, model: HandModel) -> None:
    (tmp_path / "file").write_text("in the way")
    recorder = LiveRecorder(plan(tmp_path / "file" / "one"), model)
    report = recorder.close()
    assert "cannot write" in report.problems[0]
    assert report.files == ()


def test_no_frame_leaves_no_folder(tmp_path: Path, model: HandModel) -> None:
    report = LiveRecorder(plan(tmp_path / "one"), model).close()
    assert report.problems == ("no frame came, so there is nothing to keep",)
    assert not (tmp_path / "one").exists()


def test_it_ends_by_itself_before_memory_does(
    tmp_path: Path, model: HandModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps.webcam_recorder, "MAX_FRAMES", 10)
    recorder = LiveRecorder(plan(tmp_path / "one", overlay=False), model)
    for n in range(30):
        recorder.tracked(frame(n))
    assert not recorder.is_recording
    assert recorder.close().frames == 10


def test_sizes_may_change(tmp_path: Path, model: HandModel) -> None:
    recorder = LiveRecorder(plan(tmp_path / "one", patient=True), model)
    recorder.tracked(frame(0))
    recorder.tracked(frame(1, hw=(96, 96)))
    recorder.close()
    assert [f.rgb.shape for f in open_source(tmp_path / "one" / "overlay.mp4")] == [(48, 64, 3)] * 2
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    assert any("frames are of 2 sizes" in said for said in summary["warnings"])


class Model:
    """As much of a tracker as a recording needs."""

    def __init__(self, model: HandModel) -> None:
        self.model = model


def test_a_key_begins_and_ends_recordings(tmp_path: Path, model: HandModel) -> None:
    folders = (tmp_path / f"take{n}" for n in range(9))
    switch = RecorderSwitch(lambda: plan(next(folders), overlay=False), Model(model))  # type: ignore[arg-type]
    switch.tracked(frame(0))
    assert not switch.is_recording
    for n in (1, 5):
        switch.toggle()
        switch.tracked(frame(n))
        switch.toggle()
    assert not switch.is_recording
    deadline_s = time.monotonic() + 20
    reports = []
    while len(reports) < 2 and time.monotonic() < deadline_s:
        reports += switch.reports()
    assert sorted((r.folder.name, r.frames) for r in reports) == [("take0", 1), ("take1", 1)]
    switch.toggle()
    switch.tracked(frame(9))
    assert [r.folder.name for r in switch.close()] == ["take2"]
