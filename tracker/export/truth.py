"""Compare what was tracked with what is true, where a clip has its truth beside it.

The truth of `clip.mp4` is `clip.truth.npz`, a `hands.npz` of the real hands: rows in state
`tracked` are hands in sight. Rows are matched by frame and side.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from tracker.export.npz import HandsFile, read_npz
from tracker.export.recording import Recording
from tracker.geometry.metrics import pa_mpjpe_mm


@dataclass(frozen=True)
class Score:
    """Errors over all hands that are in sight and were tracked."""

    hands_in_sight: int
    """Hands and frames in the truth."""
    found: int
    """How many of them were tracked, with the right side."""
    pa_mpjpe_mm: float
    """Mean joint error after Procrustes alignment (rotation, translation, scale)."""
    wrist_mm: float
    """Median distance of the wrist from its true place in front of the camera, no alignment."""
    wrist_depth_mm: float
    """The part of it along the line of sight, which one camera cannot measure but must assume."""
    uv_px: float
    """Mean distance of projected joints from the true ones."""

    def __str__(self) -> str:
        if not self.found:
            return f"none of the {self.hands_in_sight} hands in sight was found"
        return (
            f"found {100 * self.found / self.hands_in_sight:.1f} % of {self.hands_in_sight} hands; "
            f"joints {self.pa_mpjpe_mm:.1f} mm (PA-MPJPE), {self.uv_px:.1f} px; "
            f"wrist {self.wrist_mm:.0f} mm from its true place ({self.wrist_depth_mm:.0f} mm in depth)"
        )


def truth_beside(clip: Path) -> Path | None:
    """Return the truth that lies beside a clip, if any."""
    path = clip.with_suffix(".truth.npz")
    return path if path.is_file() else None


def score_against(recording: Recording, path: Path) -> Score:
    """Return how far the recording is from the truth in `path`.

    Raises:
        SourceError: the truth cannot be read.
    """
    truth = read_npz(path)
    rows = recording.rows[recording.rows["state"] == "tracked"]
    in_sight = np.flatnonzero(truth.state == "tracked")
    true_rows, our_rows = _matches(truth, in_sight, rows)
    if not len(true_rows):
        return Score(len(in_sight), 0, np.nan, np.nan, np.nan, np.nan)
    joints = rows["joints"][our_rows].astype(np.float64)
    target = truth.joints[true_rows].astype(np.float64)
    off = joints[:, 0] - target[:, 0]
    sight = target[:, 0] / np.linalg.norm(target[:, 0], axis=-1, keepdims=True)
    uv = np.linalg.norm(rows["uv"][our_rows] - truth.uv[true_rows], axis=-1)
    return Score(
        hands_in_sight=len(in_sight),
        found=len(true_rows),
        pa_mpjpe_mm=pa_mpjpe_mm(joints, target),
        wrist_mm=float(1000 * np.median(np.linalg.norm(off, axis=-1))),
        wrist_depth_mm=float(1000 * np.median(np.abs((off * sight).sum(-1)))),
        uv_px=float(np.nanmean(uv)),
    )


def _matches(
    truth: HandsFile, in_sight: Int[np.ndarray, " t"], rows: np.ndarray
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Pair the rows of truth and recording that are the same side of the same frame."""
    ours = {(int(r["frame"]), str(r["side"])): i for i, r in enumerate(rows)}
    keys = [(int(truth.frame[t]), str(truth.side[t])) for t in in_sight]
    pairs = [(int(t), ours[key]) for t, key in zip(in_sight, keys, strict=True) if key in ours]
    matched = np.array(pairs, np.int64).reshape(-1, 2)
    return matched[:, 0], matched[:, 1]
