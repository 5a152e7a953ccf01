"""Calibrate hand and camera, and use what was calibrated before.

The live program loads what is saved with `load_calibration`; its key C and its command `calibrate` both run
a `CalibrationSession`, one frame after the other, and `calibrate` does so for a whole source.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from apps.webcam_calibration_file import (
    CalibrationFileError,
    SavedCamera,
    SavedHand,
    read_camera,
    read_hand,
    save_camera,
    save_hand,
)
from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.view.live_view import Command, Hud, LivePicture, LiveView
from tracker.vision.calibration import CalibrationStep, PalmCalibration
from tracker.vision.calibration_camera import ChessboardCalibration
from tracker.vision.calibration_card import CardSighting, find_card
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.records import Frame, TrackedHand

Known = Literal["assumed", "calibrated"]
DEFAULT_USER: Final = "me"
_DONE, _UNFINISHED, _INTERRUPTED = 0, 2, 130


def parse_pattern(text: str) -> tuple[int, int]:
    """Read a chessboard's inner corners from `9x6`.

    Raises:
        ValueError: it is none.
    """
    columns, cross, rows = text.lower().partition("x")
    if not (cross and columns.isdecimal() and rows.isdecimal() and len(text) <= 5):
        raise ValueError(
            f"--chessboard wants the numbers of inner corners, such as 9x6, found {text}"
        )
    return int(columns), int(rows)


@dataclass(frozen=True)
class CalibrationRequest:
    """What is to be calibrated, by what."""

    hand_length_mm: float | None = None
    """Wrist crease to middle fingertip, measured with a ruler; without it a bank card is looked for."""
    chessboard: tuple[int, int] | None = None
    """Inner corners of a chessboard: calibrates the camera instead of the hand."""
    user: str = DEFAULT_USER
    """Whose hand it is."""
    camera_name: str = "camera"
    """Which camera it is."""


@dataclass(frozen=True)
class Calibration:
    """What is known from earlier calibrations."""

    hand: SavedHand | None = None
    saved_camera: SavedCamera | None = None

    @property
    def scale_source(self) -> Known:
        """Whether sizes are true, for HUD and stream."""
        return "assumed" if self.hand is None else "calibrated"

    def camera(self, hw: tuple[int, int]) -> Camera | None:
        """Return the camera for frames of a size, None where it is not known for them."""
        return None if self.saved_camera is None else self.saved_camera.camera(hw)

    def applied_to(self, config: HandTrackerConfig) -> HandTrackerConfig:
        """Return the tracker's configuration with the hand that is known; a stated length goes first.

        Where the hand was calibrated with another hand model, its length is used, which is the same in all.
        """
        if self.hand is None or config.hand_length_mm is not None:
            return config
        if HandModel.load(config.hand_model).sha256 == self.hand.model_sha256:
            return replace(config, hand_shape=self.hand.shape)
        return replace(config, hand_length_mm=1e3 * self.hand.length_m)


def load_calibration(
    camera_name: str, user: str = DEFAULT_USER, say: Callable[[str], None] | None = None
) -> Calibration:
    """Return what was saved for a person and a camera; what cannot be read is left out and said."""
    say = say or _to_stderr
    hand: SavedHand | None = None
    camera: SavedCamera | None = None
    try:
        hand = read_hand(user)
    except CalibrationFileError as error:
        say(f"the hand is taken as not calibrated: {error}")
    try:
        camera = read_camera(camera_name)
    except CalibrationFileError as error:
        say(f"the camera is taken as not calibrated: {error}")
    return Calibration(hand, camera)


class CalibrationSession:
    """One calibration under way, fed with frames by whoever has them.

    Args:
        request: what is to be calibrated.
        model: the hand model that the tracker fits.

    Raises:
        ValueError: the length or the pattern is out of range.
    """

    def __init__(self, request: CalibrationRequest, model: HandModel) -> None:
        self.request = request
        self.step = CalibrationStep(0.0)
        """How far it is."""
        self.card: CardSighting | None = None
        """Where the card was in the last frame."""
        self.result: Calibration | None = None
        """What was found, once it is done; only that part of a `Calibration` is filled."""
        self._model = model
        self._palm = self._new_palm()
        board = request.chessboard
        self._board = None if board is None else ChessboardCalibration(board)

    def _new_palm(self) -> PalmCalibration:
        length_mm = self.request.hand_length_mm
        return PalmCalibration(
            self._model, hand_length_m=None if length_mm is None else length_mm / 1e3
        )

    @property
    def notice(self) -> str:
        """What the person should read now."""
        todo = self.step.reason or ("hold on" if self._board is None else "good, now another view")
        return f"calibrating {100 * self.step.progress:.0f} %: {todo}"

    @property
    def outlines(self) -> tuple[np.ndarray, ...]:
        """What to draw on the last frame, so that the person sees what was found."""
        return () if self.card is None else (self.card.corners_uv,)

    def add(self, frame: Frame, camera: Camera, hands: Sequence[TrackedHand]) -> CalibrationStep:
        """Take in one frame; when it is the last one needed, save what was found.

        Raises:
            OutputError: the calibration cannot be saved.
        """
        if self.result is not None:
            return self.step
        self.step = self._look(frame, camera, hands)
        if self.step.done:
            try:
                self.result = self._save()
            except ValueError as error:  # the frames disagree: begin again, and say why
                self._palm = self._new_palm()
                self.step = CalibrationStep(0.0, str(error))
        return self.step

    def summary(self) -> str:
        """Return what was found, in one line for the user."""
        if self.result is None:
            return "nothing was calibrated"
        hand, saved = self.result.hand, self.result.saved_camera
        if hand is not None:
            give = f" give or take {1e3 * hand.length_sd_m:.1f}" if hand.length_sd_m else ""
            return f"hand of {self.request.user}: {1e3 * hand.length_m:.0f} mm{give}, calibrated"
        camera = None if saved is None else saved.camera(saved.hw)
        if saved is None or camera is None:
            return "nothing was calibrated"
        return (
            f"camera {self.request.camera_name}: {camera.fov_deg:.1f} degrees across, corners "
            f"explained to {saved.error_px:.2f} px, calibrated"
        )

    def _look(self, frame: Frame, camera: Camera, hands: Sequence[TrackedHand]) -> CalibrationStep:
        if self._board is not None:
            return self._board.add(frame.rgb)
        self.card = None
        posed = self._palm.posed(hands, camera)
        if self.request.hand_length_mm is None and isinstance(posed, TrackedHand):
            self.card = find_card(frame.rgb, posed, camera)
        enlarged = None if self.card is None else self.card.enlarged
        return self._palm.add(hands, camera, enlarged=enlarged)

    def _save(self) -> Calibration:
        if self._board is not None:
            found = self._board.measure()
            K = tuple(tuple(float(x) for x in row) for row in found.camera.K)
            camera = SavedCamera(K, found.camera.hw, found.error_px, "chessboard")
            save_camera(self.request.camera_name, camera)
            return Calibration(saved_camera=camera)
        measure = self._palm.measure()
        hand = SavedHand(
            betas=measure.shape.betas,
            scale=measure.shape.scale,
            model_sha256=self._model.sha256,
            length_m=measure.length_m,
            length_sd_m=measure.length_sd_m,
            how="card" if self.request.hand_length_mm is None else "length",
        )
        save_hand(self.request.user, hand)
        return Calibration(hand=hand)


def save_fov(camera_name: str, fov_deg: float, hw: tuple[int, int]) -> SavedCamera:
    """Keep a camera whose angle across the longer image side is known from its data sheet.

    Raises:
        ValueError: the angle is out of range.
        OutputError: it cannot be written.
    """
    camera = Camera.from_fov(hw, fov_deg)
    K = tuple(tuple(float(x) for x in row) for row in camera.K)
    saved = SavedCamera(K, hw, 0.0, "fov")
    save_camera(camera_name, saved)
    return saved


def calibrate(
    frames: Iterable[Frame],
    tracker: HandTracker,
    view: LiveView,
    request: CalibrationRequest,
    say: Callable[[str], None] | None = None,
) -> int:
    """Run one calibration on a source, on the main thread, and save it.

    Returns:
        0 when it was saved, 2 when the source ended before, 130 when the user quit.

    Raises:
        ValueError: the length or the pattern is out of range.
        OutputError: the calibration cannot be saved.
    """
    say = say or _to_stderr
    session = CalibrationSession(request, tracker.model)
    said = ""
    for frame in frames:
        camera = frame.camera or Camera.from_fov(frame.rgb.shape[:2], assumed=True)
        hands = [] if request.chessboard is not None else tracker(frame)
        step = session.add(frame, camera, hands)
        if step.reason and step.reason != said:  # whoever has no view reads it here
            said = step.reason
            say(session.notice)
        hud = Hud(notice=session.notice)
        view.show(LivePicture(frame, camera, tuple(hands), hud, session.outlines))
        if step.done:
            say(session.summary())
            return _DONE
        if Command.QUIT in view.commands():
            say("calibration given up; nothing was saved")
            return _INTERRUPTED
    say(f"the pictures ended before the calibration did; {session.notice}")
    return _UNFINISHED


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
