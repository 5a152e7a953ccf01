"""Cameras that exist on paper only: what V4L2 would answer."""

import errno
import os
import struct
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("V4L2 is Linux's", allow_module_level=True)

from apps import doctor_cameras
from apps.doctor_cameras import describe_cameras
from tracker.live.devices import CameraDevice

FORMATS = ("YUYV", "MJPG")
SIZES = ((640, 480), (1920, 1080), (1280, 720))


def answer(handle: int, request: int, asked: bytearray) -> int:
    """Answer as a driver would that knows `FORMATS` and `SIZES`."""
    (index,) = struct.unpack_from("I", asked, 0)
    known = FORMATS if request == 0xC0405602 else SIZES
    if index >= len(known):
        raise OSError(errno.EINVAL, "no more")
    if request == 0xC0405602:
        assert len(asked) == 64
        struct.pack_into("4s", asked, 44, FORMATS[index].encode())
    else:
        assert len(asked) == 44
        struct.pack_into("III", asked, 8, 1, *SIZES[index])
    return 0


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch, tmp_path) -> str:
    node = tmp_path / "video0"
    node.touch()
    found = [CameraDevice(str(node), "Webcam C920")]
    monkeypatch.setattr(doctor_cameras, "found_cameras", lambda: found)
    monkeypatch.setattr(doctor_cameras.fcntl, "ioctl", answer)
    return str(node)


def test_a_camera_is_described_by_its_formats(camera):
    (said, readable), *others = describe_cameras()
    assert not others
    assert readable
    assert said == f"{camera} (Webcam C920): YUYV up to 1920x1080, MJPG up to 1920x1080"


def test_a_camera_that_may_not_be_opened_is_said(camera, monkeypatch):
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    ((said, readable),) = describe_cameras()
    assert not readable
    assert "Permission denied" in said


def test_a_device_without_formats_gives_no_pictures(camera, monkeypatch):
    def none(handle: int, request: int, asked: bytearray) -> int:
        raise OSError(errno.ENOTTY, "no camera")

    monkeypatch.setattr(doctor_cameras.fcntl, "ioctl", none)
    ((said, readable),) = describe_cameras()
    assert not readable
    assert "gives no pictures" in said
