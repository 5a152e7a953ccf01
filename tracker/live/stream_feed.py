"""Pictures from the network (RTSP, HTTP, UDP and the like) or of a part of the screen, by PyAV."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame

from tracker.errors import SourceError
from tracker.live.feeds import FeedEnded, FeedInfo
from tracker.live.records import Picture
from tracker.live.sources import MAX_PIXELS, check_size, reason_of

SCHEMES: Final = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "rtp", "tcp", "srt")
OPEN_TIMEOUT_S: Final = 8.0
"""A camera on a slow network answers within 5 s; H.264 waits for a key picture besides."""
READ_TIMEOUT_S: Final = 3.0
"""Live streams come in every frame; after so long this one has gone."""
_MAX_CORRUPT: Final = 300
"""Damaged parts in a row after which the stream counts as lost: ten seconds of one."""
_LOW_DELAY: Final = {
    "fflags": "nobuffer+discardcorrupt",
    "flags": "low_delay",
    "max_delay": "100000",  # microseconds to wait for packets that overtook each other
    "probesize": "500000",
    "analyzeduration": "500000",
    "rtsp_transport": "tcp",
    # A playlist from a stranger must not make us read files of this machine.
    "protocol_whitelist": "rtsp,rtsps,rtp,rtmp,udp,tcp,tls,http,https,httpproxy,crypto,srt",
}
_SCREEN: Final = re.compile(r"screen(?::(\d+)x(\d+)(?:\+(\d+)\+(\d+))?)?")


def is_stream(text: str) -> bool:
    """Return whether a source's name is an address on the network."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


def is_screen(text: str) -> bool:
    """Return whether a source's name means the screen."""
    return text == "screen" or text.startswith("screen:")


class StreamFeed:
    """A stream that FFmpeg opens; use `open_stream` and `open_screen`.

    Args:
        what: what to call it in messages; an address without its password.
        name: short name for folders.
        container: opened, with time limits.
        fps: rate to assume where the stream names none.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        what: str,
        name: str,
        container: InputContainer,
        *,
        fps: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._container, self._clock = what, container, clock
        self._pictures = self._decoded()
        self._corrupt = 0
        self._kept: Picture | None = None
        try:
            first = self._kept = self.read()
        except FeedEnded:
            first = None
        except SourceError:
            self.close()
            raise
        if first is None:
            self.close()
            raise SourceError(f"{what} gives no picture; check that something is sent there")
        rate = container.streams.video[0].average_rate
        self._info = FeedInfo(
            name, (first.rgb.shape[0], first.rgb.shape[1]), float(rate) if rate else fps
        )

    @property
    def info(self) -> FeedInfo:
        """What is known of it."""
        return self._info

    def read(self) -> Picture | None:
        """Return the next picture.

        Raises:
            FeedEnded: the sender says that it was the last.
            SourceError: nothing comes any more, or only damaged pictures.
        """
        if self._kept is not None:
            picture, self._kept = self._kept, None
            return picture
        for frame, arrived_s in self._pictures:
            check_size(self._what, (frame.height, frame.width))
            return Picture(frame.to_ndarray(format="rgb24"), arrived_s)
        raise FeedEnded

    def _decoded(self) -> Iterator[tuple[VideoFrame, float]]:
        """Yield pictures and when their last part arrived.

        Parts that cannot be decoded are left out, as long as others can.
        """
        packets = self._container.demux(self._container.streams.video[0])
        while True:
            try:
                packet = next(packets)
                arrived_s = self._clock()
                pictures = packet.decode()
            except StopIteration:
                return
            except (av.error.InvalidDataError, av.error.PatchWelcomeError) as error:
                self._corrupt += 1
                if self._corrupt > _MAX_CORRUPT:
                    raise SourceError(f"{self._what} sends only damaged pictures") from error
                continue
            except (av.error.FFmpegError, OSError) as error:
                raise SourceError(f"{self._what} has gone away ({reason_of(error)})") from error
            if pictures:
                self._corrupt = 0
                yield from ((picture, arrived_s) for picture in pictures)

    def close(self) -> None:
        """Hang up."""
        self._container.close()


def open_stream(address: str) -> StreamFeed:
    """Open an address such as `rtsp://user:password@host/path`, `udp://0.0.0.0:5000`, `http://..`.

    Raises:
        SourceError: nobody answers there, or what comes is no video.
    """
    shown = without_password(address)
    options = _LOW_DELAY if address.startswith("rtsp") else _without(_LOW_DELAY, "rtsp_transport")
    container = _open(shown, address, None, options)
    name = re.sub(r"\W+", "_", urlsplit(address).hostname or "stream").strip("_")
    return StreamFeed(shown, name or "stream", container)


def open_screen(text: str, *, fps: float = 30.0) -> StreamFeed:
    """Open `screen`, `screen:WxH` or `screen:WxH+X+Y` of an X display.

    Raises:
        SourceError: there is no X display, or the part lies outside of it.
    """
    match = _SCREEN.fullmatch(text)
    if match is None:
        raise SourceError(f"{text} is no part of a screen; write it like screen:1280x720+100+50")
    display = os.environ.get("DISPLAY")
    if sys.platform != "linux" or not display:
        raise SourceError("the screen can be read only under X11 on Linux, with DISPLAY set")
    if _opencv_came_first():
        raise SourceError(
            "the screen cannot be read where OpenCV was imported before PyAV, because their wheels "
            "bring X libraries of one name; write `import av` first"
        )
    width, height, x, y = match.groups()
    options = {"framerate": f"{fps:g}", "draw_mouse": "0"}
    if width:
        check_size(text, (int(height), int(width)))
        options["video_size"] = f"{width}x{height}"
    container = _open(text, f"{display}+{x or 0},{y or 0}", "x11grab", options)
    return StreamFeed(text, "screen", container, fps=fps)


def _opencv_came_first() -> bool:
    """Return whether OpenCV's wheel was loaded before PyAV's: FFmpeg's x11grab would crash then."""
    loaded = list(sys.modules)
    return "cv2" in loaded and loaded.index("cv2") < loaded.index("av")


def _open(shown: str, url: str, kind: str | None, options: Mapping[str, str]) -> InputContainer:
    timeout_s = (OPEN_TIMEOUT_S, READ_TIMEOUT_S)
    try:
        container = av.open(url, "r", format=kind, options=dict(options), timeout=timeout_s)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError(
            f"{shown} cannot be opened ({reason_of(error)}); check the name, and that pictures are sent"
        ) from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"{shown} sends no video; choose another address")
    stream = container.streams.video[0]
    # Decoding several frames at once would keep each of them back for that many frame times.
    stream.thread_type = "SLICE"
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    try:
        if stream.width and stream.height:
            check_size(shown, (stream.height, stream.width))
    except SourceError:
        container.close()
        raise
    return container


def without_password(address: str) -> str:
    """Return an address as it may be shown and logged."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", address)


def _without(options: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in options.items() if key != name}
