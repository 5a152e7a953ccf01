"""One person's hands out of a clip: followed from frame to frame, then looked at several times.

Which hand is which comes from the tracker, whose numbers stay with a hand; keypoints with a measured
confidence come from the labeller, as for any other training picture. The tracker's fit of each hand
is kept too: it is the only idea of depth that a clip without labels gives.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import av
import av.error
import numpy as np
from jaxtyping import Float, UInt8

from tracker.geometry.camera import ASSUMED_FOV_DEG, Camera
from tracker.vision.crops import roi_from_landmarks
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.records import Frame, TrackedHand
from train.datasets.image_folder import LEAST_CONFIDENCE
from train.datasets.keypoint_files import HandLabel
from train.datasets.sample import (
    DatasetError,
    Sample,
    SampleError,
    Truth,
    mirrored,
    without_unseen,
)
from train.datasets.video_frames import video_frames
from train.errors import TrainingError
from train.label_hands import HandLabeller
from train.pack_crop import crop_hand
from train.personalise_person import Sighting, choose_person

MOST_FOLLOWED: Final = 1200
"""Frames that the tracker sees at most; of longer clips every second, third ... one."""
MOST_HANDS: Final = 500
"""Hands that are looked at closely, spread over the clip."""
FEWEST_HANDS: Final = 40
"""Hands without which nothing can be learned and measured."""
_MOST_FRAME_HANDS: Final = 4
_SHARPNESS: Final = 2
"""Pixels kept of a hand, in sides of the network's crop along its region."""
_SMALLEST_PX: Final = 48.0
_DEFAULT_FPS: Final = 30.0


@dataclass(frozen=True)
class ReadConfig:
    """How a clip is read."""

    input_px: int
    """Side of the crops that will be cut."""
    fov_deg: float | None = None
    """Angle across the longer side; None assumes one."""
    hand_model: Path | None = None
    """Hand file; None is the open hand."""
    threads: int = 2


@dataclass(frozen=True)
class SeenHand:
    """One hand of one frame."""

    sample: Sample
    """The picture around it, as a right hand; its `truth` is the tracker's fit, not the truth."""
    track_id: int
    side: str
    frame: int
    time_s: float
    betas: Float[np.ndarray, " 10"]
    scale: float


@dataclass
class PersonClip:
    """The hands of one person in a clip, in the order of time: a data set."""

    name: str
    hands: tuple[SeenHand, ...]
    frames: int
    others: str = ""
    """What is said of hands that were left out; empty where there are none."""

    def __len__(self) -> int:
        return len(self.hands)

    def __getitem__(self, index: int) -> Sample:
        """Return one hand as a sample."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has hands 0 to {len(self) - 1}, asked for {index}")
        return self.hands[index].sample

    def part(self, chosen: Sequence[int]) -> "PersonClip":
        """Return some of the hands."""
        return replace(self, hands=tuple(self.hands[i] for i in chosen))


def read_person(
    path: Path,
    config: ReadConfig,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> PersonClip:
    """Find the hands of the person that is seen most.

    Args:
        path: the clip.
        config: how to read it.
        on_progress: is told how many of how many frames are done; of how many may be unknown.

    Raises:
        DatasetError: it is no video.
        TrainingError: it shows no hand, or too few.
    """
    expected, fps = _facts(path)
    reader = _Reader(path.stem, config, expected, fps)
    frames = 0
    for index, rgb in video_frames(path):
        reader.see(index, rgb)
        frames = index + 1
        if on_progress is not None:
            on_progress(frames, expected)
    if not reader.sightings:
        raise TrainingError(
            f"no hand was found in the {frames} frames of {path}; give a clip in which one person's "
            "hand is large, lit and turns slowly"
        )
    chosen = choose_person(reader.sightings)
    kept = [hand for hand in reader.hands if chosen.takes(hand.track_id, hand.frame)]
    if len(kept) < FEWEST_HANDS:
        raise TrainingError(
            f"{path} shows only {len(kept)} clear pictures of a hand, {FEWEST_HANDS} are needed; "
            "film a hand for ten seconds or more, in good light, and turn it slowly"
        )
    return PersonClip(path.stem, tuple(kept), frames, chosen.others)


def held_out_blocks(times_s: Sequence[float]) -> tuple[list[int], list[int]]:
    """Return which pictures to learn from, and which to measure on: every fifth block of time.

    Neighbouring frames are nearly the same picture, so single frames kept aside would measure
    memory. Blocks last one and a half seconds, less in short clips; pictures right beside a block
    that is kept aside are used for neither.
    """
    times = np.asarray(times_s, np.float64)
    length_s = max(float(times.max() - times.min()), 1e-6)
    blocks = int(np.clip(round(length_s / 1.5), 10, 1000))
    place = np.minimum((times - times.min()) / length_s * blocks, blocks - 1e-6)
    block, within = np.floor(place).astype(int) % 5, place % 1
    beside = ((block == 1) & (within > 0.8)) | ((block == 3) & (within < 0.2))
    aside = block == 2
    return np.flatnonzero(~aside & ~beside).tolist(), np.flatnonzero(aside).tolist()


def _facts(path: Path) -> tuple[int | None, float]:
    """Return how many frames a clip says it has, if it does, and its frames a second."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate or 0) or _DEFAULT_FPS
            counted = stream.frames or round(float(container.duration or 0) / av.time_base * fps)
            return counted or None, fps
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise DatasetError(
            f"{path} cannot be read as video ({reason}); check that it plays"
        ) from problem


