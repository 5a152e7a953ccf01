"""Where frames come from: video files and folders of images.

A source knows its size, rate and length before the first frame is decoded, and yields `Frame`s
with time stamps of its own clock. Sizes are checked before pixels are allocated.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from tracker.errors import SourceError
from tracker.vision.records import Frame

MIN_SIDE_PX: Final = 16
MAX_PIXELS: Final = 64_000_000
"""Largest frame accepted, 192 MB of RGB: above 8K video and any webcam."""
IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_DEFAULT_FPS: Final = 30.0


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
    if path.is_dir():
        return ImageFolder(path, fps=fps)
    if not path.exists():
        raise SourceError(f"{path} does not exist; give a video file or a folder of images")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFolder(path, fps=fps)
    return VideoFile(path)


def _check_size(what: str, hw: tuple[int, int]) -> None:
    height, width = hw
    if min(hw) == 0:
        raise SourceError(f"{what} has frames of unknown or refused size; convert it to MP4 first")
    if min(hw) < MIN_SIDE_PX:
        raise SourceError(
            f"{what} has frames of {width}x{height} pixels; at least {MIN_SIDE_PX}x{MIN_SIDE_PX} are needed"
        )
    if height * width > MAX_PIXELS:
        raise SourceError(
            f"{what} has frames of {width}x{height} pixels, more than {MAX_PIXELS // 1_000_000} million; "
            "scale it down first, e.g. `ffmpeg -i IN -vf scale=1920:-2 OUT.mp4`"
        )


class VideoFile:
    """Any file with a video stream that PyAV opens; rotation metadata is applied."""

    def __init__(self, path: Path) -> None:
        self.warning: str | None = None
        self._path = path
        with self._open() as container:
            stream = self._stream(container)
            first = self._first_frame(container)
            fps = stream.average_rate or stream.guessed_rate or Fraction(30)
            hw = (first.height, first.width)
            turned = first.rotation % 180 != 0
            count = stream.frames or self._estimate(container, float(fps))
        self.info = SourceInfo(path.stem, (hw[1], hw[0]) if turned else hw, float(fps), count)

    def _open(self) -> InputContainer:
        try:
            return av.open(str(self._path))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SourceError(
                f"{self._path} cannot be read as video ({_reason(error)}); "
                "check that it plays, or convert it with `ffmpeg -i IN OUT.mp4`"
            ) from error

    def _stream(self, container: InputContainer) -> VideoStream:
        if not container.streams.video:
            raise SourceError(
                f"{self._path} holds no video stream; give a file with pictures in it"
            )
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        _check_size(str(self._path), (stream.height, stream.width))
        return stream

    def _first_frame(self, container: InputContainer) -> VideoFrame:
        try:
            return next(container.decode(video=0))
        except StopIteration:
            raise SourceError(f"{self._path} holds no frames; check that it plays") from None
        except av.error.FFmpegError as error:
            raise SourceError(
                f"no frame of {self._path} can be decoded ({_reason(error)}); it may be cut off or damaged"
            ) from error

    @staticmethod
    def _estimate(container: InputContainer, fps: float) -> int | None:
        duration_s = container.duration / av.time_base if container.duration else 0.0
        return round(duration_s * fps) or None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; a file that breaks off ends early with `warning` set."""
        with self._open() as container:
            self._stream(container)
            frames = container.decode(video=0)
            start_s: float | None = None
            for index in range(1 << 62):
                try:
                    picture = next(frames)
                except StopIteration:
                    return
                except av.error.FFmpegError as error:
                    self.warning = (
                        f"{self._path} breaks off after {index} frames ({_reason(error)})"
                    )
                    return
                time_s = picture.time if picture.time is not None else index / self.info.fps
                start_s = time_s if start_s is None else start_s
                _check_size(str(self._path), (picture.height, picture.width))
                yield Frame(_upright(picture), timestamp_s=time_s - start_s, index=index)


def _upright(picture: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture as it is meant to be seen."""
    turns = round(picture.rotation / 90) % 4
    rgb = picture.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).strip().splitlines()[0].rstrip(".")


class ImageFolder:
    """The images of a folder (or one image file) in natural order: frame2 before frame10."""

    def __init__(self, path: Path, *, fps: float | None = None) -> None:
        self.warning: str | None = None
        self._skipped = 0
        files = [path] if path.is_file() else list(path.iterdir())
        self._files = sorted(
            (f for f in files if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file()), key=_natural
        )
        if not self._files:
            raise SourceError(
                f"{path} holds no images ({', '.join(IMAGE_SUFFIXES)}); give a video file or a folder of images"
            )
        hw = _read_image(self._files[0]).shape[:2]
        name = path.stem if path.is_file() else path.resolve().name
        self.info = SourceInfo(name, (hw[0], hw[1]), fps or _DEFAULT_FPS, len(self._files))

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


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key in which runs of digits count as numbers."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(p), "") if p.isdigit() else (-1, p.lower()) for p in parts]


def _read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read one image as RGB, upright; its size is checked from the header first."""
    try:
        with Image.open(path) as image:
            _check_size(str(path), (image.height, image.width))
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except Image.DecompressionBombError as error:
        raise SourceError(f"{path} is too large ({error}); scale it down first") from error
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise SourceError(
            f"{path} cannot be read as an image ({type(error).__name__}); is it complete?"
        ) from error
