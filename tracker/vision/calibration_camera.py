"""The camera from a chessboard shown to it, for a true field of view and so true distances."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracker.geometry.camera import Camera
from tracker.vision.calibration import CalibrationStep

FEWEST_VIEWS: Final = 12
MOST_VIEWS: Final = 30
_MOVED: Final = 0.06
"""Mean way of the corners, as a part of the picture's diagonal, that makes another view."""
_SEARCH_WIDTH: Final = 640
_FOCAL_SD: Final = 0.01
"""Relative standard deviation of the focal length that is good enough."""
_LARGEST_ERROR_PX: Final = 2.0
_FLAGS: Final = cv2.CALIB_FIX_ASPECT_RATIO | cv2.CALIB_ZERO_TANGENT_DIST | cv2.CALIB_FIX_K3
_STOP: Final = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.01)


@dataclass(frozen=True)
class CameraMeasure:
    """What a calibration found."""

    camera: Camera
    error_px: float
    """Root mean square distance between corners seen and explained."""
    focal_sd: float
    """Relative standard deviation of the focal length."""
    bent_px: float
    """How far the lens moves the picture's corners beyond what a pinhole camera does; the tracker leaves that out."""


class ChessboardCalibration:
    """Gathers different views of a chessboard until the camera is known.

    Args:
        pattern: inner corners along its two sides, e.g. (9, 6) for a board of 10 x 7 squares. The
            size of the squares does not matter for the camera.

    Raises:
        ValueError: the pattern is none, or looks the same upside down.
    """

    def __init__(self, pattern: tuple[int, int]) -> None:
        if not all(3 <= n <= 50 for n in pattern) or pattern[0] == pattern[1]:
            raise ValueError(
                f"a chessboard has two different numbers of inner corners from 3 to 50, such as 9x6, "
                f"found {pattern[0]}x{pattern[1]}"
            )
        self._pattern = pattern
        self._views: list[np.ndarray] = []
        self._hw = (0, 0)
        self._found: CameraMeasure | None = None

    def add(self, rgb: UInt8[np.ndarray, "h w 3"]) -> CalibrationStep:
        """Take in one frame."""
        if self._found is not None:
            return CalibrationStep(1.0)
        corners = self._corners(rgb)
        if corners is None:
            return self._step("show the whole chessboard")
        if self._hw != rgb.shape[:2]:
            self._hw, self._views = rgb.shape[:2], []
        diagonal = math.hypot(*self._hw)
        if any(_way_px(corners, view) < _MOVED * diagonal for view in self._views):
            return self._step("move and tilt the chessboard")
        self._views.append(corners)
        if len(self._views) >= FEWEST_VIEWS:
            self._found = self._solve()
        return self._step(None)

    def measure(self) -> CameraMeasure:
        """Return what was found.

        Raises:
            ValueError: not enough was seen, or the board cannot be explained.
        """
        if self._found is None:
            raise ValueError(
                f"{len(self._views)} different views of the chessboard do not fix the camera; tilt it "
                "more, on a stiff board, and fill the picture with it"
            )
        return self._found

    def _step(self, reason: str | None) -> CalibrationStep:
        if self._found is not None:
            return CalibrationStep(1.0)
        if len(self._views) >= FEWEST_VIEWS and reason is None:
            reason = "tilt the chessboard more, towards every side"
        return CalibrationStep(min(len(self._views) / FEWEST_VIEWS, 0.99), reason)

    def _corners(self, rgb: np.ndarray) -> Float[np.ndarray, "n 2"] | None:
        """Return the inner corners, looked for in a small picture and sharpened in the large one."""
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        times = max(gray.shape[1] / _SEARCH_WIDTH, 1.0)
        small = cv2.resize(gray, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)
        flags = (
            cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_FAST_CHECK
        )
        found, corners = cv2.findChessboardCorners(small, self._pattern, flags=flags)
        if not found:
            return None
        corners = ((corners + 0.5) * times - 0.5).astype(np.float32)
        reach = max(int(3 * times), 3)
        corners = cv2.cornerSubPix(gray, corners, (reach, reach), (-1, -1), _STOP)
        return corners[:, 0].astype(np.float64) + 0.5  # OpenCV counts from the first pixel's centre

    def _solve(self) -> CameraMeasure | None:
        columns, rows = self._pattern
        board = np.zeros((rows * columns, 3), np.float32)
        board[:, :2] = np.mgrid[:columns, :rows].T.reshape(-1, 2)
        seen = [view.astype(np.float32)[:, None] for view in self._views[-MOST_VIEWS:]]
        guess = Camera.from_fov(self._hw).K
        size = self._hw[1], self._hw[0]
        error, K, bend, _, _, spread, _, _ = cv2.calibrateCameraExtended(
            [board] * len(seen),
            seen,
            size,
            guess,
            np.zeros(5),
            flags=_FLAGS | cv2.CALIB_USE_INTRINSIC_GUESS,
        )
        focal_sd = float(spread[:2].max() / K[0, 0])  # only one of fx, fy is free
        if not (error < _LARGEST_ERROR_PX and focal_sd < _FOCAL_SD):
            return None
        try:
            camera = Camera(np.asarray(K, np.float64), self._hw)
        except ValueError:
            return None
        return CameraMeasure(camera, float(error), focal_sd, _bent_px(camera, bend))


def _way_px(corners: np.ndarray, other: np.ndarray) -> float:
    """Return how far the corners moved; a board seen upside down is the same board."""
    ways = [np.linalg.norm(corners - one, axis=-1).mean() for one in (other, other[::-1])]
    return float(min(ways))


def _bent_px(camera: Camera, bend: np.ndarray) -> float:
    """Return how far lens distortion moves the corners of the picture."""
    height, width = camera.hw
    uv = np.array([[0.0, 0], [width, 0], [0, height], [width, height]])
    rays = np.c_[uv, np.ones(4)] @ np.linalg.inv(camera.K).T
    bent, _ = cv2.projectPoints(rays[:, None], np.zeros(3), np.zeros(3), camera.K, bend)
    return float(np.linalg.norm(bent[:, 0] - uv, axis=-1).max())
