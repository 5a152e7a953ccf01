"""`summary.json`: what was found in a clip, how fast, with what, and what to be wary of."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tracker.export.recording import Recording, Track
from tracker.export.truth import Score
from tracker.export.versions import versions
from tracker.whole_file import make_folder, write_json

_ASSUMED_CAMERA = (
    "the field of view was assumed to be {fov:.0f} degrees, so distances from the camera are only "
    "as good as that guess; give --fov or --intrinsics"
)
_NO_HAND = "no hand was found"


def write_summary(
    recording: Recording,
    folder: Path,
    *,
    elapsed_s: float,
    files: Sequence[Path] = (),
    warnings: Sequence[str] = (),
    score: Score | None = None,
) -> Path:
    """Write `summary.json` and return its path.

    Args:
        recording: the clip.
        folder: where the clip's results lie; `files` are named relative to it.
        elapsed_s: how long tracking took, wall clock.
        files: what was written.
        warnings: sentences for the user; an assumed camera and a clip without a hand add their own.
        score: measured error, for a clip with its truth beside it.

    Raises:
        OutputError: it cannot be written.
    """
    path = make_folder(folder) / "summary.json"
    content = summarise(recording, elapsed_s=elapsed_s, warnings=warnings)
    content["measured_error"] = None if score is None or not score.found else asdict(score)
    content["files"] = [file.relative_to(folder).as_posix() for file in files]
    write_json(path, content)
    return path


def summarise(
    recording: Recording, *, elapsed_s: float, warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the content of `summary.json` but for its list of files."""
    rows, frames = recording.rows, recording.frames
    with_hand = len(np.unique(rows["frame"][rows["state"] != "lost"]))
    return {
        "source": recording.info.source,
        "frames": len(frames),
        "frames_with_hand": with_hand,
        "hand_rows": len(rows),
        "states": dict(Counter(rows["state"].tolist())),
        "tracks": [_track_object(track) for track in recording.tracks],
        "clip": {"fps": recording.info.fps, "duration_s": _duration_s(recording)},
        "processing": {
            "mode": recording.info.mode,
            "elapsed_s": round(elapsed_s, 3),
            "fps": round(len(frames) / elapsed_s, 2) if elapsed_s > 0 else None,
        },
        "camera": _camera_object(recording),
        "hand_model": {
            "id": recording.models["right"].model_id,
            "sha256": recording.models["right"].sha256,
        },
        "warnings": [*warnings, *_own_warnings(recording)],
        "versions": versions(),
    }


def _track_object(track: Track) -> dict[str, Any]:
    rows = track.rows
    return {
        "track_id": track.track_id,
        "side": track.side,
        "rows": len(rows),
        "first_frame": int(rows["frame"][0]),
        "last_frame": int(rows["frame"][-1]),
        "states": dict(Counter(rows["state"].tolist())),
        "median_score": round(float(np.median(rows["score"])), 4),
        "betas": [round(float(x), 4) for x in track.median_betas],
        "scale": round(track.median_scale, 5),
    }


def _camera_object(recording: Recording) -> dict[str, Any]:
    camera = recording.info.camera
    return {
        "K": camera.K.tolist(),
        "hw": list(camera.hw),
        "fov_deg": round(camera.fov_deg, 3),
        "assumed": camera.assumed,
    }


def _duration_s(recording: Recording) -> float:
    """Return the time from the first frame to the end of the last."""
    seconds = recording.timestamps_s
    if not len(seconds):
        return 0.0
    return round(float(seconds[-1] - seconds[0]) + 1 / recording.info.fps, 6)


def _own_warnings(recording: Recording) -> list[str]:
    camera = recording.info.camera
    assumed = [_ASSUMED_CAMERA.format(fov=camera.fov_deg)] if camera.assumed else []
    return assumed + ([] if len(recording.rows) else [_NO_HAND])
