"""Record a live run in the background: the overlay video and the files of the clip program.

A recording is a folder. Its thread takes tracked frames from a short queue, has them drawn and
encoded, and writes the other files at the end. When it cannot keep up, pictures are left out of the
video and counted; the hands of every frame are kept.
"""

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from apps.clip_film import ClipFilm, open_film
from apps.clip_options import PictureOptions
from apps.clip_thread import DrawingThread
from apps.result_folder import HandNumbers, result_folder, write_files
from tracker.errors import HandloomError, OutputError
from tracker.export.recording import ClipInfo, Recording
from tracker.export.summary import write_summary
from tracker.geometry.hand_model import HandModel
from tracker.live.records import SourceState, TrackedFrame

MAX_WAITING: Final = 8
"""Frames in the queue at most: a quarter of a second, 22 MB of 720p."""
MAX_FRAMES: Final = 200_000
"""Frames after which a recording ends by itself: nearly two hours at 30 fps, 0.5 GB of hands."""
_LOOK: Final = PictureOptions(renderer="software")
"""OpenGL belongs to the view; two threads of one process that use it are more than drivers promise."""


@dataclass(frozen=True)
class RecordingPlan:
    """Where to and what."""

    folder: Path
    formats: tuple[str, ...]
    source: str
    """How the source is called in the files."""
    fps: float
    overlay: bool = True
    patient: bool = False
    """Let the tracker wait where the recorder is slower: for files, which can be stopped."""
    mode: str | None = None
    """What the tracker makes hands from."""


@dataclass(frozen=True)
class RecordingReport:
    """How a recording went."""

    folder: Path
    files: tuple[Path, ...]
    frames: int
    left_out: int
    """Frames of which the video has no picture."""
    problems: tuple[str, ...]


class LiveRecorder:
    """One recording, from its first frame to its finished folder; a listener of `LiveTracker`.

    Args:
        plan: where to and what.
        model: the hand the tracker fits.
    """

    def __init__(self, plan: RecordingPlan, model: HandModel) -> None:
        self.plan = plan
        self._model = model
        self._lock = threading.Lock()
        self._recording: Recording | None = None
        self._numbered = HandNumbers()
        self._sizes: set[tuple[int, int]] = set()
        self._first = (0, 0.0)
        self._pictures = queue.Queue[TrackedFrame](MAX_WAITING)
        self._closing = threading.Event()
        self._left_out = 0
        self._problems: list[str] = []
        self._report: RecordingReport | None = None
        self._began_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="handloom-recorder", daemon=True)
        self._thread.start()

    # From the tracking thread -----------------------------------------------------------------------

    def tracked(self, tracked: TrackedFrame) -> None:
        """Keep the frame's hands, and its picture if there is room."""
        with self._lock:
            if self._closing.is_set():
                return
            try:
                moved = self._append(tracked)
            except ValueError as error:  # numbers that are none; the next frame may be whole again
                self._note(f"frame {tracked.frame.index} was left out: {error}")
                return
        if self.plan.overlay:
            self._offer(moved)

    def source_is(self, state: SourceState, last: TrackedFrame | None) -> None:
        """Do nothing: while the source is lost, the recording has a gap."""

    def _append(self, tracked: TrackedFrame) -> TrackedFrame:
        """Add the hands to the recording; return the frame by the recording's own clock."""
        frame = tracked.frame
        if self._recording is None:
            self._first = (frame.index, frame.timestamp_s)
            info = ClipInfo(self.plan.source, tracked.camera, self.plan.fps, self.plan.mode)
            self._recording = Recording(info, self._model)
        self._sizes.add(tracked.camera.hw)
        index, time_s = frame.index - self._first[0], frame.timestamp_s - self._first[1]
        hands = self._numbered(tracked.hands)
        self._recording.append(index, time_s, hands)
        if len(self._recording) >= MAX_FRAMES:
            self._note(f"it ended after {MAX_FRAMES} frames; begin another one")
            self._closing.set()
        own = replace(frame, index=index, timestamp_s=time_s)
        return replace(tracked, frame=own, hands=tuple(hands))

    def _offer(self, tracked: TrackedFrame) -> None:
        while True:
            try:
                self._pictures.put(tracked, timeout=0.1 if self.plan.patient else 0)
            except queue.Full:
                if self.plan.patient and self._thread.is_alive() and not self._closing.is_set():
                    continue
                self._left_out += 1
            return

    # From the main thread ---------------------------------------------------------------------------

    @property
    def problem(self) -> str | None:
        """What has gone wrong so far, if anything; the recording has ended by itself then."""
        return self._problems[0] if self._problems else None

    @property
    def report(self) -> RecordingReport | None:
        """How it went, once all is written."""
        return None if self._thread.is_alive() else self._report

    @property
    def is_recording(self) -> bool:
        """Whether frames are still taken."""
        return not self._closing.is_set()

    def stop(self) -> None:
        """Take no more frames, and write the files meanwhile."""
        self._closing.set()

    def close(self) -> RecordingReport:
        """Take no more frames, and wait until the files are written."""
        self.stop()
        self._thread.join()
        assert self._report is not None
        return self._report

    # The thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        files: list[Path] = []
        try:
            with result_folder(self.plan.folder):
                files += self._film()
                with self._lock:  # whatever is being appended now is the last
                    self._closing.set()
                files += self._other_files(files)
        except HandloomError as error:
            self._note(str(error))
        finally:
            self._closing.set()
            count = 0 if self._recording is None else len(self._recording)
            self._report = RecordingReport(
                self.plan.folder, tuple(files), count, self._left_out, tuple(self._problems)
            )

    def _film(self) -> list[Path]:
        """Draw and encode until the recording is closed; return the files of the pictures."""
        if not self.plan.overlay:
            self._closing.wait()
            return []
        folder = self.plan.folder
        try:
            with DrawingThread("software") as drawing:
                with open_film(folder, self.plan.fps, drawing, _LOOK, recoverable=True) as film:
                    self._draw_all(film)
                return film.write_sheet() if self._recording is not None else []
        except OutputError as error:
            self._note(str(error))
            self._closing.set()
            return [path for path in [folder / "overlay.mp4"] if path.exists()]

    def _draw_all(self, film: ClipFilm) -> None:
        while True:
            try:
                tracked = self._pictures.get(timeout=0.1)
            except queue.Empty:
                if self._closing.is_set():
                    return
                continue
            film.add(tracked.frame, tracked.camera, tracked.hands)

    def _other_files(self, pictures: Sequence[Path]) -> list[Path]:
        """Write each format by itself, so that one that fails takes no other along."""
        recording, folder = self._recording, self.plan.folder
        if recording is None:
            self._note("no frame came, so there is nothing to keep")
            return []
        files: list[Path] = []
        for name in self.plan.formats:
            try:
                files += write_files(recording, folder, [name])
            except OutputError as error:
                self._note(str(error))
        try:
            elapsed_s = time.monotonic() - self._began_s
            warnings = [*self._problems, *self._warnings()]
            everything = [*pictures, *files]
            files.append(
                write_summary(
                    recording, folder, elapsed_s=elapsed_s, files=everything, warnings=warnings
                )
            )
        except OutputError as error:
            self._note(str(error))
        return files

    def _warnings(self) -> list[str]:
        said: list[str] = []
        if self._left_out:
            said.append(f"overlay.mp4 lacks {self._left_out} pictures: drawing could not keep up")
        if len(self._sizes) > 1:
            said.append(f"frames are of {len(self._sizes)} sizes; K is of the first")
        return said

    def _note(self, problem: str) -> None:
        if problem not in self._problems:
            self._problems.append(problem)
