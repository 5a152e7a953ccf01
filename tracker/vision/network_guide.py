"""The network inside the tracker: which file, on which engine, and which hands it looks at when.

Modes of `HandTrackerConfig`:

landmarks   the landmark model and the fit, no network
network     the paper's inference: the hand from the network alone, landmarks only tell where to look
fused       network and landmarks fitted together; with several hands the network looks at each in
            every other frame
fast        the fit every frame, the network now and then for shape, texture and light
auto        the default: `fused` where a network for this hand ships with Handloom, else `landmarks`
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from tracker.errors import ModelFileError
from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.vision.crops import roi_from_landmarks
from tracker.vision.engines import Precision
from tracker.vision.engines.choosing import EngineName, open_engine
from tracker.vision.fit_guided import Guess
from tracker.vision.model_files import NETWORK_FILE, search_folders, shipped_network
from tracker.vision.network import S2HandNetwork
from tracker.vision.network_files import read_network
from tracker.vision.records import Frame, Landmarks, Side
from tracker.vision.regressor import Look, Regressor

Mode = Literal["auto", "landmarks", "network", "fused", "fast"]
_OLDEST: Final = 2
"""Frames after which a look is too old to be fitted with (`fused`): the pose has moved on."""
_MEMORY: Final = 0.8
"""Share of a hand's earlier looks in its shape and texture; the rest is the newest."""
_log = logging.getLogger(__name__)


@runtime_checkable
class Looked(Protocol):
    """What a look needs to know of a track."""

    track_id: int
    side: Side
    frames: int
    landmarks: Landmarks | None


@dataclass(frozen=True)
class NetworkChoice:
    """Which network to take, and how to run it."""

    mode: Mode
    file: str | None
    """None takes the network that ships with Handloom."""
    engine: EngineName
    every: int
    """With `fast`, look at a hand in every so-manieth frame."""
    threads: int
    precision: Precision


class NetworkGuide:
    """Looks at hands for the tracker and remembers what it saw of each."""

    def __init__(self, regressor: Regressor, mode: Mode, every: int) -> None:
        self.regressor = regressor
        self.mode: Mode = mode
        self._every = every
        self._memory: dict[int, SeenHand] = {}
        self._frame = 0
        self._looked: dict[int, int] = {}
        self._late: PendingLooks | None = None

    def start(self, frame: Frame, camera: Camera, tracks: Sequence[Looked]) -> "PendingLooks":
        """Begin to look at the hands whose turn it is now.

        With `fast` nothing of this frame depends on the look at a hand that is known: its answer is
        computed while the frame is finished and drawn, and handed out with the next frame's.
        """
        self._frame += 1
        found = {} if self._late is None else self._late.all()
        self._late = None
        turn = self._whose_turn([track for track in tracks if track.landmarks is not None])
        looks = self._begun(frame, camera, turn)
        if self.mode == "fast" and turn and all(track.frames for track in turn):
            self._late = looks
            return PendingLooks(list(found), lambda: found)
        return PendingLooks([*found, *looks.tracks], lambda: found | looks.all())

    def _begun(self, frame: Frame, camera: Camera, turn: Sequence[Looked]) -> "PendingLooks":
        due = [(track, track.landmarks) for track in turn if track.landmarks is not None]
        rois = [roi_from_landmarks(landmarks.uv) for _, landmarks in due]
        sides: list[Side] = [track.side for track, _ in due]
        fetch = self.regressor.start(frame, camera, rois, sides)
        numbers = [track.track_id for track, _ in due]
        self._looked |= dict.fromkeys(numbers, self._frame)
        return PendingLooks(numbers, lambda: self._remember(numbers, fetch()))

    def _remember(self, numbers: Sequence[int], looks: Sequence[Look]) -> dict[int, Look]:
        for number, look in zip(numbers, looks, strict=True):
            self._memory[number] = SeenHand.after(self._memory.get(number), look)
        return dict(zip(numbers, looks, strict=True))

    def seen(self, track_id: int) -> "SeenHand | None":
        """Return what earlier looks say of a hand, together."""
        return self._memory.get(track_id)

    def guess(self, track_id: int, look: Look | None) -> Guess | None:
        """Return what the fit is told of a hand: all of `look` with `fused`, the shape with `fast`."""
        if self.mode == "fast":
            seen = self._memory.get(track_id)
            return None if seen is None else Guess(seen.params(), only_shape=True)
        if look is not None:
            return Guess(look.params)
        seen = self._memory.get(track_id)
        # Taken up again without a new look it would be a hand of long ago.
        if seen is None or self._age(track_id) >= _OLDEST:
            return None
        return Guess(seen.look.params)

    def forget(self, known: Sequence[int]) -> None:
        """Forget all hands but these."""
        self._memory = {n: seen for n, seen in self._memory.items() if n in known}
        self._looked = {n: frame for n, frame in self._looked.items() if n in known}

    def _whose_turn(self, tracks: Sequence[Looked]) -> list[Looked]:
        """Return the hands to look at now: each as often as the mode wants it, spread over frames."""
        if self.mode == "network":
            return list(tracks)
        if self.mode == "fast":
            return [track for track in tracks if self._is_due(track)]
        due = [track for track in tracks if self._age(track.track_id) >= _OLDEST]
        return due or sorted(tracks, key=lambda track: -self._age(track.track_id))[:1]

    def _age(self, track_id: int) -> int:
        """Return how many frames ago a hand was looked at; large if never."""
        return self._frame - self._looked.get(track_id, -_OLDEST)

    def _is_due(self, track: Looked) -> bool:
        """Return whether to look (`fast`): at once, then in turns, so that no frame has two."""
        return track.frames == 0 or (track.frames + track.track_id) % self._every == 0


