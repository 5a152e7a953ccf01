"""What is kept of a clip while it plays: one small row for each hand and frame.

Every file is made from a `Recording`. Vertices are not kept: they follow from a row's parameters,
so an hour of two hands takes 0.2 GB instead of 2 GB and `vertices` skins them again, in blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel, PosedHand
from tracker.vision.records import TrackedHand

Side = Literal["left", "right"]

ROW: Final = np.dtype(
    [
        ("frame", np.int64),
        ("timestamp_s", np.float64),
        ("track_id", np.int64),
        ("side", "U5"),
        ("state", "U9"),
        ("score", np.float32),
        ("joints", np.float32, (21, 3)),
        ("uv", np.float32, (21, 2)),
        ("global_orient", np.float32, (3,)),
        ("hand_pose", np.float32, (15, 3)),
        ("betas", np.float32, (10,)),
        ("transl", np.float32, (3,)),
        ("scale", np.float32),
    ]
)
"""One hand in one frame; metres, camera frame, frame pixels. A `uv` is NaN where there is no pixel."""

_MUST_BE_FINITE: Final = tuple(
    name for name in ROW.names or () if ROW[name].base.kind == "f" and name != "uv"
)
_BLOCK: Final = 256  # rows skinned at once: about 10 MB of vertices with their intermediate arrays


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip before its first frame."""

    source: str
    """The file, folder or camera it came from, as the user named it."""
    camera: Camera
    fps: float
    """Nominal frames per second; the rows' timestamps are the truth."""
    mode: str | None = None
    """What the tracker made hands from (see `tracker.vision.network_guide`), where it is known."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps must be positive and finite, found {self.fps}")


@dataclass(frozen=True)
class Track:
    """All rows of one hand, in order of time."""

    track_id: int
    side: Side
    model: HandModel
    rows: np.ndarray
    """(N,) of `ROW`, N >= 1."""
    colors: Float[np.ndarray, "V 3"]
    """The last, and so the most complete, sRGB colours in [0, 1]."""

    @property
    def name(self) -> str:
        """How the hand is called in files, e.g. `hand_right_1`."""
        return f"hand_{self.side}_{self.track_id}"

    def at(
        self, frames: Int[np.ndarray, " m"]
    ) -> tuple[Int[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
        """Return for each frame the row to show there, and whether the hand is there to be seen.

        A gap holds the last row before it; frames before the first row hold the first one.
        """
        index = np.searchsorted(self.rows["frame"], frames, side="right") - 1
        held = self.rows[index.clip(0)]
        return index.clip(0), (held["frame"] == frames) & (held["state"] != "lost")

    def visibility(
        self, frames: Int[np.ndarray, " m"]
    ) -> tuple[Int[np.ndarray, " k"], Bool[np.ndarray, " k"]]:
        """Return where in `frames` the hand appears or vanishes, the start included, and which."""
        _, seen = self.at(frames)
        changes = np.flatnonzero(np.diff(seen, prepend=~seen[:1]))
        return changes, seen[changes]

    @property
    def linear_colors(self) -> Float[np.ndarray, "V 3"]:
        """The colours as linear light (IEC 61966-2-1), which glTF and USD hold."""
        srgb = self.colors.clip(0, 1)
        return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)

    @cached_property
    def median_betas(self) -> Float[np.ndarray, " 10"]:
        """The hand's one shape, where a file can carry only one."""
        return np.median(self.rows["betas"], axis=0)

    @cached_property
    def median_scale(self) -> float:
        """The hand's one size, where a file can carry only one."""
        return float(np.median(self.rows["scale"]))


