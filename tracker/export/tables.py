"""Joints as text: `joints.csv`, a tidy table, and `joints.jsonl`, one object for each frame.

Both carry the 21 joints in the order of `skeleton.JOINTS`, metres in the OpenCV camera frame, and
their pixels; a joint without a pixel (at or behind the camera) has an empty cell or `null`.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from tracker.export.recording import Recording
from tracker.geometry.skeleton import JOINTS
from tracker.whole_file import make_folder, whole_file

CSV_COLUMNS = (
    *("frame", "timestamp_s", "track_id", "side", "state", "score", "joint"),
    *("x", "y", "z", "u", "v"),
)


def export_csv(recording: Recording, folder: Path) -> list[Path]:
    """Write `joints.csv`: 21 lines for each hand and frame, columns `CSV_COLUMNS`.

    Raises:
        OutputError: it cannot be written.
    """
    path = make_folder(folder) / "joints.csv"
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for row in recording.rows:
            writer.writerows(_csv_lines(row))
    return [path]


def export_jsonl(recording: Recording, folder: Path) -> list[Path]:
    """Write `joints.jsonl`: one object a frame, with an empty `hands` where no hand was seen.

    Raises:
        OutputError: it cannot be written.
    """
    path = make_folder(folder) / "joints.jsonl"
    rows, frames = recording.rows, recording.frames
    starts = np.searchsorted(rows["frame"], frames)
    ends = np.searchsorted(rows["frame"], frames, side="right")
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for frame, seconds, start, end in zip(
            frames, recording.timestamps_s, starts, ends, strict=True
        ):
            hands = [_hand_object(row) for row in rows[start:end]]
            line = {"frame": int(frame), "timestamp_s": round(float(seconds), 6), "hands": hands}
            file.write(json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n")
    return [path]


def _csv_lines(row: np.void) -> list[list[Any]]:
    start = [row["frame"], f"{row['timestamp_s']:.6f}", row["track_id"], row["side"], row["state"]]
    return [
        [*start, f"{row['score']:.4f}", name]
        + [f"{value:.6f}" for value in xyz]
        + [f"{value:.3f}" if np.isfinite(value) else "" for value in uv]
        for name, xyz, uv in zip(JOINTS, row["joints"], row["uv"], strict=True)
    ]


def _hand_object(row: np.void) -> dict[str, Any]:
    pixels = [[float(f"{x:.3f}") if np.isfinite(x) else None for x in uv] for uv in row["uv"]]
    return {
        "track_id": int(row["track_id"]),
        "side": str(row["side"]),
        "state": str(row["state"]),
        "score": float(f"{row['score']:.4f}"),
        "joints": [[float(f"{x:.6f}") for x in xyz] for xyz in row["joints"]],
        "uv": pixels,
    }
