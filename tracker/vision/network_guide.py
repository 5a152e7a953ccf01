"""The network inside the tracker: which file, on which engine, and which hands it looks at when.

Modes of `HandTrackerConfig`:

landmarks   the landmark model and the fit, no network
network     the paper's inference: the hand from the network alone, landmarks only tell where to look
fused       network and landmarks fitted together
fast        the fit every frame, the network now and then for shape, texture and light
auto        `fused` where a network for this hand ships with Handloom, else `landmarks`
"""

import hashlib
import logging
import math
from collections.abc import Sequence
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
from tracker.vision.model_files import manifest, search_folders
from tracker.vision.network_files import read_header, read_network
from tracker.vision.records import Frame, Landmarks, Side
from tracker.vision.regressor import Look, Regressor

Mode = Literal["auto", "landmarks", "network", "fused", "fast"]
DEFAULT_FILE: Final = "network.safetensors"
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
        self.mode = mode
        self._every = every
        self._memory: dict[int, SeenHand] = {}

    def look(self, frame: Frame, camera: Camera, tracks: Sequence[Looked]) -> dict[int, Look]:
        """Return what the network says now of the hands whose turn it is, by track."""
        due = [(t, t.landmarks) for t in tracks if t.landmarks is not None and self._is_due(t)]
        rois = [roi_from_landmarks(landmarks.uv) for _, landmarks in due]
        looks = self.regressor.look(frame, camera, rois, [track.side for track, _ in due])
        found = {track.track_id: look for (track, _), look in zip(due, looks, strict=True)}
        for number, look in found.items():
            self._memory[number] = SeenHand.after(self._memory.get(number), look)
        return found

    def seen(self, track_id: int) -> "SeenHand | None":
        """Return what earlier looks say of a hand, together."""
        return self._memory.get(track_id)

    def guess(self, track_id: int, look: Look | None) -> Guess | None:
        """Return what the fit is told of a hand: all of `look` with `fused`, the shape with `fast`."""
        if self.mode == "fast":
            seen = self._memory.get(track_id)
            return None if seen is None else Guess(seen.params(), only_shape=True)
        return None if look is None else Guess(look.params)

    def forget(self, known: Sequence[int]) -> None:
        """Forget all hands but these."""
        self._memory = {number: self._memory[number] for number in known if number in self._memory}

    def _is_due(self, track: Looked) -> bool:
        """Return whether to look: with `fast` at once, then in turns, so that no frame has two."""
        if self.mode != "fast" or track.frames == 0:
            return True
        return (track.frames + track.track_id) % self._every == 0


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

    Raises:
        ModelFileError: the mode needs a network and there is none, or it is damaged or of another
            hand, or its engine does not start. With `auto` only a named file raises.
    """
    mode, file = choice.mode, None if choice.file is None else Path(choice.file)
    if mode == "landmarks":
        return None
    if file is None:
        file = shipped_network()
    if file is None and mode == "auto":
        return None
    if file is None:
        raise ModelFileError(
            f"mode {mode!r} needs a trained network and {DEFAULT_FILE} was found in none of "
            f"{', '.join(map(str, search_folders()))}; give network=PATH or take mode 'landmarks'"
        )
    if mode == "auto" and choice.file is None and (reason := _unfit(file, hand)):
        _log.warning("hands come from landmarks alone: %s", reason)
        return None
    engine = open_engine(
        read_network(file, hand),
        choice.engine,
        threads=choice.threads,
        precision=choice.precision,
    )
    return NetworkGuide(Regressor(engine, hand), "fused" if mode == "auto" else mode, choice.every)


def shipped_network() -> Path | None:
    """Return the network that ships with Handloom, its content checked; None where there is none.

    Raises:
        ModelFileError: a file of its name is not the one that the manifest lists.
    """
    entry = manifest().get(DEFAULT_FILE)
    for folder in search_folders():
        file = folder / DEFAULT_FILE
        if not file.is_file():
            continue
        # A network that a user put there is his own business; one that is listed has to be whole.
        if entry is not None and hashlib.sha256(file.read_bytes()).hexdigest() != entry["sha256"]:
            raise ModelFileError(
                f"network {str(file)!r} is not the one that weights/manifest.json lists; restore "
                "it, give network=PATH, or take mode 'landmarks'"
            )
        return file
    return None


def _unfit(file: Path, hand: HandModel) -> str:
    """Say why a network is of no use with a hand; empty if it fits."""
    header = read_header(file)
    if (header.model_id, header.sha256) == (hand.model_id, hand.sha256):
        return ""
    return f"the network {file.name} is for the hand {header.model_id}, in use is {hand.model_id}"
