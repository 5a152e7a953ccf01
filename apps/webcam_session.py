"""The main loop of the live program: newest frame to the view, keys to what they ask for."""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from PIL import Image
from rich.console import Console

from apps.webcam_calibration import CalibrationSession
from apps.webcam_hud import hud_lines
from apps.webcam_options import WebcamOptions
from apps.webcam_person import Known
from apps.webcam_recorders import RecorderSwitch, report_line
from apps.webcam_stream import LivePublisher
from tracker.errors import OutputError
from tracker.live.live_tracker import LiveTracker
from tracker.live.pacing import SHOW_PERIOD_S
from tracker.live.records import TrackedFrame
from tracker.stop_request import StopRequest
from tracker.view.live_headless import HeadlessView, LastingView
from tracker.view.live_view import Command, Hud, LivePicture, LiveView
from tracker.view.overlay import draw_hands
from tracker.view.software_renderer import SoftwareRenderer
from tracker.vision.hand_tracker import HandTracker
from tracker.whole_file import make_folder, whole_file

_LOOK_S: Final = 1 / 60
"""How often keys are looked for while no frame comes."""
_AGAIN_S: Final = 0.15
"""After so long without a frame the last one is shown again, with what is to be said."""
_PAUSED_S: Final = 1 / 30
"""The same while paused, when the hands can still be turned about."""
_HUD_PERIOD_S: Final = 0.25
"""Numbers that change more often cannot be read."""
_NOTICE_S: Final = 3.0
_SAY_PERIOD_S: Final = 5.0
"""Between lines of facts where nothing is shown."""


@dataclass(frozen=True)
class Parts:
    """What the session works with."""

    live: LiveTracker
    publisher: LivePublisher
    recorders: RecorderSwitch
    view: LiveView
    options: WebcamOptions
    console: Console
    known: Known
    tracker: HandTracker


