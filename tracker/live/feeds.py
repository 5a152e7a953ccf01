"""What every live source is: a feed of pictures, and feeds made of files."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, Literal, Protocol, runtime_checkable

from tracker.errors import SourceError
from tracker.live.pacing import Pacer
from tracker.live.records import Picture
from tracker.live.sources import Source
from tracker.vision.records import Frame

LOOK_UP_S: Final = 0.2
"""How long a feed may wait in one `read` where it can choose: so long is an exit delayed."""


_LOOP_PAUSE_S: Final = 0.5
"""Between two passes of a loop: long enough for the tracker to take the jump for a new scene."""


class FeedEnded(Exception):
    """The feed has handed out its last picture, as it was meant to."""


@dataclass(frozen=True)
class FeedInfo:
    """What is known of a feed once it is open."""

    name: str
    """Short name for folders and messages."""
    hw: tuple[int, int]
    """Height and width of its first picture; later ones may differ."""
    fps: float
    """As promised; the times of the pictures are the truth."""
    timing: Literal["driver", "read_return"] = "read_return"
    """What `captured_s` is: the driver's time, or when reading the picture returned."""
    is_live: bool = True
    """Whether pictures go by when nobody reads them; a file waits."""
    patient: bool = False
    """Whether it waits for the tracker even between two pictures, so that none is dropped."""


@runtime_checkable
class Feed(Protocol):
    """An open source of pictures, used from one thread at a time."""

    @property
    def info(self) -> FeedInfo:
        """What is known of it."""
        ...

    def read(self) -> Picture | None:
        """Wait for the next picture and return it; None when none came for a while.

        Raises:
            FeedEnded: there are no more.
            SourceError: the camera or the stream has gone away.
        """
        ...

    def close(self) -> None:
        """Give back what it holds; safe to call twice."""
        ...


class ClipFeed:
    """The pictures of a file, at the pace they were taken at or as fast as they are read.

    Args:
        source: from `open_source`, or anything like it.
        paced: hand each picture out when it is due; else at once, and wait for the tracker.
        looped: begin again at the end, with a clock that goes on.
        clock: a monotonic clock.
        sleep: waits so many seconds of that clock.
    """

    def __init__(
        self,
        source: Source,
        *,
        paced: bool = True,
        looped: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        info = source.info
        self._info = FeedInfo(info.name, info.hw, info.fps, is_live=False, patient=not paced)
        self._source = source
        self._paced, self._looped = paced, looped
        self._clock, self._sleep = clock, sleep
        self._pacer = Pacer()
        self._frames = self._all_frames()
        self._next: Frame | None = None

    @property
    def info(self) -> FeedInfo:
        """What is known of it."""
        return self._info

    @property
    def warning(self) -> str | None:
        """What is missing of the file, if anything; a sentence for the user."""
        return self._source.warning

    def read(self) -> Picture | None:
        """Return the next picture when it is due; None when that is still far away.

        Raises:
            FeedEnded: there are no more.
            SourceError: the file cannot be read any more.
        """
        frame, self._next = self._next or next(self._frames, None), None
        if frame is None:
            raise FeedEnded
        if not self._paced:
            return Picture(frame.rgb, self._clock(), frame.timestamp_s)
        due_s = self._pacer.due_s(frame.timestamp_s, self._clock())
        wait_s = due_s - self._clock()
        self._sleep(min(max(wait_s, 0.0), LOOK_UP_S))
        if wait_s > LOOK_UP_S:
            self._next = frame
            return None
        return Picture(frame.rgb, due_s, frame.timestamp_s)

    def _all_frames(self) -> Generator[Frame, None, None]:
        start_s = 0.0
        while True:
            last_s: float | None = None
            for frame in self._source:
                last_s = start_s + frame.timestamp_s
                yield Frame(frame.rgb, frame.camera, last_s, frame.index)
            if not self._looped:
                return
            if last_s is None:
                raise SourceError(f"no picture of {self._info.name} can be read; check the file")
            start_s = last_s + _LOOP_PAUSE_S

    def close(self) -> None:
        """Close the file."""
        self._frames.close()
