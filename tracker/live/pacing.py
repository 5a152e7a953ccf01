"""Time in a live run: a clip's own on the clock of the wall, and how often a picture is shown."""

from typing import Final

SHOW_PERIOD_S: Final = 1 / 70
"""Shortest time between two pictures shown: screens show 60 a second, and drawing more of them only
takes time from the tracker."""


class Pacer:
    """Says when each picture of a clip is due, so that a file comes like a camera.

    The clip's clock stands still while its reader is late: what is late is not hurried after.

    Example:
        >>> pacer = Pacer()
        >>> pacer.due_s(0.0, now_s=100.0), pacer.due_s(0.5, now_s=100.2)
        (100.0, 100.5)
        >>> pacer.due_s(1.0, now_s=103.0), pacer.due_s(1.5, now_s=103.0)
        (103.0, 103.5)
    """

    def __init__(self) -> None:
        self._zero_s: float | None = None

    def due_s(self, timestamp_s: float, now_s: float) -> float:
        """Return when the picture with this time stamp is due, never before `now_s`."""
        if self._zero_s is None or self._zero_s + timestamp_s < now_s:
            self._zero_s = now_s - timestamp_s
        return self._zero_s + timestamp_s
