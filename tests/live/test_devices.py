"""Cameras are listed from what Linux says of them."""

from pathlib import Path

import pytest

from tracker.live import devices
from tracker.live.devices import CameraDevice, found_cameras, no_camera


@pytest.fixture
def system(tmp_path: Path) -> Path:
    for node, name, index in (
        ("video0", "Integrated Camera", "0"),
        ("video1", "Integrated Camera", "1"),
        ("video10", "Capture card", "0"),
        ("video2", "HD Webcam C270", "0"),
    ):
        (tmp_path / node).mkdir()
        (tmp_path / node / "name").write_text(name + "\n")
        (tmp_path / node / "index").write_text(index + "\n")
    return tmp_path


def test_second_nodes_are_left_out_and_order_is_by_number(system: Path) -> None:
    assert found_cameras(system) == [
        CameraDevice("/dev/video0", "Integrated Camera"),
        CameraDevice("/dev/video2", "HD Webcam C270"),
        CameraDevice("/dev/video10", "Capture card"),
    ]


def test_no_folder_is_no_camera(tmp_path: Path) -> None:
    assert found_cameras(tmp_path / "none") == []


def test_the_message_lists_what_there_is_and_offers_the_demo(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "found_cameras", lambda: found_cameras(system))
    said = no_camera("7", "cannot be opened")
    assert "camera 7 cannot be opened; cameras found: /dev/video0 (Integrated Camera)" in said
    assert "--source demo" in said
    monkeypatch.setattr(devices, "found_cameras", list)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    assert "this machine lists no camera" in no_camera("0", "cannot be opened")
