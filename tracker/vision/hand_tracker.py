"""HandTracker: one frame in, hands out. Synchronous; the same frames give the same hands."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Final, Literal, get_args

import numpy as np

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandShape
from tracker.vision.crops import roi_from_landmarks, roi_from_palm
from tracker.vision.engines import Precision
from tracker.vision.engines.choosing import EngineName
from tracker.vision.fit_guided import Guess
from tracker.vision.fitter import FitterConfig
from tracker.vision.identities import Track, drop_duplicates, explains, hand_size_px, same_hand
from tracker.vision.landmarker import Landmarker
from tracker.vision.network_guide import Mode, NetworkChoice, PendingLooks, open_guide
from tracker.vision.palm_detector import PalmDetector
from tracker.vision.reconstructor import HandReconstructor, agreement
from tracker.vision.records import Frame, Landmarks, Reconstruction, Roi, Side, TrackedHand
from tracker.vision.regressor import Look
from tracker.vision.smoothing import SmoothingConfig
from tracker.vision.texture import TextureFuser

_FRAME_S: Final = 1 / 30
"""Time step assumed where time stamps do not advance."""


@dataclass(frozen=True)
class HandTrackerConfig:
    """What a user of the tracker may want to turn; everything else is measured and fixed."""

    static: bool = False
    """Treat every frame as a photograph of its own: no memory, no smoothing."""
    max_hands: int = 2
    """How many hands are followed at once."""
    mode: Mode = "auto"
    """What hands are made from, see `network_guide`: `landmarks`, `network`, `fused` or `fast`; `auto`
    is `fused`, the most exact, where a network for the hand model ships with Handloom, else
    `landmarks`."""
    network: str | None = None
    """File of a trained network; None takes the one that ships with Handloom."""
    network_engine: EngineName = "auto"
    """What runs the network: `auto` is the fastest that starts here."""
    network_every: int = 10
    """With `fast`, the network looks at a hand in every so-manieth frame."""
    hand_model: str | None = None
    """A hand model file; None is the open hand that ships with Handloom."""
    hand_length_mm: float | None = None
    """Wrist to middle fingertip of the flat hand, if known: makes depth metric."""
    hand_shape: HandShape | None = None
    """Shape and scale from a calibration, kept exactly for every hand; `hand_length_mm` then has no
    effect. It belongs to the hand model it was made with."""
    landmark_model: Literal["full", "lite"] = "full"
    """MediaPipe's landmark model: `lite` is twice as fast and a little less exact."""
    min_presence: float = 0.5
    """Probability of a hand below which a region is taken as empty."""
    detect_every: int = 3
    """While one hand is followed and another may come, look for palms every so many frames."""
    hold_s: float = 0.2
    """How long an unseen hand is carried on as `predicted`."""
    remember_s: float = 2.0
    """How long a lost hand keeps its identity in case it comes back."""
    lock_after: int = 60
    """Frames after which shape and scale are taken as known."""
    texture_every: int = 4
    """Gather colour from every so-manieth frame; 0 leaves the hand in one skin tone."""
    smoothing: SmoothingConfig | None = field(default_factory=SmoothingConfig)
    """None hands out the fit of each frame as it is."""
    fitter: FitterConfig = field(default_factory=FitterConfig)
    threads: int = 2
    """Inference threads."""
    precision: Precision = "auto"
    """Of all inference. `auto` is half for detector and landmarks, where the processor has bf16, and f32
    for the network, whose hands would move by a millimetre."""

    def __post_init__(self) -> None:
        if self.network_every < 1:
            raise ValueError(f"network_every must be positive, found {self.network_every}")
        if self.precision not in get_args(Precision):
            allowed = ", ".join(get_args(Precision))
            raise ValueError(f"precision must be one of {allowed}, found {self.precision!r}")
        if not 1 <= self.max_hands <= 16:
            raise ValueError(f"max_hands must lie between 1 and 16, found {self.max_hands}")
        if self.hand_length_mm is not None and not 50 <= self.hand_length_mm <= 300:
            raise ValueError(
                f"hand_length_mm must lie between 50 and 300 mm, found {self.hand_length_mm}"
            )