class _Reader:
    """What is known of the hands after each frame."""

    def __init__(self, name: str, config: ReadConfig, expected: int | None, fps: float) -> None:
        self.sightings: list[Sighting] = []
        self.hands: list[SeenHand] = []
        self._name, self._config, self._fps = name, config, fps
        count = expected or MOST_FOLLOWED
        self._follow_every = math.ceil(count / MOST_FOLLOWED)
        self._look_every = self._follow_every * math.ceil(count / self._follow_every / MOST_HANDS)
        self._labeller = HandLabeller(threads=config.threads)
        self._tracker = HandTracker(
            HandTrackerConfig(
                max_hands=_MOST_FRAME_HANDS,
                mode="landmarks",  # the network must not learn what it says itself
                hand_model=None if config.hand_model is None else str(config.hand_model),
                smoothing=None,
                texture_every=0,
                threads=config.threads,
            )
        )

    def see(self, index: int, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        """Take in a frame."""
        if index % self._follow_every:
            return
        fov_deg = self._config.fov_deg
        camera = Camera.from_fov(
            rgb.shape[:2],
            ASSUMED_FOV_DEG if fov_deg is None else fov_deg,
            assumed=fov_deg is None,
        )
        frame = Frame(rgb, camera, index / self._fps, index)
        tracked = [hand for hand in self._tracker(frame) if hand.state == "tracked"]
        self.sightings += [Sighting(hand.track_id, hand.side, index) for hand in tracked]
        if index % self._look_every == 0:
            self._look_at(frame, camera, tracked)

    def _look_at(self, frame: Frame, camera: Camera, tracked: Sequence[TrackedHand]) -> None:
        flipped = np.ascontiguousarray(frame.rgb[:, ::-1])
        for hand in tracked:
            roi = roi_from_landmarks(hand.uv.astype(np.float64))
            if not np.isfinite(roi.center_uv).all() or roi.size_px < _SMALLEST_PX:
                continue
            label = self._labeller.look(frame.rgb, flipped, roi, f"{self._name}#{frame.index}")
            if label is not None and label.confidence.mean() >= LEAST_CONFIDENCE:
                # A hand that is nearly outside has too few joints to say where it is.
                with contextlib.suppress(SampleError):
                    self.hands.append(self._kept(frame, camera, hand, label))
        # Two hands in every frame, or a clip longer than it says: keep every second moment.
        if len(self.hands) > 2 * MOST_HANDS:
            self._look_every *= 2
            self.hands = [h for h in self.hands if h.frame % self._look_every == 0]

    def _kept(self, frame: Frame, camera: Camera, hand: TrackedHand, label: HandLabel) -> SeenHand:
        whole = Sample(
            frame.rgb,
            camera.K,
            without_unseen(label.uv, label.confidence),
            label.confidence,
            f"{self._name}#{frame.index}",
            Truth(xyz=hand.joints.astype(np.float64)),
            clip=(f"{self._name}:{hand.side}", frame.index),
        )
        part = crop_hand(whole, replace(label, uv=whole.uv), _SHARPNESS * self._config.input_px)
        sample = replace(whole, rgb=part.rgb, K=part.label.K, uv=part.label.uv)
        return SeenHand(
            mirrored(sample) if hand.side == "left" else sample,
            *(hand.track_id, hand.side, frame.index, frame.timestamp_s),
            hand.params.betas,
            hand.params.scale,
        )
