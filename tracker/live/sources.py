"""Where frames come from: video files and folders of images.

A source knows its size, rate and length before the first frame is decoded, and yields `Frame`s
with time stamps of its own clock. Sizes are checked before pixels are allocated.
"""

import re
import stat
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8
from PIL import Image, ImageOps

from tracker.errors import SourceError
from tracker.vision.records import Frame

MIN_SIDE_PX: Final = 16
MAX_PIXELS: Final = 64_000_000
"""Largest frame accepted, 192 MB of RGB: above 8K video and any webcam."""
_SCALE_DOWN: Final = "scale it down first, e.g. with `ffmpeg -i IN -vf scale=1920:-2 OUT`"
IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_DEFAULT_FPS: Final = 30.0
_MIN_STEP_S: Final = 1e-4
_MAX_DAMAGED: Final = 1000
"""Parts of a video that may fail to decode before the rest is given up."""
_COVER: Final = Disposition.attached_pic
_WHOLE: Final = 0.9
"""Part of the promised time that is enough: the last picture may be meant to stand for long."""
_BAD_IMAGE: Final = (
    *(OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, struct.error),
)
"""What Pillow's readers raise on damaged files."""


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source before its frames are read."""

    name: str
    """Short name for folders and messages."""
    hw: tuple[int, int]
    """Height and width in pixels, as shown (after rotation)."""
    fps: float
    frame_count: int | None
    """How many frames to expect; None when the file does not say."""


@runtime_checkable
class Source(Protocol):
    """Frames in order; iterate once."""

    info: SourceInfo
    warning: str | None
    """Set while iterating when frames are missing; a sentence for the user."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        ...


def open_source(path: Path, *, fps: float | None = None) -> Source:
    """Open a video file, one image, or a folder of images (read in natural order at `fps`).

    Raises:
        SourceError: it is missing, not readable, or holds no picture.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise SourceError(
            f"{path} does not exist; give a video file or a folder of images"
        ) from None
    except OSError as error:
        raise SourceError(f"{path} cannot be reached ({reason_of(error)}); give another") from error
    if stat.S_ISDIR(mode):
        return ImageFolder(path, fps=fps)
    if not stat.S_ISREG(mode):
        raise SourceError(f"{path} is no regular file, and a clip is read twice; save it first")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFolder(path, fps=fps)
    return VideoFile(path)


def check_size(what: str, hw: tuple[int, int]) -> None:
    """Refuse pictures too small or too large, before memory is taken for them.

    Raises:
        SourceError: the size is refused; `what` is named in it.
    """
    height, width = hw
    if min(hw) == 0:
        raise SourceError(f"{what} has frames of unknown or refused size; convert it to MP4 first")
    if min(hw) < MIN_SIDE_PX:
        raise SourceError(
            f"{what} has frames of {width}x{height} pixels; at least {MIN_SIDE_PX}x{MIN_SIDE_PX} are needed"
        )
    if height * width > MAX_PIXELS:
        raise SourceError(
            f"{what} has frames of {width}x{height} pixels, more than "
            f"{MAX_PIXELS // 1_000_000} million; {_SCALE_DOWN}"
        )


class VideoFile:
    """Any file with a video stream that PyAV opens; rotation metadata is applied."""

    def __init__(self, path: Path) -> None:
        self.warning: str | None = None
        self._path = path
        with self._open() as container:
            stream = self._stream(container)
            first = self._first_frame(container, stream)
            fps = stream.average_rate or stream.guessed_rate or Fraction(30)
            hw = (first.height, first.width)
            turned = first.rotation % 180 != 0
            self._duration_s = _duration_s(container, stream)
            count = stream.frames or round(self._duration_s * float(fps)) or None
        self.info = SourceInfo(path.stem, (hw[1], hw[0]) if turned else hw, float(fps), count)

    def _open(self) -> InputContainer:
        try:
            return av.open(str(self._path))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SourceError(
                f"{self._path} cannot be read as video ({reason_of(error)}); "
                "it may be cut off or no video; check that it plays, or convert it with `ffmpeg -i IN OUT.mp4`"
            ) from error

    def _stream(self, container: InputContainer) -> VideoStream:
        # The cover of a song is no clip.
        streams = [s for s in container.streams.video if not s.disposition & _COVER]
        # FFmpeg would draw the letters of a text file, as old terminals did.
        if not streams or container.format.name == "tty":
            raise SourceError(
                f"{self._path} holds no video stream; give a file with pictures in it"
            )
        stream = streams[0]
        stream.thread_type = "AUTO"
        check_size(str(self._path), (stream.height, stream.width))
        return stream

    def _first_frame(self, container: InputContainer, stream: VideoStream) -> VideoFrame:
        first = next(self._decoded(container, stream), None)
        if first is None and self.warning:
            raise SourceError(f"no frame of {self._path} can be decoded: {self.warning}")
        if first is None:
            raise SourceError(
                f"{self._path} holds no frames; it may be cut off, check that it plays"
            )
        self.warning = None
        return first

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; a file that breaks off ends early with `warning` set."""
        with self._open() as container:
            stream = self._stream(container)
            start_s: float | None = None
            last_s = -_MIN_STEP_S
            for index, picture in enumerate(self._decoded(container, stream)):
                time_s = index / self.info.fps if picture.pts is None else picture.time
                start_s = time_s if start_s is None else start_s
                # Broken muxers repeat time stamps; a clock that stands still serves nobody.
                last_s = max(time_s - start_s, last_s + _MIN_STEP_S)
                check_size(str(self._path), (picture.height, picture.width))
                yield Frame(_upright(picture), timestamp_s=last_s, index=index)
            self._compare_length(last_s)

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Yield the pictures; parts that cannot be decoded are left out and counted in `warning`."""
        damaged = 0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                pictures = [] if packet is None else packet.decode()
            except av.error.FFmpegError as error:
                damaged += 1
                reason = reason_of(error)
                self.warning = f"{damaged} part(s) of {self._path} are damaged ({reason})"
                if damaged > _MAX_DAMAGED:
                    return
                continue
            if packet is None:
                return
            yield from pictures

    def _compare_length(self, last_s: float) -> None:
        """Set `warning` where much less came than the file promises."""
        if last_s < _WHOLE * self._duration_s - 1:
            self.warning = (
                f"{self._path} ends after {max(last_s, 0):.1f} s of about {self._duration_s:.1f} s; "
                "it may be cut off"
            )


def _duration_s(container: InputContainer, stream: VideoStream) -> float:
    """Return how long the pictures last as far as the file says, else 0."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


