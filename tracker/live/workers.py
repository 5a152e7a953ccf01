"""Threads with names whose failures reach whoever waits for them."""

import logging
import threading
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

JOIN_S: Final = 8.0
"""Longest wait for a thread to end: a driver or a network may hold one for a few seconds."""


class Worker:
    """Runs `step` again and again in a thread of its own until it returns False or `stop` is called.

    Args:
        name: of the thread.
        step: a piece of work, short enough to end soon after `stop`.
        finish: called in the same thread at the end, whatever happened.
    """

    def __init__(
        self, name: str, step: Callable[[], bool], finish: Callable[[], object] = lambda: None
    ) -> None:
        self._step, self._finish = step, finish
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"handloom-{name}", daemon=True)
        self.failure: BaseException | None = None
        """What ended the thread before its time."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    @property
    def was_started(self) -> bool:
        """Whether it was ever begun."""
        return self._thread.ident is not None

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, in the thread itself, but not past `stop`."""
        self._stop.wait(seconds)

    def stop(self) -> None:
        """Ask it to end, without waiting."""
        self._stop.set()

    def join(self, timeout_s: float = JOIN_S) -> bool:
        """Wait for its end; return whether it came."""
        if not self.was_started:
            return True
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _log.warning("thread %s does not end; it is left behind", self._thread.name)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and self._step():
                pass
        except BaseException as error:  # noqa: BLE001  (raised again by whoever asks `failure`)
            self.failure = error
        try:
            self._finish()
        except BaseException as error:  # noqa: BLE001  (likewise)
            self.failure = self.failure or error
