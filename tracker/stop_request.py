"""Ctrl-C that lets a program finish what it holds: the first one asks, the second one insists."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """While open, SIGINT and SIGTERM only set `made`; a further one raises KeyboardInterrupt.

    Example:
        >>> with StopRequest() as stop:
        ...     stop.made
        False
    """

    def __init__(self) -> None:
        self.made = False
        """Whether the user (or the machine) asked the program to stop."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        # Python lets only the main thread have signal handlers; in another one nobody is asked.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.made:
            raise KeyboardInterrupt
        self.made = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