def _upright(picture: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture as it is meant to be seen."""
    turns = round(picture.rotation / 90) % 4
    rgb = picture.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def reason_of(error: Exception) -> str:
    """Return what went wrong in one line, without a stop at its end."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0].rstrip(".")


class ImageFolder:
    """The images of a folder (or one image file) in natural order: frame2 before frame10."""

    def __init__(self, path: Path, *, fps: float | None = None) -> None:
        self.warning: str | None = None
        self._skipped = 0
        self._files = [path] if path.is_file() else _images_in(path)
        if not self._files:
            raise SourceError(
                f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)}); give a video file or a folder of images"
            )
        name = path.stem if path.is_file() else path.resolve().name
        self.info = SourceInfo(name, self._first_hw(), fps or _DEFAULT_FPS, len(self._files))

    def _first_hw(self) -> tuple[int, int]:
        """Return the size of the first image that can be read; if there is none, say why not."""
        problem: SourceError | None = None
        for file in self._files:
            try:
                rgb = _read_image(file)
            except SourceError as error:
                problem = problem or error
            else:
                return rgb.shape[0], rgb.shape[1]
        raise problem or SourceError("no image")

    def __iter__(self) -> Iterator[Frame]:
        """Yield the images; unreadable ones are left out and counted in `warning`."""
        for index, file in enumerate(self._files):
            try:
                rgb = _read_image(file)
            except SourceError as error:
                self._skipped += 1
                self.warning = f"{self._skipped} image(s) left out, the last because {error}"
                continue
            yield Frame(rgb, timestamp_s=index / self.info.fps, index=index)


def _images_in(folder: Path) -> list[Path]:
    try:
        files = [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file()]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read ({reason_of(error)}); give another") from error
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key in which runs of digits count as numbers."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(p), "") if p.isdigit() else (-1, p.lower()) for p in parts]


def _read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read one image as RGB, upright; its size is checked from the header first."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                check_size(str(path), (image.height, image.width))
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SourceError(
            f"{path} has more than {MAX_PIXELS // 1_000_000} million pixels; {_SCALE_DOWN}"
        ) from error
    except _BAD_IMAGE as error:
        raise SourceError(
            f"{path} cannot be read as an image ({type(error).__name__}); replace it or take it away"
        ) from error
