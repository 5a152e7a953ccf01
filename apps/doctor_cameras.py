"""Cameras as Linux describes them (V4L2), asked without starting one."""

import fcntl
import os
import struct
from typing import Final

from tracker.live.devices import found_cameras

_ENUM_FORMAT: Final = 0xC0405602
"""VIDIOC_ENUM_FMT of linux/videodev2.h: struct v4l2_fmtdesc has 64 bytes."""
_ENUM_SIZE: Final = 0xC02C564A
"""VIDIOC_ENUM_FRAMESIZES: struct v4l2_frmsizeenum has 44 bytes."""
_CAPTURE: Final = 1
_DISCRETE: Final = 1
_MOST: Final = 64


def describe_cameras() -> list[tuple[str, bool]]:
    """Return each camera in words, and whether this user may read it."""
    described: list[tuple[str, bool]] = []
    for device in found_cameras():
        try:
            handle = os.open(device.path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            described.append((f"{device}: cannot be opened ({error.strerror})", False))
            continue
        try:
            formats = [
                f"{name} {_largest(handle, code)}".strip() for code, name in _formats(handle)
            ]
        finally:
            os.close(handle)
        described.append((f"{device}: {', '.join(formats) or 'gives no pictures'}", bool(formats)))
    return described


def _formats(handle: int) -> list[tuple[int, str]]:
    """Return the pixel formats of a camera: code and four letters."""
    found: list[tuple[int, str]] = []
    for index in range(_MOST):
        asked = bytearray(struct.pack("II", index, _CAPTURE).ljust(64, b"\0"))
        try:
            fcntl.ioctl(handle, _ENUM_FORMAT, asked)
        except OSError:
            break
        (code,) = struct.unpack_from("I", asked, 44)
        letters = struct.pack("I", code).decode("ascii", "replace").strip()
        found.append((code, letters))
    return found


def _largest(handle: int, code: int) -> str:
    """Return the largest picture of a format, such as `1920x1080`; empty where it is not listed."""
    best = (0, 0)
    for index in range(_MOST):
        asked = bytearray(struct.pack("II", index, code).ljust(44, b"\0"))
        try:
            fcntl.ioctl(handle, _ENUM_SIZE, asked)
        except OSError:
            break
        kind, width, height = struct.unpack_from("III", asked, 8)
        if kind != _DISCRETE:
            break
        best = max(best, (width, height), key=lambda size: size[0] * size[1])
    return f"up to {best[0]}x{best[1]}" if best[0] else ""
