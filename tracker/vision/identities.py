"""Which hand is which: tracks, their side, and what becomes of them when they are not seen.

A track keeps its number and its side for life. The side is decided by the sum of the landmark
model's log odds; a track whose sum turns clearly against its side is ended, and the hand starts a
new one, so a stream never shows a hand that changes side.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Float

from tracker.geometry.skeleton import JOINTS
from tracker.vision.reconstructor import HandMemory
from tracker.vision.records import Detection, Landmarks, Roi, Side, TrackedHand
from tracker.vision.texture import TextureFuser

_MAX_LOG_ODDS: Final = 12.0
"""Cap on the sum of log odds, so that old certainty can be overturned in about a second."""
_OVERTURN: Final = 4.0
"""Log odds against a track's side at which it is given up (odds of 55 to 1)."""
_PALM: Final = [
    JOINTS.index(n) for n in ("wrist", "index_mcp", "middle_mcp", "ring_mcp", "pinky_mcp")
]


@dataclass
class Track:
    """One hand over time; the tracker's own memory, never handed out."""

    track_id: int
    side: Side
    roi: Roi
    """Where to look for it next."""
    memory: HandMemory
    texture: TextureFuser
    log_odds_right: float = 0.0
    seen_s: float = -math.inf
    """When it was last seen."""
    frames: int = 0
    """How many frames it was seen in."""
    landmarks: Landmarks | None = None
    """What was seen in this frame, if anything."""
    shown: TrackedHand | None = field(default=None, repr=False)
    """What was last handed out; None once it was given up."""

    def see(self, landmarks: Landmarks) -> None:
        """Take in this frame's landmarks and their vote on the side."""
        self.landmarks = landmarks
        total = self.log_odds_right + log_odds(landmarks.right)
        self.log_odds_right = float(np.clip(total, -_MAX_LOG_ODDS, _MAX_LOG_ODDS))

    @property
    def is_overturned(self) -> bool:
        """Whether the evidence is clearly against the side this track was given."""
        against = -self.log_odds_right if self.side == "right" else self.log_odds_right
        return against > _OVERTURN


def log_odds(probability: float) -> float:
    """Return log(p / (1 - p)), with p kept off 0 and 1 so that one frame weighs at most 3."""
    p = min(max(probability, 0.047), 0.953)
    return math.log(p / (1 - p))


def hand_size_px(uv: Float[np.ndarray, "21 2"]) -> float:
    """Return the longer side of the landmarks' box."""
    return float(max(np.ptp(uv, axis=0).max(), 1.0))


def same_hand(a: Float[np.ndarray, "21 2"], b: Float[np.ndarray, "21 2"]) -> bool:
    """Tell whether two sets of landmarks lie on one hand: palms closer than a third of its size."""
    apart = np.linalg.norm(a[_PALM] - b[_PALM], axis=-1).mean()
    return bool(apart < min(hand_size_px(a), hand_size_px(b)) / 3)


def explains(track: Track, detection: Detection) -> bool:
    """Tell whether a detected palm is the hand that a track sees in this frame."""
    if track.landmarks is None:
        return False
    center = (detection.box_xyxy[:2] + detection.box_xyxy[2:]) / 2
    uv = track.landmarks.uv
    return bool(np.linalg.norm(center - uv[_PALM].mean(0)) < hand_size_px(uv) / 2)


def drop_duplicates(tracks: list[Track]) -> list[Track]:
    """Keep the longest-lived of tracks that have slid onto one hand."""
    kept: list[Track] = []
    for track in sorted(tracks, key=lambda t: -t.frames):
        others = [t.landmarks.uv for t in kept if t.landmarks is not None]
        seen = track.landmarks
        if seen is None or not any(same_hand(seen.uv, uv) for uv in others):
            kept.append(track)
    return sorted(kept, key=lambda t: t.track_id)
