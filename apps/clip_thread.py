"""A thread that draws and encodes, so that the next frame is tracked meanwhile."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from types import TracebackType
from typing import Final

from tracker.view.renderer import Renderer, RendererKind, open_renderer

_MAX_WAITING: Final = 4
"""Frames that may wait: enough to even out slow ones, and little memory."""


class DrawingThread:
    """Does the work it is given, one piece after the other.

    Example:
        >>> with DrawingThread("software") as drawing:
        ...     drawing.put(lambda: film.draw(frame, hands))
        ...     drawing.finish()

    Raises:
        RenderError: pyrender was asked for by name and no OpenGL works here.
    """

    def __init__(self, kind: RendererKind) -> None:
        self._pool = ThreadPoolExecutor(1, "drawing")
        self._waiting: deque[Future[object]] = deque()
        # OpenGL serves the thread that opened it and no other.
        self.renderer: Renderer = self._pool.submit(open_renderer, kind).result()
        """For use in this thread only."""

    def put(self, work: Callable[[], object]) -> None:
        """Add a piece of work; wait while too many are waiting.

        Raises:
            Exception: what an earlier piece raised.
        """
        while self._waiting and (len(self._waiting) >= _MAX_WAITING or self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(work))

    def finish(self) -> None:
        """Wait until all work is done.

        Raises:
            Exception: what a piece of it raised.
        """
        while self._waiting:
            self._waiting.popleft().result()

    def drop(self) -> None:
        """Forget the work that waits, and wait for the piece that is being done."""
        for piece in self._waiting:
            piece.cancel()
        wait_for(self._waiting)
        self._waiting.clear()

    def __enter__(self) -> "DrawingThread":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.drop()
        self._pool.submit(self.renderer.close).result()
        self._pool.shutdown()