class HandTracker:
    """Follow hands from frame to frame.

    Example:
        >>> import numpy as np
        >>> tracker = HandTracker()
        >>> tracker(Frame(np.zeros((480, 640, 3), np.uint8)))
        []
    """

    def __init__(self, config: HandTrackerConfig | None = None) -> None:
        self.config = config = config or HandTrackerConfig()
        self.model = HandModel.load(config.hand_model)
        length_m = None if config.hand_length_mm is None else config.hand_length_mm / 1000
        self._reconstruct = HandReconstructor(
            self.model,
            replace(config.fitter, hand_length_m=length_m, shape=config.hand_shape),
            None if config.static else config.smoothing,
            config.lock_after,
            alone=config.static,
        )
        self._detector = PalmDetector(threads=config.threads, precision=config.precision)
        self._landmarker = Landmarker(
            variant=config.landmark_model,
            slots=min(config.max_hands, 4),
            threads=config.threads,
            precision=config.precision,
        )
        self._guide = open_guide(
            NetworkChoice(
                *(config.mode, config.network, config.network_engine, config.network_every),
                *(config.threads, config.precision),
            ),
            self.model,
        )
        faces = self.model.faces.numpy()
        self._faces: dict[Side, np.ndarray] = {
            "right": faces,
            "left": np.ascontiguousarray(faces[:, ::-1]),
        }
        self._next_id = 0
        self.stages_ms: Mapping[str, float] = {}
        """How long the parts of the last call took: landmarks, palms, network where there is one (what
        is waited for), and fit with smoothing, skinning and texture."""
        self._network_s = 0.0
        self.reset()

    @property
    def mode(self) -> Mode:
        """What hands are made from; where the configuration says `auto`, what came of it."""
        return "landmarks" if self._guide is None else self._guide.mode

    def reset(self) -> None:
        """Forget every hand; numbers already given are not used again."""
        self._tracks: list[Track] = []
        self._now_s = -math.inf
        self._frame = 0

    def set_smoothing(self, config: SmoothingConfig | None) -> None:
        """Smooth otherwise from the next frame on; from any thread."""
        self._reconstruct.set_smoothing(config, [track.memory for track in list(self._tracks)])

    def warmup(self) -> None:
        """Get ready now instead of in the first frames: half a minute on a new machine, then a second."""
        camera = Camera.from_fov((480, 640))
        grey = Frame(np.full((*camera.hw, 3), 128, np.uint8))
        hand = self._reconstruct.warmup(camera, self._first_guess(grey, camera))
        texture = TextureFuser(self._faces["right"], len(self.model.v_template))
        texture.add(grey.rgb, hand.vertices, camera, 1.0)

    def _first_guess(self, frame: Frame, camera: Camera) -> Guess | None:
        """Let the network look once: a first look takes longer than all others."""
        if self._guide is None:
            return None
        middle = Roi(np.array(camera.hw[::-1]) / 2, min(camera.hw) / 2, 0.0)
        (look,) = self._guide.regressor.look(frame, camera, [middle], ["right"])
        return Guess(look.params, only_shape=self._guide.mode == "fast")

    def __call__(self, frame: Frame) -> list[TrackedHand]:
        """Return the hands of one frame; a frame without hands gives an empty list."""
        if self.config.static:
            self.reset()
        camera = frame.camera or Camera.from_fov(frame.rgb.shape[:2], assumed=True)
        self._advance(frame.timestamp_s)
        began_s = perf_counter()
        self._follow(frame)
        followed_s = perf_counter()
        self._look_for_more(frame)
        looked_s = perf_counter()
        self._tracks = drop_duplicates(self._tracks)
        self._network_s = 0.0
        looks = self._start_looks(frame, camera)
        # Those that the network looks at come last: it works while the others are fitted.
        order = sorted(self._tracks, key=lambda t: looks is not None and t.track_id in looks.tracks)
        shown = {t.track_id: self._hand_out(t, frame, camera, looks) for t in order}
        hands = [shown[track.track_id] for track in self._tracks]
        network = {} if self._guide is None else {"network": 1000 * self._network_s}
        self.stages_ms = {
            "landmarks": 1000 * (followed_s - began_s),
            "palms": 1000 * (looked_s - followed_s),
            **network,
            "fit": 1000 * (perf_counter() - looked_s - self._network_s),
        }
        self._tracks = [t for t in self._tracks if self._age_s(t) <= self.config.remember_s]
        return [hand for hand in hands if hand is not None]

    def _advance(self, timestamp_s: float) -> None:
        """Move the clock on; a clock that stands still or goes back is taken for one frame."""
        self._frame += 1
        started = self._now_s > -math.inf
        self._now_s = (
            timestamp_s if not started or timestamp_s > self._now_s else self._now_s + _FRAME_S
        )

    def _age_s(self, track: Track) -> float:
        """Return how long ago a hand was seen."""
        return self._now_s - track.seen_s

    def _follow(self, frame: Frame) -> None:
        """Look for every known hand where it was."""
        for track in self._tracks:
            track.landmarks = None
        live = [t for t in self._tracks if self._age_s(t) <= self.config.hold_s]
        found = self._landmarker(frame.rgb, [t.roi for t in live])
        for track, landmarks in zip(live, found, strict=True):
            if landmarks.presence >= self.config.min_presence:
                track.see(landmarks)
        self._tracks = [t for t in self._tracks if not t.is_overturned]

    def _look_for_more(self, frame: Frame) -> None:
        """Run the palm detector while a place is free, and begin or revive tracks."""
        seen = [t for t in self._tracks if t.landmarks is not None]
        free = self.config.max_hands - len(seen)
        if free <= 0 or (seen and self._frame % self.config.detect_every):
            return
        palms = [d for d in self._detector(frame.rgb) if not any(explains(t, d) for t in seen)]
        for roi in [roi_from_palm(palm) for palm in palms[:free]]:
            landmarks = self._settle(frame, roi)
            taken = [t.landmarks.uv for t in self._tracks if t.landmarks is not None]
            if landmarks and not any(same_hand(landmarks.uv, uv) for uv in taken):
                self._admit(landmarks)

    def _settle(self, frame: Frame, roi: Roi) -> Landmarks | None:
        """Look twice into a new region, because a palm outlines its hand only roughly."""
        first = self._landmarker(frame.rgb, [roi])[0]
        if first.presence < self.config.min_presence:
            return None
        second = self._landmarker(frame.rgb, [roi_from_landmarks(first.uv)])[0]
        return second if second.presence >= self.config.min_presence else first

    def _admit(self, landmarks: Landmarks) -> None:
        """Give new landmarks to the remembered hand of their side, or to a new track."""
        side: Side = "right" if landmarks.right >= 0.5 else "left"
        roi = roi_from_landmarks(landmarks.uv)
        away = [t for t in self._tracks if t.landmarks is None and t.side == side]
        if away:
            track = min(away, key=lambda t: float(np.linalg.norm(t.roi.center_uv - roi.center_uv)))
            self._reconstruct.restart(track.memory)
        else:
            track = self._new_track(side, roi)
        track.see(landmarks)

    def _new_track(self, side: Side, roi: Roi) -> Track:
        texture = TextureFuser(self._faces[side], len(self.model.v_template))
        track = Track(self._next_id, side, roi, self._reconstruct.new_memory(), texture)
        self._next_id += 1
        self._tracks.append(track)
        return track

    def _start_looks(self, frame: Frame, camera: Camera) -> PendingLooks | None:
        """Show the network the hands whose turn it is, all at once."""
        if self._guide is None:
            return None
        began_s = perf_counter()
        self._guide.forget([track.track_id for track in self._tracks])
        looks = self._guide.start(frame, camera, self._tracks)
        self._network_s += perf_counter() - began_s
        return looks

    def _look(self, track: Track, looks: PendingLooks | None) -> Look | None:
        """Wait for what the network says of a hand, if it was looked at now."""
        if self._guide is None or looks is None:
            return None
        began_s = perf_counter()
        look = looks.get(track.track_id)
        if look is not None and (seen := self._guide.seen(track.track_id)) is not None:
            track.texture.expect(seen.texture)
        self._network_s += perf_counter() - began_s
        return look

    def _hand_out(
        self, track: Track, frame: Frame, camera: Camera, looks: PendingLooks | None
    ) -> TrackedHand | None:
        """Return what is known of a hand now, or None when it was given up before."""
        if track.landmarks is None:
            return self._carry(track)
        landmarks = track.landmarks
        dt_s = self._age_s(track) if track.frames else _FRAME_S
        hand = self._reconstructed(track, landmarks, camera, dt_s, self._look(track, looks))
        score = landmarks.presence * agreement(hand.reprojection_px, hand_size_px(landmarks.uv))
        if self._texture_is_due(track):
            track.texture.add(frame.rgb, hand.vertices, camera, score)
        track.roi = roi_from_landmarks(landmarks.uv)
        track.seen_s = self._now_s
        track.frames += 1
        track.shown = self._tracked_hand(track, hand, camera, score)
        return track.shown

    def _reconstructed(
        self, track: Track, landmarks: Landmarks, camera: Camera, dt_s: float, look: Look | None
    ) -> Reconstruction:
        """Make the hand from what the mode takes: landmarks, network or both."""
        seen = (track.memory, landmarks, camera, track.side, dt_s)
        if self._guide is None:
            return self._reconstruct(*seen)
        if self._guide.mode == "network" and look is not None:
            return self._reconstruct.follow(look.params, *seen)
        return self._reconstruct(*seen, guess=self._guide.guess(track.track_id, look))

    def _texture_is_due(self, track: Track) -> bool:
        """Return whether to gather colour: at once, then in turns, so that no frame does it twice."""
        every = self.config.texture_every
        return every > 0 and (track.frames == 0 or (track.frames + track.track_id) % every == 0)

    def _tracked_hand(
        self, track: Track, hand: Reconstruction, camera: Camera, score: float
    ) -> TrackedHand:
        return TrackedHand(
            track_id=track.track_id,
            side=track.side,
            state="tracked",
            score=score,
            joints=hand.joints,
            uv=camera.project(hand.joints),
            vertices=hand.vertices,
            faces=self._faces[track.side],
            colors=track.texture.colors,
            params=hand.params,
            timestamp_s=self._now_s,
        )

    def _carry(self, track: Track) -> TrackedHand | None:
        """Show an unseen hand where it was for a moment, then say once that it is lost."""
        if track.shown is None:
            return None
        shown, age_s = track.shown, self._age_s(track)
        if age_s <= self.config.hold_s:
            fading = shown.score * (1 - age_s / (2 * self.config.hold_s))
            return replace(shown, state="predicted", score=fading, timestamp_s=self._now_s)
        track.shown = None
        return replace(shown, state="lost", score=0.0, timestamp_s=self._now_s)
