"""`joints.csv` and `joints.jsonl`, read with the standard library."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tracker.export.recording import Recording
from tracker.export.tables import export_csv, export_jsonl
from tracker.geometry.skeleton import JOINTS


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_csv_has_a_line_for_each_joint(two_hands: Recording, tmp_path: Path) -> None:
    lines = read_csv(export_csv(two_hands, tmp_path)[0])
    rows = two_hands.rows
    assert len(lines) == 21 * len(rows)
    assert [line["joint"] for line in lines[:21]] == list(JOINTS)
    for name in ("frame", "track_id", "side", "state"):
        assert [line[name] for line in lines[::21]] == [str(value) for value in rows[name]]
    for name, values in (("xyz", rows["joints"]), ("uv", rows["uv"])):
        found = np.array([[float(line[axis]) for axis in name] for line in lines])
        np.testing.assert_allclose(
            found.reshape(values.shape), values, atol=1e-3 if name == "uv" else 1e-6
        )
    seconds = [float(line["timestamp_s"]) for line in lines[::21]]
    np.testing.assert_allclose(seconds, rows["timestamp_s"], atol=1e-6)


def test_jsonl_has_an_object_for_each_frame(two_hands: Recording, tmp_path: Path) -> None:
    frames = read_jsonl(export_jsonl(two_hands, tmp_path)[0])
    assert [frame["frame"] for frame in frames] == list(range(60))
    assert frames[0] == {"frame": 0, "timestamp_s": 3.0, "hands": []}
    hands = [hand for frame in frames for hand in frame["hands"]]
    rows = two_hands.rows
    for name in ("track_id", "side", "state"):
        assert [hand[name] for hand in hands] == rows[name].tolist()
    np.testing.assert_allclose([hand["joints"] for hand in hands], rows["joints"], atol=1e-6)
    np.testing.assert_allclose([hand["uv"] for hand in hands], rows["uv"], atol=1e-3)
    np.testing.assert_allclose([hand["score"] for hand in hands], rows["score"], atol=1e-4)


def test_a_clip_without_hands_keeps_header_and_frames(no_hands: Recording, tmp_path: Path) -> None:
    text = export_csv(no_hands, tmp_path)[0].read_text()
    assert text.split() == ["frame,timestamp_s,track_id,side,state,score,joint,x,y,z,u,v"]
    assert [f["hands"] for f in read_jsonl(export_jsonl(no_hands, tmp_path)[0])] == [[]] * 5


def test_a_joint_without_a_pixel_is_empty_or_null(studio: Any, tmp_path: Path) -> None:
    hand = studio.hand(studio.actor(1, "right", ()), 0)
    uv = hand.uv.copy()
    uv[4] = np.nan
    recording = studio.record([], 0)
    recording.append(0, 0.0, [replace(hand, uv=uv)])
    line = read_csv(export_csv(recording, tmp_path)[0])[4]
    assert (line["joint"], line["u"], line["v"]) == ("thumb_tip", "", "")
    (frame,) = read_jsonl(export_jsonl(recording, tmp_path)[0])
    assert frame["hands"][0]["uv"][4] == [None, None]
