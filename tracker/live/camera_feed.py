"""A webcam through OpenCV: on Linux V4L2, compressed pictures, the shortest queue, driver's times.

OpenCV and not PyAV: it waits for a picture with a time limit, so that a camera which stands still
can be noticed, it lets the queue be one picture long, and it hands out the compressed picture,
which is then decoded to RGB in one go.
"""

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import UInt8

from tracker.errors import SourceError
from tracker.live.devices import no_camera
from tracker.live.feeds import FeedInfo
from tracker.live.records import Picture
from tracker.live.sources import check_size

_MJPG: Final = cv2.VideoWriter.fourcc(*"MJPG")
_OLDEST_S: Final = 1.0
"""A driver's time stamp further back than this is of another clock."""
_MAX_MISSES: Final = 3
"""Reads that may fail in a row before the camera counts as gone. How long one takes is set by
OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT in seconds, before OpenCV is loaded."""
_MAX_CORRUPT: Final = 100
"""Damaged pictures in a row after which the camera is opened anew; some come at every start."""

_HEADER_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class CameraWish:
    """What to ask of a camera; it gives what it has that is near."""

    hw: tuple[int, int] = (720, 1280)
    fps: float = 30.0


def is_camera(text: str) -> bool:
    """Return whether a source's name means a camera: a number or a device file."""
    return bool(re.fullmatch(r"\d{1,3}", text)) or text.startswith("/dev/video")


@runtime_checkable
class VideoCapture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool:  # noqa: D102
        ...

    def grab(self) -> bool:  # noqa: D102
        ...

    def retrieve(self) -> tuple[bool, Any]:  # noqa: D102
        ...

    def get(self, propId: int, /) -> float:  # noqa: D102
        ...

    def set(self, propId: int, value: float, /) -> bool:  # noqa: D102
        ...

    def release(self) -> None:  # noqa: D102
        ...


class CameraFeed:
    """Pictures of a webcam.

    Args:
        name: its number, or its device file.
        wish: size and rate to ask for.
        clock: the clock that the driver's time stamps are of.

    Raises:
        SourceError: there is no such camera, or it gives no picture.
    """

    def __init__(
        self,
        name: str,
        wish: CameraWish | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        wish = wish or CameraWish()
        self._name, self._clock = name, clock
        self._misses = self._corrupt = 0
        # OpenCV's own words on standard error would only repeat what is said below.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        self._capture = self._opened(wish)
        first = self._first()
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._info = FeedInfo(
            f"camera_{re.sub(r'[^0-9]', '', name)}",
            (first.rgb.shape[0], first.rgb.shape[1]),
            fps if 1 <= fps <= 1000 else wish.fps,
            timing="driver" if self._driver_s() is not None else "read_return",
        )

    @property
    def info(self) -> FeedInfo:
        """What is known of it."""
        return self._info

    def _opened(self, wish: CameraWish) -> VideoCapture:
        where: Any = int(self._name) if self._name.isdecimal() else self._name
        linux = sys.platform == "linux"
        capture: VideoCapture = cv2.VideoCapture(where, cv2.CAP_V4L2 if linux else cv2.CAP_ANY)
        if not capture.isOpened():
            capture.release()
            raise SourceError(no_camera(self._name, "cannot be opened"))
        if linux:
            # Uncompressed 720p does not fit through USB 2 at more than 10 pictures a second.
            capture.set(cv2.CAP_PROP_FOURCC, _MJPG)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wish.hw[0])
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, wish.hw[1])
        capture.set(cv2.CAP_PROP_FPS, wish.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._compressed = linux and int(capture.get(cv2.CAP_PROP_FOURCC)) == _MJPG
        if self._compressed:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        return capture

    def _first(self) -> Picture:
        """Return the first picture; webcams take up to two seconds for it."""
        try:
            for _ in range(_MAX_MISSES * 10):
                picture = self.read()
                if picture is not None:
                    return picture
        except SourceError as error:
            self.close()
            raise SourceError(no_camera(self._name, "opens but gives no picture")) from error
        self.close()
        raise SourceError(no_camera(self._name, "gives only damaged pictures"))

    def read(self) -> Picture | None:
        """Return the next picture; None when it came damaged or not in time.

        Raises:
            SourceError: the camera has gone away.
        """
        if not self._capture.grab():
            return self._missed()
        arrived_s = self._clock()
        _, data = self._capture.retrieve()
        rgb = self._decoded(data)
        if rgb is None:
            self._corrupt += 1
            if self._corrupt > _MAX_CORRUPT:
                raise SourceError(f"camera {self._name} gives only damaged pictures")
            return None
        self._misses = self._corrupt = 0
        driver_s = self._driver_s()
        return Picture(rgb, arrived_s if driver_s is None else min(driver_s, arrived_s))

    def _missed(self) -> None:
        self._misses += 1
        if self._misses >= _MAX_MISSES or not self._capture.isOpened():
            raise SourceError(f"camera {self._name} has gone away, or another program took it")

    def _decoded(self, data: np.ndarray | None) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return the picture as RGB, or None when it is damaged."""
        if data is None or not data.size:
            return None
        if self._compressed:
            hw = jpeg_hw(data.ravel()[:_HEADER_BYTES].tobytes())
            if hw is None:
                return None
            check_size(f"camera {self._name}", hw)
            rgb = cv2.imdecode(data.ravel(), cv2.IMREAD_COLOR_RGB)
            return None if rgb is None else np.asarray(rgb, np.uint8)
        check_size(f"camera {self._name}", (data.shape[0], data.shape[1]))
        return np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB), np.uint8)

    def _driver_s(self) -> float | None:
        """Return when the driver says that the picture was taken, if it is of our clock."""
        stamp_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        return stamp_s if 0 <= self._clock() - stamp_s < _OLDEST_S else None

    def close(self) -> None:
        """Give the camera back."""
        self._capture.release()


def jpeg_hw(data: bytes) -> tuple[int, int] | None:
    """Return height and width from a JPEG's frame header; None when it has none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        # SOF0 to SOF15, but for the tables DHT, JPG and DAC between them (ITU T.81, table B.1).
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(
                data[at + 7 : at + 9], "big"
            )
        at += 2 + length
    return None
