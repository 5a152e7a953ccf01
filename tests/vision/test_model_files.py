"""Detector models are found where they may be, and never taken on trust."""

import zipfile
from pathlib import Path

import pytest

from tracker.errors import ModelFileError
from tracker.vision import model_files

PALM = "palm_detection_full.tflite"


@pytest.mark.parametrize("name", [n for n in model_files.manifest() if n.endswith(".tflite")])
def test_every_model_is_found(name: str) -> None:
    assert len(model_files.read_model(name)) == model_files.manifest()[name]["bytes"]


def test_a_tampered_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(model_files.read_model(PALM))
    data[1000] ^= 1
    (tmp_path / PALM).write_bytes(data)
    monkeypatch.setattr(model_files, "search_folders", lambda: [tmp_path])
    with pytest.raises(ModelFileError, match="other contents"):
        model_files.read_model(PALM)


def test_a_missing_model_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "search_folders", lambda: [tmp_path])
    with pytest.raises(ModelFileError, match=r"pip install mediapipe==0\.10\.14") as caught:
        model_files.read_model(PALM)
    assert str(tmp_path) in str(caught.value)


def test_the_user_s_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDLOOM_MODELS", str(tmp_path))
    assert model_files.search_folders()[0] == tmp_path


def test_a_bundle_is_read_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = model_files.read_model(PALM)
    with zipfile.ZipFile(tmp_path / "hand_landmarker.task", "w") as archive:
        archive.writestr("hand_detector.tflite", data)
    monkeypatch.setattr(model_files, "search_folders", lambda: [tmp_path])
    assert model_files.read_model(PALM) == data


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelFileError, match=PALM):
        model_files.read_model("nose_detector.tflite")