class LiveSession:
    """Shows and obeys until the source ends or someone wants to stop."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts
        self._paused = False
        self._last: TrackedFrame | None = None
        self._hud = Hud()
        self._hud_s = self._said_s = self._shown_s = 0.0
        self._notice: tuple[str, float] | None = None
        self._calibrating: CalibrationSession | None = None

    def run(self, stop: StopRequest) -> None:
        """Run until the source has ended, the view is closed, or a stop is asked for.

        Raises:
            Exception: what a thread failed with.
        """
        seconds = self._p.options.seconds
        end_s = None if seconds is None else time.monotonic() + seconds
        while not stop.made and not self._p.live.finished:
            if end_s is not None and time.monotonic() >= end_s:
                return
            time.sleep(max(self._shown_s + SHOW_PERIOD_S - time.monotonic(), 0.0))
            self._show(self._p.live.take(_LOOK_S))
            self._tell_of_recordings()
            for command in self._p.view.commands():
                if command is Command.QUIT:
                    return
                self._obey(command)

    # Showing ----------------------------------------------------------------------------------------

    def _show(self, tracked: TrackedFrame | None) -> None:
        """Show the newest frame; while none comes, the last one again with what is to be said."""
        fresh = False
        if tracked is not None and not self._paused:
            fresh = True
            self._last = tracked
            self._calibrate(tracked)
        shown, now_s = self._last, time.monotonic()
        again_s = _PAUSED_S if self._paused else _AGAIN_S
        if shown is None or (not fresh and now_s - self._shown_s < again_s):
            return
        self._refresh_hud(shown)
        hands = shown.hands if self._p.live.state != "lost" else ()
        self._p.view.show(LivePicture(shown.frame, shown.camera, hands, self._hud))
        self._shown_s = time.monotonic()
        if fresh and not is_headless(self._p.view):
            self._p.publisher.shown(shown)

    def _refresh_hud(self, tracked: TrackedFrame) -> None:
        now_s = time.monotonic()
        lines = self._hud.lines
        if now_s - self._hud_s >= _HUD_PERIOD_S:
            self._hud_s = now_s
            lines = hud_lines(
                self._p.publisher.facts(),
                tracked.hands,
                tracked.camera,
                hand_is_calibrated=self._p.known.hand_is_calibrated,
                steadiness=self._p.options.hand.steadiness,
            )
            if is_headless(self._p.view) and now_s - self._said_s >= _SAY_PERIOD_S:
                self._said_s = now_s
                notice = self._current_notice(now_s)
                said = [*lines, notice] if notice else lines
                self._p.console.print(" | ".join(said), markup=False, soft_wrap=True)
        self._hud = Hud(lines, self._current_notice(now_s))

    def _current_notice(self, now_s: float) -> str | None:
        if self._p.live.state == "lost":
            return f"camera: lost, trying again ({self._p.live.problem or 'no picture comes'})"
        if self._calibrating is not None:
            return self._calibrating.notice
        said = [self._notice[0]] if self._notice is not None and now_s < self._notice[1] else []
        said += ["paused; hands are tracked on"] if self._paused else []
        said += ["recording"] if self._p.recorders.is_recording else []
        return " | ".join(said) or None

    def _tell(self, text: str) -> None:
        self._notice = (text, time.monotonic() + _NOTICE_S)
        self._p.console.print(text, markup=False, soft_wrap=True)

    # Obeying ----------------------------------------------------------------------------------------

    def _obey(self, command: Command) -> None:
        if command is Command.PAUSE:
            self._paused = not self._paused
        elif command is Command.RECORD:
            self._p.recorders.toggle()
        elif command is Command.SCREENSHOT:
            self._take_screenshot()
        elif command is Command.CALIBRATE:
            self._begin_or_give_up_calibration()

    def _begin_or_give_up_calibration(self) -> None:
        if self._calibrating is not None:
            self._calibrating = None
            self._tell("calibration given up; nothing was saved")
            return
        try:
            self._calibrating = self._p.known.new_session(self._p.tracker)
        except ValueError as error:
            self._tell(str(error))

    def _calibrate(self, tracked: TrackedFrame) -> None:
        """Show one frame to the calibration that is under way; use what it found."""
        session = self._calibrating
        if session is None:
            return
        try:
            session.add(tracked.frame, tracked.camera, tracked.hands)
        except OutputError as error:
            self._calibrating = None
            self._tell(str(error))
        if session.result is not None:
            self._calibrating = None
            self._p.live.use(self._p.known.learn(session.result))
            self._tell(session.summary())

    def _take_screenshot(self) -> None:
        if self._last is None:
            return
        try:
            self._tell(f"screenshot: {write_screenshot(self._p, self._last)}")
        except OutputError as error:
            self._tell(str(error))

    def _tell_of_recordings(self) -> None:
        failure = self._p.recorders.failed()
        if failure is not None:
            self._tell(failure)
        for report in self._p.recorders.reports():
            self._tell("; ".join([report_line(report), *report.problems]))


def is_headless(view: LiveView) -> bool:
    """Return whether nothing is drawn, from the start or since the display went away."""
    inner = view.view if isinstance(view, LastingView) else view
    return isinstance(inner, HeadlessView)


def write_screenshot(parts: Parts, tracked: TrackedFrame) -> Path:
    """Write what the view shows, or else the frame with its meshes, and return the file.

    Raises:
        OutputError: it cannot be written.
    """
    rgb = parts.view.shown()
    if rgb is None:
        rgb = draw_hands(tracked.frame.rgb, tracked.hands, tracked.camera, SoftwareRenderer())
    path = make_folder(parts.options.show.out) / f"{stamped('screenshot')}.png"
    with whole_file(path) as partial:
        Image.fromarray(rgb).save(partial)
    return path


def stamped(word: str) -> str:
    """Return a name with the time of day, so that none is used twice."""
    return f"{word}_{datetime.now().astimezone():%Y%m%d_%H%M%S_%f}"[:-4]