class Recording:
    """The hands of a clip, appended frame by frame; complete and exportable at any moment.

    Args:
        info: the clip and its camera.
        model: the hand the tracker fitted, of either side.
    """

    def __init__(self, info: ClipInfo, model: HandModel) -> None:
        self.info = info
        model = model.to("cpu", torch.float32)
        other = model.mirrored()
        self.models: dict[Side, HandModel] = {model.side: model, other.side: other}
        self._rows = np.zeros(64, ROW)
        self._row_count = 0
        self._frames: list[int] = []
        self._timestamps_s: list[float] = []
        self._track_sides: dict[int, Side] = {}
        self._track_colors: dict[int, np.ndarray] = {}

    def append(self, frame_index: int, timestamp_s: float, hands: Sequence[TrackedHand]) -> None:
        """Add one frame, with or without hands; a refused frame leaves the recording as it was.

        Raises:
            ValueError: frames or timestamps do not increase, a hand holds NaN or infinity, has
                another vertex count than the model, changes side, or appears twice.
        """
        self._check_order(frame_index, timestamp_s)
        rows = np.zeros(len(hands), ROW)
        for row, hand in zip(rows, hands, strict=True):
            self._check_hand(hand)
            _fill(row, frame_index, timestamp_s, hand)
        if len({hand.track_id for hand in hands}) < len(hands):
            raise ValueError(f"a track appears twice in frame {frame_index}")
        self._store(rows)
        self._frames.append(frame_index)
        self._timestamps_s.append(timestamp_s)
        for hand in hands:
            self._track_sides[hand.track_id] = hand.side
            self._track_colors[hand.track_id] = hand.colors.astype(np.float32)

    def __len__(self) -> int:
        """Return how many frames there are."""
        return len(self._frames)

    @property
    def rows(self) -> np.ndarray:
        """(N,) of `ROW`: every hand of every frame, in the order they came."""
        rows = self._rows[: self._row_count]
        rows.flags.writeable = False
        return rows

    @property
    def frames(self) -> Int[np.ndarray, " m"]:
        """Index of every frame of the clip, those without a hand included."""
        return np.array(self._frames, np.int64)

    @property
    def timestamps_s(self) -> Float[np.ndarray, " m"]:
        """When each of `frames` was taken, seconds on the source's own clock."""
        return np.array(self._timestamps_s, np.float64)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The hands, in order of their `track_id`."""
        rows = self.rows
        return tuple(
            Track(i, side, self.models[side], rows[rows["track_id"] == i], self._track_colors[i])
            for i, side in sorted(self._track_sides.items())
        )

    def _check_order(self, frame_index: int, timestamp_s: float) -> None:
        if not np.isfinite(timestamp_s):
            raise ValueError(f"frame {frame_index} has timestamp {timestamp_s}; it must be finite")
        if self._frames and not (
            frame_index > self._frames[-1] and timestamp_s > self._timestamps_s[-1]
        ):
            raise ValueError(
                f"frame {frame_index} at {timestamp_s} s does not come after frame "
                f"{self._frames[-1]} at {self._timestamps_s[-1]} s"
            )

    def _check_hand(self, hand: TrackedHand) -> None:
        expected = len(self.models["right"].v_template)
        if len(hand.vertices) != expected or len(hand.colors) != expected:
            raise ValueError(
                f"track {hand.track_id} has {len(hand.vertices)} vertices and {len(hand.colors)} "
                f"colours, but the recording's hand model has {expected} vertices"
            )
        if self._track_sides.get(hand.track_id, hand.side) != hand.side:
            raise ValueError(f"track {hand.track_id} changes side to {hand.side}")
        if not np.isfinite(hand.colors).all():
            raise ValueError(f"colors of track {hand.track_id} hold NaN or infinity")

    def _store(self, rows: np.ndarray) -> None:
        needed = self._row_count + len(rows)
        if needed > len(self._rows):
            grown = np.zeros(max(needed, 2 * len(self._rows)), ROW)
            grown[: self._row_count] = self.rows
            self._rows = grown
        self._rows[self._row_count : needed] = rows
        self._row_count = needed


def _fill(row: np.void, frame_index: int, timestamp_s: float, hand: TrackedHand) -> None:
    row["frame"], row["timestamp_s"] = frame_index, timestamp_s
    for name in ("track_id", "side", "state", "score", "joints", "uv"):
        row[name] = getattr(hand, name)
    for name in ("global_orient", "hand_pose", "betas", "transl", "scale"):
        row[name] = getattr(hand.params, name)
    for name in _MUST_BE_FINITE:
        if not np.isfinite(row[name]).all():
            raise ValueError(
                f"{name} of track {hand.track_id} in frame {frame_index} holds NaN or infinity"
            )


def posed(model: HandModel, rows: np.ndarray) -> PosedHand:
    """Return the rows' hands, shaped and posed but not skinned; all rows are of the model's side."""
    tensor = {
        name: torch.from_numpy(np.ascontiguousarray(rows[name]))
        for name in ("betas", "global_orient", "hand_pose", "transl", "scale")
    }
    shaped = model.with_shape(tensor["betas"])
    return shaped.with_pose(
        tensor["global_orient"], tensor["hand_pose"], tensor["transl"], tensor["scale"]
    )


def blocks(rows: np.ndarray) -> list[np.ndarray]:
    """Cut rows into blocks small enough to skin at once."""
    return [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]


def skin(models: dict[Side, HandModel], rows: np.ndarray) -> Float[np.ndarray, "n V 3"]:
    """Return the vertices of one block of rows, of whichever side, in metres."""
    vertices = np.zeros((len(rows), *models["right"].v_template.shape), np.float32)
    for side, model in models.items():
        mask = rows["side"] == side
        if mask.any():
            vertices[mask] = posed(model, rows[mask]).skin().vertices.numpy()
    return vertices
