"""What a user may ask of `webcam`: each field is a flag, its text is the flag's help."""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from tyro.conf import Positional, arg

from apps.clip_options import OPTIONAL_PORT, CameraOptions, HandOptions, as_flag, check_port, given
from apps.webcam_calibration import DEFAULT_USER
from apps.webcam_view import ViewKind
from tracker.export.formats import parse_formats
from tracker.live.camera_feed import CameraWish
from tracker.live.steadiness import Steadiness, smoothing_of
from tracker.stream.greeting import StreamFacts
from tracker.vision.hand_tracker import HandTrackerConfig
from tracker.vision.network_guide import Mode

_SIZE: Final = re.compile(r"(\d{2,5})x(\d{2,5})")


@dataclass(frozen=True)
class SourceOptions:
    """Where pictures come from."""

    source: Annotated[str, arg(metavar="SOURCE")] = "0"
    """Camera number, /dev/video0, file, folder of images, rtsp:// http:// udp:// address, screen,
    screen:1280x720+0+0, demo (a clip that ships) or synthetic (drawn hands)."""
    size: Annotated[str, arg(metavar="WxH")] = "1280x720"
    """Picture size to ask a camera for."""
    rate: Annotated[float, arg(metavar="FPS")] = 30.0
    """Pictures a second to ask a camera for, or to take of the screen."""
    loop: bool = False
    """Play a file again and again."""
    as_fast_as_possible: bool = False
    """Do not play a file at its own pace; no frame is dropped."""

    @property
    def wish(self) -> CameraWish:
        """What to ask of a camera.

        Raises:
            ValueError: the size is none.
        """
        match = _SIZE.fullmatch(self.size)
        if match is None:
            raise ValueError(f"--size is written like 1280x720, found {self.size}")
        if not 1 <= self.rate <= 1000:
            raise ValueError(f"--rate must lie between 1 and 1000, found {self.rate:g}")
        return CameraWish((int(match[2]), int(match[1])), self.rate)


@dataclass(frozen=True)
class ShowOptions:
    """What is seen and kept."""

    view: ViewKind = "auto"
    """A window, a page in the browser, or none; auto is a window where there is a screen."""
    serve: Annotated[int | None, OPTIONAL_PORT, arg(help_behavior_hint="")] = None
    """Stream the hands (handstream/1, WebSocket); http://127.0.0.1:4263 shows them."""
    record: Annotated[Path | None, given(Path, "FOLDER")] = None
    """Record from the start into this folder; without it the key R records into --out."""
    out: Annotated[Path, arg(metavar="FOLDER")] = Path("out/live")
    """Where recordings and screenshots go that are asked for by key."""
    export: Annotated[str, arg(metavar="LIST")] = "npz,glb,csv,jsonl,bvh"
    """What a recording holds beside its video: npz, glb, obj, ply, csv, jsonl, bvh, usd."""

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats asked for.

        Raises:
            ValueError: one is unknown.
        """
        return parse_formats(self.export)


@dataclass(frozen=True)
class LiveHandOptions:
    """The hands and how they are followed."""

    steadiness: Steadiness = "balanced"
    """Still at rest, or quick in motion: steady lags most, fast trembles most. Nothing is predicted."""
    hand_length_mm: Annotated[float | None, given(float, "MM")] = None
    """Wrist crease to middle fingertip of the flat hand (adults: 165 to 205), if you measured it."""
    user: Annotated[str, arg(metavar="NAME")] = DEFAULT_USER
    """Whose calibrated hand to use, and to save."""
    chessboard: Annotated[str | None, given(str, "9x6")] = None
    """With `calibrate`: the inner corners of a chessboard, which calibrates the camera instead."""
    hand_model: Annotated[Path | None, given(Path, "FILE")] = None
    """Another hand model: your MANO_RIGHT.pkl or an .npz; the open hand is the default."""
    max_hands: Annotated[int, arg(metavar="N")] = 2
    """How many hands are followed at once."""
    landmarks: Literal["full", "lite"] = "full"
    """Landmark model: exact, or twice as fast."""
    mode: Mode = "auto"
    """What hands are made from. auto: fused where the network that ships fits the hand model, else
    landmarks. fused, detected landmarks and the trained network fitted together: most exact.
    landmarks: most frames a second. fast, landmarks and now and then the network: nearly as quick,
    with shape and skin from both. network: the paper's inference, to compare with."""
    network: Annotated[Path | None, given(Path, "FILE")] = None
    """Another trained network, as `python -m train` exports them."""
    threads: Annotated[int | None, given(int, "N")] = None
    """Inference threads; one for each hand if not given, as far as there are cores."""

    @property
    def tracker(self) -> HandTrackerConfig:
        """The tracker's configuration.

        Raises:
            ValueError: a value is out of range.
        """
        if self.threads is not None and not 1 <= self.threads <= 64:
            raise ValueError(f"--threads must lie between 1 and 64, found {self.threads}")
        shared = HandOptions(
            self.hand_length_mm,
            self.hand_model,
            self.max_hands,
            self.landmarks,
            mode=self.mode,
            network=self.network,
        ).tracker
        return replace(
            shared,
            smoothing=smoothing_of(self.steadiness),
            threads=self.threads or default_threads(os.cpu_count() or 1),
        )

    def stream_facts(
        self, timing: Literal["driver", "read_return"], *, calibrated: bool
    ) -> StreamFacts:
        """Return what a stream's clients are told of these choices."""
        return StreamFacts(
            scale_source="calibrated" if calibrated else "assumed",
            t_capture=timing,
            filter={"name": "one_euro", "preset": self.steadiness},
        )


def default_threads(cores: int) -> int:
    """Return one inference thread for each of two hands, as far as there are cores.

    Also beside capture and view on two cores: there, over four pairs of runs, 4 to 11 % more frames than
    with one thread while drawn, 6 to 17 % without.
    """
    return min(cores, 2)


@dataclass(frozen=True)
class WebcamOptions:
    """All of it."""

    source: SourceOptions = field(default_factory=SourceOptions)
    show: ShowOptions = field(default_factory=ShowOptions)
    camera: CameraOptions = field(default_factory=CameraOptions)
    hand: LiveHandOptions = field(default_factory=LiveHandOptions)
    seconds: Annotated[float | None, given(float, "S")] = None
    """Stop by itself after so long."""
    verbose: bool = False
    """Say more, e.g. how a lost camera is tried again."""

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: a value is out of range; the message names the flag.
        """
        self.camera.check()
        check_port(self.show.serve)
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"--seconds must be positive, found {self.seconds:g}")
        try:
            _ = self.show.formats, self.hand.tracker, self.source.wish
        except ValueError as error:
            raise ValueError(as_flag(str(error))) from error


@dataclass(frozen=True)
class WebcamArguments:
    """What the command line says."""

    command: Annotated[
        Literal["run", "doctor", "calibrate"],
        Positional,
        arg(metavar="[doctor|calibrate]", help_behavior_hint=""),
    ] = "run"
    """`doctor` checks camera, graphics, models and ports, and says what to fix; `calibrate` measures
    your hand against --hand-length-mm or a bank card, or the camera against a --chessboard."""
    options: Annotated[WebcamOptions, arg(name="")] = field(default_factory=WebcamOptions)
