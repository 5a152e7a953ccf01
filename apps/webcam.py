"""Follow hands live: camera, stream, screen or file in; textured 3D hands, joints and a stream out.

python apps/webcam.py --source demo
"""

import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path

# Read when the libraries load. Threads that spin while they wait take the time of the others, and
# OpenCV's own ten seconds of patience with a camera would also delay the end of the program.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")

if __name__ == "__main__" and sys.argv[1:] == ["doctor"]:
    # Before the libraries it looks into are imported: it must work where they do not.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from apps.webcam_doctor import main as doctor

    sys.exit(doctor())

# Before OpenCV, or else FFmpeg crashes on the screen: see `open_screen`.
import av  # noqa: F401  # pyright: ignore[reportUnusedImport]
import cv2
from rich.console import Console

from apps.serving import serving
from apps.webcam_arguments import parse_arguments
from apps.webcam_calibration import calibrate
from apps.webcam_options import WebcamOptions
from apps.webcam_person import Known, newest_frames
from apps.webcam_recorder import RecordingPlan
from apps.webcam_recorders import RecorderSwitch, report_line
from apps.webcam_session import LiveSession, Parts, stamped
from apps.webcam_source import LiveSource, open_live_source
from apps.webcam_stream import LivePublisher
from apps.webcam_view import open_view
from tracker.errors import HandloomError
from tracker.live.live_tracker import LiveTracker
from tracker.stop_request import StopRequest
from tracker.vision.hand_tracker import HandTracker

BAD_INPUT, INTERRUPTED = 2, 130
_SWITCH_S = 0.001
"""How soon a thread that computes in Python lets another one in; the tracker must not wait 5 ms."""


def webcam(options: WebcamOptions, *, calibrating: bool = False) -> int:
    """Run until the end and return the exit code: 0, 2 for bad input, 130 when interrupted."""
    console = Console(stderr=True, highlight=False, emoji=False)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s"
    )
    cv2.setNumThreads(1)  # its pool and the inference threads would fight over few cores
    sys.setswitchinterval(_SWITCH_S)
    # What a damaged stream means is said in our words. Any level but None makes FFmpeg's threads wait
    # for Python to log, while Python waits for them to end: the program then hangs at times.
    try:
        options.check()
    except ValueError as error:
        return _refuse(console, error)
    try:
        with StopRequest() as stop:
            source = open_live_source(options.source, fps=options.camera.fps)
            run = _calibrate if calibrating else _live
            return run(source, options, console, stop)
    except HandloomError as error:
        return _refuse(console, error)
    except KeyboardInterrupt:
        console.print("stopped", style="yellow")
        return INTERRUPTED


def _refuse(console: Console, error: Exception) -> int:
    console.print("error:", style="bold red", end=" ")
    console.print(str(error), markup=False, soft_wrap=True)
    return BAD_INPUT


def _live(source: LiveSource, options: WebcamOptions, console: Console, stop: StopRequest) -> int:
    """Open everything, run, and close everything in the reverse order."""
    with ExitStack() as stack:
        live, known = _begun(source, options, console, stack)
        tracker = _ready_tracker(known, console)
        facts = options.hand.stream_facts(live.info.timing, calibrated=known.hand_is_calibrated)
        server = stack.enter_context(serving(options.show.serve, facts, tracker.model, console))
        publisher = LivePublisher(server)
        recorders = RecorderSwitch(lambda: _plan(options, live, tracker.mode), tracker)
        view = open_view(
            options.show.view,
            live.info.hw,
            smoothing=known.tracker.smoothing,
            on_smoothing=known.set_smoothing,
        )
        stack.callback(view.close)
        if options.show.record is not None:
            recorders.toggle()
        try:
            live.track(tracker, [publisher, recorders])
            parts = Parts(live, publisher, recorders, view, options, console, known, tracker)
            LiveSession(parts).run(stop)
        finally:
            live.close()
            _finish(recorders, console)
        for problem in source.problems():
            console.print(problem, style="yellow", markup=False, soft_wrap=True)
    return INTERRUPTED if stop.made else 0


def _calibrate(
    source: LiveSource, options: WebcamOptions, console: Console, stop: StopRequest
) -> int:
    """Calibrate hand or camera instead of running."""
    with ExitStack() as stack:
        live, known = _begun(source, options, console, stack)
        request = known.request
        tracker = _ready_tracker(known, console)
        view = open_view(options.show.view, live.info.hw)
        stack.callback(view.close)
        return calibrate(newest_frames(live, stop), tracker, view, request)


def _begun(
    source: LiveSource, options: WebcamOptions, console: Console, stack: ExitStack
) -> tuple[LiveTracker, Known]:
    """Begin to capture, and gather what is known of camera and hand."""
    say = lambda line: console.print(line, markup=False, soft_wrap=True)  # noqa: E731
    known = Known(options, source.feed.info, say)
    known.camera_of(source.feed.info.hw)  # refuses intrinsics that do not fit, before all else
    live = stack.enter_context(LiveTracker(source.feed, source.reopen, known.camera_of))
    return live, known


def _ready_tracker(known: Known, console: Console) -> HandTracker:
    """Open the tracker and let it compile, so that the first frames are as quick as the others."""
    with console.status("getting ready; a new machine compiles once, for about half a minute"):
        return known.new_tracker()


def _plan(options: WebcamOptions, live: LiveTracker, mode: str) -> RecordingPlan:
    base = options.show.record or options.show.out
    return RecordingPlan(
        folder=Path(base) / stamped(live.info.name),
        formats=options.show.formats,
        source=options.source.source,
        fps=live.info.fps,
        patient=live.info.patient,
        mode=mode,
    )


def _finish(recorders: RecorderSwitch, console: Console) -> None:
    """Write what was recorded; a second Ctrl-C leaves the files that are whole."""
    if recorders.is_recording:
        console.print("finishing the recording; Ctrl-C again stops at once")
    for report in recorders.close():
        console.print(report_line(report), markup=False, soft_wrap=True)
        for problem in report.problems:
            console.print(f"  {problem}", style="yellow", markup=False, soft_wrap=True)


def main() -> None:
    """Run the program."""
    arguments = parse_arguments()
    if arguments.command == "doctor":
        # Imported here: it looks into everything, and the live program needs none of it.
        from apps.webcam_doctor import main as doctor

        sys.exit(doctor())
    sys.exit(webcam(arguments.options, calibrating=arguments.command == "calibrate"))


if __name__ == "__main__":
    main()
