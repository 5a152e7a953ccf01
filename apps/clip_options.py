"""What a user may ask of `video_to_mesh`: each field is a flag, its text is the flag's help."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from tracker.export.formats import parse_formats
from tracker.stream.greeting import StreamFacts
from tracker.stream.protocol import DEFAULT_PORT
from tracker.view.renderer import RendererKind
from tracker.vision.hand_tracker import HandTrackerConfig
from tracker.vision.network_guide import Mode
from tracker.vision.smoothing import SmoothingConfig


def given(kind: type[float] | type[int] | type[str] | type[Path], metavar: str) -> object:
    """Describe a flag that has no default value."""
    return arg(constructor=kind, metavar=metavar, help_behavior_hint="")


def _port(words: list[str]) -> int:
    if not words:
        return DEFAULT_PORT
    (word, *more) = words
    if more or not word.isdecimal():
        raise ValueError(f"expected a port, found {' '.join(words)}; name the clips before --serve")
    return int(word)


OPTIONAL_PORT: Final = PrimitiveConstructorSpec[int | None](
    nargs="*",
    metavar="[PORT]",
    instance_from_str=_port,
    is_instance=lambda value: value is None or isinstance(value, int),
    str_from_instance=lambda port: [] if port is None else [str(port)],
)
"""Describes a flag that may stand alone or with a port."""


def check_port(port: int | None) -> None:
    """Refuse what is no port.

    Raises:
        ValueError: it lies outside of 0 to 65535.
    """
    if port is not None and not 0 <= port <= 65535:
        raise ValueError(f"--serve must lie between 0 and 65535, found {port}")


@dataclass(frozen=True)
class OutputOptions:
    """Where results go and what they are."""

    out: Annotated[Path, arg(metavar="FOLDER")] = Path("out")
    """Folder for the results; each clip gets one of its own in it."""
    export: Annotated[str, arg(metavar="LIST")] = "npz,glb,ply,csv,jsonl,bvh"
    """Formats, comma-separated: npz, glb, obj, ply, csv, jsonl, bvh, usd."""

    serve: Annotated[int | None, OPTIONAL_PORT, arg(help_behavior_hint="")] = None
    """Stream the hands while tracking, at the clip's pace; http://127.0.0.1:4263 shows them."""

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats asked for."""
        return parse_formats(self.export)


@dataclass(frozen=True)
class PictureOptions:
    """The overlay video and the contact sheet."""

    overlay: bool = True
    """Write overlay.mp4 and contact_sheet.png."""
    side_by_side: bool = False
    """Show frame, overlay and a view from the side in one picture."""
    skeleton: bool = False
    """Also draw the 21 joints and their bones."""
    opacity: Annotated[float, arg(metavar="0..1")] = 0.9
    """How much the drawn mesh covers of the frame."""
    renderer: RendererKind = "auto"
    """What draws: OpenGL through pyrender, or the processor; auto takes what works here."""


@dataclass(frozen=True)
class CameraOptions:
    """What is known of the camera; distances are only as good as this."""

    fov: Annotated[float | None, given(float, "DEGREES")] = None
    """Angle across the longer image side, 60 if not given; phones and webcams have 60 to 80."""
    intrinsics: Annotated[Path | None, given(Path, "FILE")] = None
    """A calibrated camera instead: JSON with K and hw, or a text file with K's nine numbers."""
    fps: Annotated[float | None, given(float, "N")] = None
    """Frames per second of a folder of images, 30 if not given."""

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: a value is out of range; the message names the flag.
        """
        if self.fov is not None and not 5 <= self.fov <= 160:
            raise ValueError(f"--fov must lie between 5 and 160 degrees, found {self.fov}")
        if self.fov is not None and self.intrinsics is not None:
            raise ValueError("--fov and --intrinsics both describe the camera; give one of them")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ValueError(f"--fps must lie between 0 and 1000, found {self.fps}")


@dataclass(frozen=True)
class HandOptions:
    """The hands and how they are followed."""

    hand_length_mm: Annotated[float | None, given(float, "MM")] = None
    """Wrist crease to middle fingertip of the flat hand (adults: 165 to 205), if you measured it."""
    hand_model: Annotated[Path | None, given(Path, "FILE")] = None
    """Another hand model: your MANO_RIGHT.pkl or an .npz; the open hand is the default."""
    max_hands: Annotated[int, arg(metavar="N")] = 2
    """How many hands are followed at once."""
    landmarks: Literal["full", "lite"] = "full"
    """Landmark model: exact, or twice as fast."""
    static: bool = False
    """Take every frame for a photograph of its own: no memory, no smoothing."""
    smooth: bool = True
    """Steady the hands over time."""
    mode: Mode = "auto"
    """What hands are made from. auto: fused where the network that ships fits the hand model, else
    landmarks. fused, detected landmarks and the trained network fitted together: most exact.
    landmarks: most frames a second. fast, landmarks and now and then the network: nearly as quick,
    with shape and skin from both. network: the paper's inference, to compare with."""
    network: Annotated[Path | None, given(Path, "FILE")] = None
    """Another trained network, as `python -m train` exports them."""

    @property
    def stream_facts(self) -> StreamFacts:
        """What a stream's clients are told of these choices."""
        smoothed = self.smooth and not self.static
        return StreamFacts(
            scale_source="assumed" if self.hand_length_mm is None else "calibrated",
            filter={"name": "one_euro" if smoothed else "none"},
        )

    @property
    def tracker(self) -> HandTrackerConfig:
        """The tracker's configuration."""
        return HandTrackerConfig(
            static=self.static,
            max_hands=self.max_hands,
            hand_model=None if self.hand_model is None else str(self.hand_model),
            hand_length_mm=self.hand_length_mm,
            landmark_model=self.landmarks,
            smoothing=SmoothingConfig() if self.smooth else None,
            mode=self.mode,
            network=None if self.network is None else str(self.network),
        )


@dataclass(frozen=True)
class ClipOptions:
    """All of it."""

    output: OutputOptions = field(default_factory=OutputOptions)
    picture: PictureOptions = field(default_factory=PictureOptions)
    camera: CameraOptions = field(default_factory=CameraOptions)
    hand: HandOptions = field(default_factory=HandOptions)
    verbose: bool = False
    """Say more, e.g. what draws and why."""

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: a value is out of range; the message names the flag.
        """
        if not 0 <= self.picture.opacity <= 1:
            raise ValueError(f"--opacity must lie between 0 and 1, found {self.picture.opacity}")
        self.camera.check()
        check_port(self.output.serve)
        try:
            _ = self.output.formats, self.hand.tracker
        except ValueError as error:
            raise ValueError(as_flag(str(error))) from error


def as_flag(message: str) -> str:
    """Return the message with the field it begins with as the flag that sets it."""
    name, _, rest = message.partition(" ")
    return (
        f"--{name.replace('_', '-')} {rest}"
        if name in HandOptions.__dataclass_fields__
        else message
    )
