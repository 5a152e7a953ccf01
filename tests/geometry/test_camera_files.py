"""Intrinsics in every form that is understood, and what is said of those that are not."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import SourceError
from tracker.geometry.camera_files import read_intrinsics

HW = (480, 640)
K = np.array([[500.0, 0, 330], [0, 510, 250], [0, 0, 1]])
GOOD = {
    "K and hw": json.dumps({"K": K.tolist(), "hw": [480, 640]}),
    "K alone": json.dumps({"K": K.tolist()}),
    "K in one row": json.dumps({"K": K.ravel().tolist(), "width": 640, "height": 480}),
    "only the matrix": json.dumps(K.tolist()),
    "focal lengths": '{"fx": 500, "fy": 510, "cx": 330, "cy": 250, "width": 640, "height": 480}',
    "nine numbers": "500 0 330\n0 510 250\n0 0 1\n",
    "with commas": "500, 0, 330,\n0, 510, 250,\n0, 0, 1",
}


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "camera.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("form", GOOD)
def test_every_form_gives_the_same_camera(tmp_path: Path, form: str) -> None:
    camera = read_intrinsics(write(tmp_path, GOOD[form]), HW)
    np.testing.assert_array_equal(camera.K, K)
    assert camera.hw == HW
    assert not camera.assumed


@pytest.mark.parametrize("times", [0.5, 3])
def test_a_file_of_another_size_is_brought_to_the_frames(tmp_path: Path, times: float) -> None:
    size = [round(times * side) for side in HW]
    K_there = np.diag([times, times, 1]) @ K
    path = write(tmp_path, json.dumps({"K": K_there.tolist(), "hw": size}))
    np.testing.assert_allclose(read_intrinsics(path, HW).K, K)


BAD = {
    "cut off": ('{"K": [[500, 0', "line 1"),
    "noise": (bytes(range(128, 256)), "utf-8"),
    "empty": ("", "nine numbers, found 0"),
    "prose": ("focal length 500", "could not convert"),
    "eight numbers": ("1 0 1 0 1 1 0 0", "nine numbers, found 8"),
    "no fy": ('{"fx": 500, "cx": 330, "cy": 250}', "'fy' is missing"),
    "not finite": ("nan 0 330 0 510 250 0 0 1", "finite"),
    "behind": ("-500 0 330 0 510 250 0 0 1", "positive"),
    "transposed": ("500 0 0 0 510 0 330 250 1", "rows fx s cx"),
    "in units of the width": ("0.78 0 0.5 0 1.06 0.52 0 0 1", "must be in pixels"),
    "no numbers": ('{"K": "hello"}', "could not convert"),
    "no size": ('{"K": [1, 0, 1, 0, 1, 1, 0, 0, 1], "hw": 480}', "cannot be used"),
    "nested without end": ("[" * 5000, "cannot be used"),
    "a long list": ("1 " * 600_000, "larger than 1 MB"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_is_not_understood_is_refused_with_an_example(tmp_path: Path, fault: str) -> None:
    content, reason = BAD[fault]
    with pytest.raises(SourceError) as caught:
        read_intrinsics(write(tmp_path, content), HW)
    message = str(caught.value)
    assert reason in message
    assert "camera.txt" in message
    assert "expected JSON such as" in message
    assert "\n" not in message


def test_another_picture_shape_is_another_crop(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"K": K.tolist(), "hw": [480, 480]}))
    with pytest.raises(SourceError, match="pictures of 480x480, but the frames are 640x480"):
        read_intrinsics(path, HW)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone.json cannot be read \(No such file"):
        read_intrinsics(tmp_path / "gone.json", HW)
    with pytest.raises(SourceError, match=r"cannot be read \(Is a directory"):
        read_intrinsics(tmp_path, HW)


@given(content=st.binary(max_size=60) | st.text('0123456789.,-e[]{}"KNanhw: ', max_size=60))
def test_no_content_gives_another_error(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp(), content)
    with suppress(SourceError):
        assert np.isfinite(read_intrinsics(path, HW).K).all()
