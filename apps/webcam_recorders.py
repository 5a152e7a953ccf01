"""Recordings of a live run, begun and ended by key."""

from collections.abc import Callable

from apps.webcam_recorder import LiveRecorder, RecordingPlan, RecordingReport
from tracker.live.records import SourceState, TrackedFrame
from tracker.vision.hand_tracker import HandTracker


class RecorderSwitch:
    """Starts and ends recordings; a listener of `LiveTracker` that hands frames on to the open one.

    Args:
        plan: of a recording that begins now.
        tracker: whose hand model the files hold.
    """

    def __init__(self, plan: Callable[[], RecordingPlan], tracker: HandTracker) -> None:
        self._plan, self._tracker = plan, tracker
        self._open: LiveRecorder | None = None
        self._writing: list[LiveRecorder] = []

    def tracked(self, tracked: TrackedFrame) -> None:
        """Hand a frame on."""
        recorder = self._open
        if recorder is not None:
            recorder.tracked(tracked)

    def source_is(self, state: SourceState, last: TrackedFrame | None) -> None:
        """Do nothing: while the source is lost, the recording has a gap."""

    @property
    def is_recording(self) -> bool:
        """Whether frames are being kept."""
        return self._open is not None

    def toggle(self) -> None:
        """Begin a recording, or end the one that is open."""
        if self._open is None:
            self._open = LiveRecorder(self._plan(), self._tracker.model)
        else:
            self._end()

    def _end(self) -> None:
        if self._open is not None:
            self._open.stop()
            self._writing.append(self._open)
            self._open = None

    def failed(self) -> str | None:
        """Return why the open recording has ended by itself, if it has; once."""
        if self._open is None or self._open.is_recording:
            return None
        problem = self._open.problem
        self._end()
        return f"the recording has ended: {problem or 'it is full'}"

    def reports(self) -> list[RecordingReport]:
        """Return the recordings that are written since the last call."""
        done = [r.report for r in self._writing]
        self._writing = [r for r, report in zip(self._writing, done, strict=True) if not report]
        return [report for report in done if report is not None]

    def close(self) -> list[RecordingReport]:
        """End the open recording and wait for all files."""
        self._end()
        reports = [recorder.close() for recorder in self._writing]
        self._writing = []
        return reports


def report_line(report: RecordingReport) -> str:
    """Return in one line what a recording came to."""
    less = f", {report.left_out} not in the video" if report.left_out else ""
    return f"recorded {report.frames} frames{less}: {report.folder} ({len(report.files)} files)"
