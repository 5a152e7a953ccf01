"""What the terminal shows while a clip is worked on; a pipe or log file gets nothing of it."""

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Counter(ProgressColumn):
    """Frames done, of how many where that is known, and how fast."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f"/{task.total:.0f}"
        speed = "" if not task.speed or task.finished else f", {task.speed:.0f} fps"
        return Text(f"{task.completed:.0f}{total} frames{speed}", style="cyan")


class ClipProgress:
    """A bar for the frames of one clip, then a line for each kind of file being written."""

    def __init__(self, console: Console, name: str, frame_count: int | None) -> None:
        live = console.is_terminal and not console.is_dumb_terminal
        name = escape(name)
        self._tracking = Progress(
            *(SpinnerColumn(), TextColumn(name), BarColumn(), _Counter(), TimeRemainingColumn()),
            console=console,
            disable=not live,
            transient=True,
        )
        self._writing = Progress(
            *(SpinnerColumn(), TextColumn(f"{name}: writing {{task.description}}"), BarColumn()),
            console=console,
            disable=not live,
            transient=True,
        )
        self._frames = self._tracking.add_task("frames", total=frame_count)
        self._files = self._writing.add_task("files", total=None)
        self._now: Progress | None = None
        self._console = console

    def __enter__(self) -> "ClipProgress":
        self._show(self._tracking)
        return self

    def __exit__(self, *error: object) -> None:
        self._show(None)

    def _show(self, progress: Progress | None) -> None:
        """Put one display in the place of the other."""
        if progress is not self._now:
            if self._now is not None:
                self._now.stop()
            self._now = progress
            if progress is not None:
                progress.start()

    def frame_done(self) -> None:
        """One more frame is tracked."""
        self._tracking.advance(self._frames)

    def stopping(self) -> None:
        """The user asked to stop: no more frames are tracked."""
        self._console.print("  stopping: writing what was tracked; Ctrl-C again stops at once")

    def writing(self, what: str, step: int, steps: int) -> None:
        """The files called `what` are being written, the `step`-th of `steps` kinds."""
        self._show(self._writing)
        self._writing.update(self._files, description=what, completed=step, total=steps)
