"""One clip from its first frame to its finished folder; what `video_to_mesh` does for each clip."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from apps.camera_choice import CameraChoice
from apps.clip_film import ClipFilm, open_film
from apps.clip_options import ClipOptions
from apps.clip_stream import ClipStream
from apps.clip_thread import DrawingThread
from apps.result_folder import HandNumbers, forget_earlier_summary, result_folder, write_files
from tracker.errors import OutputError, SourceError
from tracker.export.recording import ClipInfo, Recording
from tracker.export.summary import write_summary
from tracker.export.truth import Score, score_against, truth_beside
from tracker.geometry.camera import Camera
from tracker.live.sources import open_source
from tracker.stop_request import StopRequest
from tracker.vision.hand_tracker import HandTracker
from tracker.vision.records import Frame


class Monitor(Protocol):
    """Is told how far a job has come."""

    def frame_done(self) -> None:
        """One more frame is tracked."""
        ...

    def stopping(self) -> None:
        """The user asked to stop: no more frames are tracked."""
        ...

    def writing(self, what: str, step: int, steps: int) -> None:
        """The files called `what` are being written, the `step`-th of `steps` kinds."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What came of one clip."""

    folder: Path
    files: tuple[Path, ...]
    recording: Recording
    elapsed_s: float
    """Tracking and drawing, wall clock."""
    warnings: tuple[str, ...]
    score: Score | None
    """Measured error, for a clip with its truth beside it."""


class ClipJob:
    """Track one clip and write its results.

    Opening it reads nothing but the clip's first frame and writes nothing.

    Raises:
        SourceError: the clip or its camera cannot be read.
        OutputError: the results would lie among the images of the clip itself.
    """

    def __init__(self, clip: Path, folder: Path, options: ClipOptions) -> None:
        self.clip = clip
        self.source = open_source(clip, fps=options.camera.fps)
        self._options = options
        self._camera = CameraChoice(options.camera)
        self.camera = self._camera(self.source.info.hw)
        self._folder = folder
        self._numbered = HandNumbers()
        self._interrupted = False
        if folder.resolve() == clip.resolve():
            raise OutputError(
                f"the results of {clip} would lie among its images; choose another folder with --out"
            )

    def run(
        self,
        tracker: HandTracker,
        drawing: DrawingThread | None,
        monitor: Monitor,
        stop: StopRequest,
        stream: ClipStream | None = None,
    ) -> Outcome:
        """Track until the end or until asked to stop, then write the files of what was tracked.

        With a stream, frames are tracked at the clip's pace and published as they are done.

        Raises:
            SourceError: no frame could be read.
            OutputError: a file cannot be written.
            KeyboardInterrupt: the user insisted on stopping, or stopped before the first frame.
        """
        tracker.reset()
        info = ClipInfo(str(self.clip), self.camera, self.source.info.fps, tracker.mode)
        recording = Recording(info, tracker.model)
        began = time.perf_counter()
        with result_folder(self._folder):
            with self._film(drawing) as film:
                for frame, camera in self._frames(monitor, stop, stream):
                    found = tracker(frame)
                    if stream is not None:  # as the tracker numbers them: never the same twice
                        stream.publish(frame, camera, found)
                    hands = self._numbered(found)
                    recording.append(frame.index, frame.timestamp_s, hands)
                    if film is not None:
                        film.add(frame, camera, hands)
                    monitor.frame_done()
                self._check_any(recording, stop)
                forget_earlier_summary(self._folder)
            return self._write(recording, film, time.perf_counter() - began, monitor)

    def _film(self, drawing: DrawingThread | None) -> AbstractContextManager[ClipFilm | None]:
        if drawing is None:
            return nullcontext()
        return open_film(self._folder, self.source.info.fps, drawing, self._options.picture)

    def _frames(
        self, monitor: Monitor, stop: StopRequest, stream: ClipStream | None
    ) -> Iterator[tuple[Frame, Camera]]:
        """Yield the frames with their camera until the end or until asked to stop."""
        for frame in self.source:
            if stream is not None:
                stream.await_capture(frame)
            if stop.made:
                self._interrupted = True
                monitor.stopping()
                return
            camera = self._camera((frame.rgb.shape[0], frame.rgb.shape[1]))
            yield replace(frame, camera=camera), camera

    def _check_any(self, recording: Recording, stop: StopRequest) -> None:
        if not len(recording.frames):
            if stop.made:
                raise KeyboardInterrupt
            raise SourceError(f"no frame of {self.clip} could be read; check that it plays")

    def _write(
        self, recording: Recording, film: ClipFilm | None, elapsed_s: float, monitor: Monitor
    ) -> Outcome:
        """Write the files of what was tracked."""
        formats = self._options.output.formats
        files = [] if film is None else film.write_sheet()
        files += write_files(recording, self._folder, formats, writing=monitor.writing)
        score, problem = self._score(recording)
        warnings = [*self._warnings(recording, film), *([problem] if problem else [])]
        files.append(
            write_summary(
                recording,
                self._folder,
                elapsed_s=elapsed_s,
                files=files,
                warnings=warnings,
                score=score,
            )
        )
        return Outcome(self._folder, tuple(files), recording, elapsed_s, tuple(warnings), score)

    def _score(self, recording: Recording) -> tuple[Score | None, str | None]:
        """Measure the whole clip against the truth beside it; say so if that cannot be read."""
        truth = truth_beside(self.clip.resolve())
        if truth is None or self._interrupted:
            return None, None
        try:
            return score_against(recording, truth), None
        except SourceError as error:
            return None, f"the error was not measured: {error}"

    def _warnings(self, recording: Recording, film: ClipFilm | None) -> Iterator[str]:
        """Yield what the user should know about the results."""
        if self.source.warning:
            yield self.source.warning
        if film is not None and film.warning:
            yield film.warning
        if self._camera.sizes > 1:
            height, width = self.camera.hw
            yield (
                f"frames are of {self._camera.sizes} sizes; K in hands.npz is of {width}x{height}"
            )
        if self._interrupted:
            expected = self.source.info.frame_count
            total = f" of {expected}" if expected else ""
            yield f"interrupted: stopped by the user after {len(recording.frames)}{total} frames"
