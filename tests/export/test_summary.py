"""`summary.json` says what was found, what was assumed and what was written."""

import json
from pathlib import Path
from typing import Any

import pytest

from tracker.export.recording import ClipInfo, Recording
from tracker.export.summary import write_summary
from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_counts_timing_and_files(two_hands: Recording, tmp_path: Path) -> None:
    files = [tmp_path / "hands.npz", tmp_path / "meshes" / "000002_right_1.obj"]
    summary = read(write_summary(two_hands, tmp_path, elapsed_s=4.0, files=files))
    assert summary["frames"] == 60
    assert summary["frames_with_hand"] == 58
    assert summary["states"]["lost"] == 1
    assert sum(summary["states"].values()) == summary["hand_rows"] == 96
    assert summary["processing"] == {"mode": None, "elapsed_s": 4.0, "fps": 15.0}
    assert summary["clip"]["duration_s"] == pytest.approx(60 / 25)
    assert summary["files"] == ["hands.npz", "meshes/000002_right_1.obj"]
    assert [(t["track_id"], t["side"], t["rows"]) for t in summary["tracks"]] == [
        (1, "right", 52),
        (2, "left", 44),
    ]
    assert summary["tracks"][1]["scale"] == pytest.approx(1.07)
    assert summary["camera"]["assumed"] is False
    assert summary["warnings"] == []
    assert set(summary["versions"]) >= {"handloom", "python", "numpy"}


def test_no_hand_and_an_assumed_camera_are_said(tmp_path: Path) -> None:
    camera = Camera.from_fov((48, 64), assumed=True)
    recording = Recording(ClipInfo("clip.mp4", camera, 30.0), HandModel.load())
    summary = read(write_summary(recording, tmp_path, elapsed_s=0.0, warnings=["cut short"]))
    assert summary["warnings"][0] == "cut short"
    assert "assumed to be 60 degrees" in summary["warnings"][1]
    assert "no hand was found" in summary["warnings"][2]
    assert (summary["frames"], summary["hand_rows"], summary["tracks"]) == (0, 0, [])
    assert summary["processing"]["fps"] is None
