"""Write pictures as an H.264 video that every player opens."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import av.error
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from jaxtyping import UInt8

from tracker.export.fragments import RecoverableFile
from tracker.whole_file import output_error, whole_file

MAX_SIDE_PX: Final = 16384
"""Longest side the encoder takes."""
_CLOCK_HZ: Final = 90_000
_OPTIONS: Final = {"preset": "superfast", "crf": "19"}
_KEY_EVERY_S: Final = 1.0
"""Between whole pictures of a recoverable video: so much is lost when it breaks off."""


class VideoWriter:
    """Pictures in, in order of time; made by `video_writer`."""

    def __init__(self, path: Path, fps: float, stack: ExitStack, *, recoverable: bool) -> None:
        self.hw: tuple[int, int] | None = None
        """Height and width of the video, even numbers; None until the first picture."""
        self._path = path
        self._fps = fps
        self._stack = stack
        self._recoverable = recoverable
        self._encoder: tuple[OutputContainer, VideoStream] | None = None
        self._last = -1

    def add(self, rgb: UInt8[np.ndarray, "h w 3"], timestamp_s: float) -> None:
        """Append a picture; the first one sets the size, others are fitted into it.

        H.264 with its usual 4:2:0 colour needs even sides up to `MAX_SIDE_PX`: of an odd one the
        last row or column is left out, a larger picture is scaled down.

        Raises:
            OutputError: the file cannot be written.
        """
        with _named(self._path):
            container, stream = self._encoder = self._encoder or self._open(rgb)
            picture = _fitted(rgb, (stream.height, stream.width))
            frame = yuv420p(picture)
            self._last = max(round(timestamp_s * _CLOCK_HZ), self._last + 1)
            frame.pts, frame.time_base = self._last, Fraction(1, _CLOCK_HZ)
            container.mux(stream.encode(frame))

    def _open(self, rgb: UInt8[np.ndarray, "h w 3"]) -> tuple[OutputContainer, VideoStream]:
        container = self._recoverable_file() if self._recoverable else self._whole_file()
        rate = max(Fraction(self._fps).limit_denominator(1001), Fraction(1, 1001))
        options = dict(_OPTIONS)
        if self._recoverable:
            options["g"] = str(max(round(float(rate) * _KEY_EVERY_S), 1))
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width = self.hw = _video_hw((rgb.shape[0], rgb.shape[1]))
        stream.pix_fmt = "yuv420p"
        # Said aloud, because players take large pictures for BT.709 where nothing is said.
        stream.codec_context.colorspace = Colorspace.SMPTE170M
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.time_base = Fraction(1, _CLOCK_HZ)
        return container, stream

    def _whole_file(self) -> OutputContainer:
        partial = self._stack.enter_context(whole_file(self._path))
        container = av.open(str(partial), "w", options={"movflags": "faststart"})
        self._stack.callback(_give_up, container)
        return container

    def _recoverable_file(self) -> OutputContainer:
        # Fragments until the end is well; then FFmpeg makes an ordinary file of them in place.
        flags = {"movflags": "hybrid_fragmented+frag_keyframe"}
        file = self._stack.enter_context(RecoverableFile(self._path))
        container = av.open(file, "w", format="mp4", options=flags)
        self._stack.callback(_give_up, container)
        self._stack.push(file.seal_after_error)
        return container

    def finish(self) -> None:
        """Write what the encoder still holds; without a picture there is nothing to write.

        Raises:
            OutputError: the file cannot be written.
        """
        if self._encoder is not None:
            container, stream = self._encoder
            with _named(self._path):
                container.mux(stream.encode(None))
                container.close()


@contextmanager
def video_writer(
    path: Path, fps: float, *, recoverable: bool = False
) -> Generator[VideoWriter, None, None]:
    """Open `path` for pictures; the file appears under its name when the block ends well.

    A block that adds no picture leaves no file.

    Args:
        path: ends in `.mp4`.
        fps: nominal frames per second.
        recoverable: for what cannot be taken again. The file lies under its name from the start
            and can be played to its last second whatever happens: full disk, crash, power cut.

    Raises:
        OutputError: the file cannot be written.
    """
    with ExitStack() as stack:
        writer = VideoWriter(path, fps, stack, recoverable=recoverable)
        yield writer
        writer.finish()


@contextmanager
def _named(path: Path) -> Generator[None, None, None]:
    """Report what FFmpeg complains of while writing as trouble with `path`."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        cause = OSError(error.errno or 0, error.strerror or str(error))
        raise output_error(path, cause) from error


def _give_up(container: OutputContainer) -> None:
    """Close what is not closed yet: on the way out of an error, which must not be hidden by another."""
    with suppress(av.error.FFmpegError, OSError):
        container.close()


def yuv420p(rgb: UInt8[np.ndarray, "h w 3"]) -> av.VideoFrame:
    """Return a picture with even sides as the encoder wants it (BT.601, video range).

    OpenCV converts three times as fast as FFmpeg's scaler, which the encoder would use.
    """
    planes = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _video_hw(hw: tuple[int, int]) -> tuple[int, int]:
    ratio = min(1, MAX_SIDE_PX / max(hw))
    height, width = (max(round(side * ratio) // 2 * 2, 2) for side in hw)
    return height, width


def _fitted(
    rgb: UInt8[np.ndarray, "h w 3"], hw: tuple[int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the picture cut by at most one row and column, or scaled into the middle of black."""
    if (rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2) == hw:
        return np.ascontiguousarray(rgb[: hw[0], : hw[1]])
    ratio = min(hw[0] / rgb.shape[0], hw[1] / rgb.shape[1])
    height, width = max(round(rgb.shape[0] * ratio), 1), max(round(rgb.shape[1] * ratio), 1)
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    canvas = np.zeros((*hw, 3), np.uint8)
    top, left = (hw[0] - height) // 2, (hw[1] - width) // 2
    canvas[top : top + height, left : left + width] = small
    return canvas
