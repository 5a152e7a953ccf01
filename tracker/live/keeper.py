"""Keep a feed alive: notice that it went away or stands still, and open it again and again."""

import logging
import time
from collections.abc import Callable
from typing import Final

from tracker.errors import SourceError
from tracker.live.feeds import Feed, FeedEnded, FeedInfo
from tracker.live.records import Picture, SourceState

_log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 5.0
"""A camera that is plugged in again is back within this time; trying costs next to nothing."""
STALL_S: Final = 3.0
"""A camera that gives no picture for so long is opened anew; the slowest webcams need 1 s."""


class FeedKeeper:
    """Reads a feed and never gives up on one that can come back.

    Args:
        feed: already open, so that a wrong name is refused before anything else starts.
        reopen: opens it again; None for what ends for good, like a file.
        clock: a monotonic clock.
        wait: waits so many seconds of that clock, or less when the program is to end.
    """

    def __init__(
        self,
        feed: Feed,
        reopen: Callable[[], Feed] | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._feed: Feed | None = feed
        self._reopen = reopen
        self._clock, self._wait = clock, wait
        self._info = feed.info
        self._last_s = clock()
        self._wait_s = FIRST_WAIT_S
        self._ended = False
        self._standing_still = False
        self.problem: str | None = None
        """Why the feed is lost; a sentence."""

    @property
    def info(self) -> FeedInfo:
        """What is known of the feed, as it was opened last."""
        return self._info

    @property
    def state(self) -> SourceState:
        """Whether pictures come."""
        if self._ended:
            return "ended"
        return "lost" if self._feed is None or self._standing_still else "live"

    def read(self) -> Picture | None:
        """Return the next picture; None when there is none now, or ever (see `state`)."""
        if self._ended:
            return None
        if self._feed is None:
            self._try_again()
            return None
        try:
            picture = self._feed.read()
        except FeedEnded:
            self._end_or_lose("it has ended")
            return None
        except SourceError as error:
            self._end_or_lose(str(error))
            return None
        return self._look_at(picture)

    def _look_at(self, picture: Picture | None) -> Picture | None:
        now_s = self._clock()
        if picture is not None:
            self._last_s = now_s
            self._wait_s = FIRST_WAIT_S
            self._standing_still = False
            self.problem = None
        elif self._reopen is not None and now_s - self._last_s > STALL_S:
            self._lose(f"no picture for {now_s - self._last_s:.0f} s")
        return picture

    def _end_or_lose(self, problem: str) -> None:
        if self._reopen is None:
            self._ended = True
            self.problem = None if problem == "it has ended" else problem
            self.close()
        else:
            self._lose(problem)

    def _lose(self, problem: str) -> None:
        _log.warning("%s: lost, trying again: %s", self._info.name, problem)
        self.problem = problem
        self.close()

    def _try_again(self) -> None:
        """Wait, longer every time, and open the feed."""
        assert self._reopen is not None
        self._wait(self._wait_s)
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        try:
            self._feed = self._reopen()
        except SourceError as error:
            self.problem = str(error)
            return
        self._info = self._feed.info
        self._last_s = self._clock()
        # Only a picture proves that it is back: some drivers open what gives none.
        self._standing_still = True

    def close(self) -> None:
        """Close the feed; `read` may open it again."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None