class PendingLooks:
    """Looks that may still be computed, by track: the first that is asked for waits for all."""

    def __init__(self, tracks: Sequence[int], fetch: Callable[[], dict[int, Look]]) -> None:
        self.tracks = frozenset(tracks)
        self._fetch = fetch
        self._found: dict[int, Look] | None = None

    def get(self, track_id: int) -> Look | None:
        """Return what the network says of a hand, None where it was not looked at."""
        return self.all()[track_id] if track_id in self.tracks else None

    def all(self) -> dict[int, Look]:
        """Wait for all of them."""
        if self._found is None:
            self._found = self._fetch()
        return self._found


@dataclass(frozen=True)
class SeenHand:
    """What stays of a hand from look to look: shape, texture, light."""

    look: Look
    """The last one."""
    betas: Float[np.ndarray, " 10"]
    log_scale: float
    texture: Float[np.ndarray, "V 3"]

    def params(self) -> HandParams:
        """Return the last look's hand with the shape of all of them."""
        return replace(self.look.params, betas=self.betas, scale=math.exp(self.log_scale))

    @classmethod
    def after(cls, before: "SeenHand | None", look: Look) -> "SeenHand":
        """Return what is known after one more look."""
        betas, log_scale = look.params.betas, float(np.log(look.params.scale))
        if before is None:
            return cls(look, betas, log_scale, look.texture)
        return cls(
            look,
            _MEMORY * before.betas + (1 - _MEMORY) * betas,
            _MEMORY * before.log_scale + (1 - _MEMORY) * log_scale,
            _MEMORY * before.texture + (1 - _MEMORY) * look.texture,
        )


def open_guide(choice: NetworkChoice, hand: HandModel) -> NetworkGuide | None:
    """Return the guide for a mode; None where the landmarks do alone.

    What nobody asked for by name does not keep anybody from starting: where `auto` finds no network,
    a damaged one or one for another hand, it says so in one line of the log and does without.

    Raises:
        ModelFileError: a mode or a file is named, and the network is not there, damaged or of
            another hand; or a named engine does not start.
    """
    if choice.mode == "landmarks":
        return None
    mode: Mode = "fused" if choice.mode == "auto" else choice.mode
    try:
        network = _network(choice, mode, hand)
    except ModelFileError as problem:
        if choice.mode != "auto" or choice.file is not None:
            raise
        _log.warning("hands come from landmarks alone: %s", problem)
        return None
    engine = open_engine(network, choice.engine, threads=choice.threads, precision=choice.precision)
    return NetworkGuide(Regressor(engine, hand), mode, choice.every)


def _network(choice: NetworkChoice, mode: Mode, hand: HandModel) -> S2HandNetwork:
    """Read the network that was named, or the one that ships."""
    file = shipped_network() if choice.file is None else Path(choice.file)
    if file is None:
        raise ModelFileError(
            f"mode {mode!r} needs a trained network and {NETWORK_FILE} was found in none of "
            f"{', '.join(map(str, search_folders()))}; give network=PATH or take mode 'landmarks'"
        )
    return read_network(file, hand)
