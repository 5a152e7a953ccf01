"""Calibrating from the program: sessions, files, and what is made of them later."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.webcam_calibration import (
    Calibration,
    CalibrationRequest,
    CalibrationSession,
    calibrate,
    load_calibration,
    parse_pattern,
    save_fov,
)
from apps.webcam_calibration_file import (
    CalibrationFileError,
    SavedCamera,
    SavedHand,
    camera_file,
    config_folder,
    hand_file,
    read_camera,
    read_hand,
    save_camera,
    save_hand,
)
from tests.vision.open_palms import CAMERA, Palm, model
from tracker.errors import OutputError
from tracker.view.live_headless import HeadlessView
from tracker.view.live_view import Command
from tracker.vision.hand_tracker import HandTrackerConfig
from tracker.vision.records import Frame

PALM = Palm(betas=(0.5, -1.0, *([0.2] * 8)))
HAND = SavedHand((0.1,) * 10, 1.1, model().sha256, 0.19, 0.002, "card")
LENS = SavedCamera(
    ((900.0, 0.0, 640.0), (0.0, 900.0, 360.0), (0.0, 0.0, 1.0)), (720, 1280), 0.2, "chessboard"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder of the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path / "handloom"


class PalmTracker:
    """Sees one palm in every frame."""

    def __init__(self, palm: Palm = PALM) -> None:
        self.model = model()
        self.palm = palm

    def __call__(self, frame: Frame):
        return [self.palm.seen(frame.timestamp_s)]


def frames(count: int) -> list[Frame]:
    picture = np.full((*CAMERA.hw, 3), 120, np.uint8)
    return [Frame(picture, CAMERA, n / 30, n) for n in range(count)]


def test_a_hand_is_calibrated_saved_and_used(folder: Path):
    said: list[str] = []
    request = CalibrationRequest(hand_length_mm=200)
    assert calibrate(frames(120), PalmTracker(), HeadlessView(), request, said.append) == 0
    assert "200 mm" in said[-1]
    known = load_calibration("any camera")
    assert known.scale_source == "calibrated"
    config = known.applied_to(HandTrackerConfig())
    assert config.hand_shape is not None
    np.testing.assert_allclose(config.hand_shape.betas, PALM.betas)
    assert hash(config) == hash(known.applied_to(HandTrackerConfig()))


def test_a_source_that_ends_early_saves_nothing(folder: Path):
    said: list[str] = []
    request = CalibrationRequest(hand_length_mm=200)
    assert calibrate(frames(30), PalmTracker(), HeadlessView(), request, said.append) == 2
    assert "ended before" in said[-1]
    assert load_calibration("camera") == Calibration()


def test_quitting_saves_nothing():
    class Leaving(HeadlessView):
        def commands(self) -> list[Command]:
            return [Command.QUIT]

    request = CalibrationRequest(hand_length_mm=200)
    assert calibrate(frames(120), PalmTracker(), Leaving(), request, lambda line: None) == 130
    assert read_hand("me") is None


def test_reasons_are_said_once_each():
    said: list[str] = []
    fist = PalmTracker(replace(PALM, bent=(0, 1.4)))
    calibrate(frames(20), fist, HeadlessView(), CalibrationRequest(hand_length_mm=200), said.append)
    assert sum("stretch" in line for line in said[:-1]) == 1


def test_without_a_card_in_sight_a_session_asks_for_it():
    session = CalibrationSession(CalibrationRequest(), model())
    for frame in frames(10):
        session.add(frame, CAMERA, [PALM.seen(frame.timestamp_s)])
    assert "bank card" in session.notice
    assert session.result is None


def test_frames_that_disagree_begin_anew(monkeypatch: pytest.MonkeyPatch, rng):
    from tracker.vision.calibration_card import CardSighting

    wild = lambda *given: CardSighting(np.zeros((4, 2)), float(rng.uniform(0.6, 1.7)))  # noqa: E731
    monkeypatch.setattr("apps.webcam_calibration.find_card", wild)
    session = CalibrationSession(CalibrationRequest(), model())
    reasons = [session.add(f, CAMERA, [PALM.seen(f.timestamp_s)]).reason for f in frames(110)]
    assert any("card says" in str(reason) for reason in reasons)
    assert session.result is None


def test_a_chessboard_that_is_not_there_is_asked_for():
    session = CalibrationSession(CalibrationRequest(chessboard=(9, 6)), model())
    session.add(frames(1)[0], CAMERA, [])
    assert "chessboard" in session.notice


def test_a_disk_that_cannot_be_written_is_said(folder: Path):
    folder.write_text("a file where the folder should be")
    with pytest.raises(OutputError):
        save_hand("me", HAND)


def test_a_stated_length_goes_before_a_calibration():
    stated = HandTrackerConfig(hand_length_mm=180.0)
    assert Calibration(HAND).applied_to(stated) == stated


def test_another_hand_model_keeps_the_length():
    config = Calibration(replace(HAND, model_sha256="0" * 64)).applied_to(HandTrackerConfig())
    assert config.hand_shape is None
    assert config.hand_length_mm == pytest.approx(190)


def test_a_camera_serves_every_size_of_its_shape():
    save_camera("Cam", LENS)
    known = load_calibration("Cam")
    for hw in ((720, 1280), (360, 640)):
        camera = known.camera(hw)
        assert camera is not None
        assert camera.hw == hw
        assert not camera.assumed
        assert camera.fov_deg == pytest.approx(70.8, abs=0.1)
    assert known.camera((480, 640)) is None
    assert load_calibration("another camera").camera((720, 1280)) is None


def test_a_stated_field_of_view_is_kept():
    save_fov("Cam", 78.0, (720, 1280))
    camera = load_calibration("Cam").camera((1080, 1920))
    assert camera is not None
    assert camera.fov_deg == pytest.approx(78)
    with pytest.raises(ValueError, match="field of view"):
        save_fov("Cam", 178.0, (720, 1280))


def test_what_is_written_is_read_again_and_is_private():
    assert read_hand("me") is None
    path = save_hand("me", HAND)
    assert path == hand_file("me")
    assert read_hand("me") == HAND
    save_camera("Cam", LENS)
    assert read_camera("Cam") == LENS
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_every_name_has_a_file_of_its_own_inside_the_folder(folder: Path):
    names = ["me", "Me", "m e", "../../etc/passwd", "/dev/video0", "", "ü", "a" * 500, "con", "\0"]
    files = [hand_file(name) for name in names]
    assert len(set(files)) == len(names)
    for file in files:
        assert file.parent == folder / "hands"
        assert len(file.name) < 100


HOSTILE = {
    "empty": b"",
    "no json": b"betas",
    "no object": b"[1, 2]",
    "binary": bytes(range(256)),
    "deep": b"[" * 40000,
    "huge": b" " * 100_000,
    "other format": b'{"format": "other/1", "hand": {}}',
    "no hand": b'{"format": "handloom-calibration/1"}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_strange_files_are_refused_and_calibration_goes_on_without(content: bytes):
    save_hand("me", HAND)
    hand_file("me").write_bytes(content)
    with pytest.raises(CalibrationFileError, match="calibrate"):
        read_hand("me")
    said: list[str] = []
    assert load_calibration("Cam", say=said.append) == Calibration()
    assert "not calibrated" in said[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("betas", [0.0] * 9),
            ("betas", [0.0] * 11),
            ("betas", [1e9] * 10),
            ("betas", "0123456789"),
        ),
        *(("betas", [float("nan")] * 10), ("betas", [True] * 10), ("betas", None), ("scale", 0)),
        *(("scale", "1"), ("scale", 10**400), ("scale", float("inf")), ("length_m", 0.5)),
        *(("length_m", -0.19), ("how", "guess"), ("how", None), ("length_sd_m", float("nan"))),
    ],
)
def test_every_number_of_a_hand_is_checked(field, value):
    content = json.loads(save_hand("me", HAND).read_text())
    content["hand"][field] = value
    hand_file("me").write_text(json.dumps(content))
    with pytest.raises(CalibrationFileError):
        read_hand("me")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("K", [[1, 0, 0], [0, 1, 0]]),
            ("K", [[900, 0, 640], [0, 900, 360], [0, 0, 2]]),
            ("K", 7),
        ),
        *(
            ("K", [[-900, 0, 640], [0, 900, 360], [0, 0, 1]]),
            ("K", [[1, 0, 640], [0, 1, 360], [0, 0, 1]]),
        ),
        *(("K", [[900, 0, 640, 1]] * 3), ("hw", [0, 1280]), ("hw", [720]), ("hw", [720, 10**9])),
        *(("error_px", -1), ("how", "card")),
    ],
)
def test_every_number_of_a_camera_is_checked(field, value):
    content = json.loads(save_camera("Cam", LENS).read_text())
    content["camera"][field] = value
    camera_file("Cam").write_text(json.dumps(content))
    with pytest.raises(CalibrationFileError):
        read_camera("Cam")


def test_the_folder_follows_the_customs_of_the_system(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/ann")
    for given in ("", "relative/config"):
        monkeypatch.setenv("XDG_CONFIG_HOME", given)
        assert config_folder() == Path("/home/ann/.config/handloom")
    monkeypatch.setattr("sys.platform", "darwin")
    assert config_folder() == Path("/home/ann/Library/Application Support/handloom")


def test_patterns_are_read():
    assert parse_pattern("9x6") == (9, 6)
    assert parse_pattern("11X8") == (11, 8)
    for text in ("9", "x6", "9x", "9x6x4", "nine x six", "-9x6", "9999x6"):
        with pytest.raises(ValueError, match="9x6"):
            parse_pattern(text)
