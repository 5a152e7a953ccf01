"""A chessboard shown to a camera that is known."""

import cv2
import numpy as np
import pytest

from tracker.geometry.camera import Camera
from tracker.vision.calibration_camera import FEWEST_VIEWS, ChessboardCalibration

TRUE = Camera(np.array([[560.0, 0, 330], [0, 560, 236], [0, 0, 1]]), (480, 640))
COLUMNS, ROWS, SQUARE_PX = 10, 7, 40
HALF_M = np.array([0.15, 0.1125])


def board() -> np.ndarray:
    """Black and white squares with a white border of one square."""
    squares = np.indices((ROWS, COLUMNS)).sum(0) % 2 * 255
    inner = np.kron(squares, np.ones((SQUARE_PX, SQUARE_PX))).astype(np.uint8)
    return cv2.copyMakeBorder(inner, *([SQUARE_PX] * 4), cv2.BORDER_CONSTANT, value=255)


def view(turn: tuple[float, float, float], at: tuple[float, float, float]) -> np.ndarray:
    """The board as the camera sees it, smoothed."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * HALF_M
    placed = np.c_[corners, np.zeros(4)] @ cv2.Rodrigues(np.array(turn, np.float64))[0].T + at
    drawn, fine = board(), 2
    height, width = drawn.shape
    own = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    to_picture = cv2.getPerspectiveTransform(own, np.float32(TRUE.project(placed) * fine))
    large = cv2.warpPerspective(drawn, to_picture, (640 * fine, 480 * fine), borderValue=120)
    return np.repeat(cv2.resize(large, (640, 480), interpolation=cv2.INTER_AREA)[..., None], 3, 2)


def test_the_camera_is_found(rng):
    calibration, steps = ChessboardCalibration((9, 6)), []
    for _ in range(60):
        turn = tuple(rng.uniform(-0.6, 0.6, 3))
        at = (*rng.uniform(-0.1, 0.1, 2), rng.uniform(0.35, 0.6))
        steps.append(calibration.add(view(turn, at)))
        if steps[-1].done:
            break
    assert steps[-1].done
    assert len(steps) >= FEWEST_VIEWS
    found = calibration.measure()
    np.testing.assert_allclose(found.camera.K, TRUE.K, atol=3)
    assert found.camera.hw == TRUE.hw
    assert found.error_px < 0.3
    assert found.focal_sd < 0.01
    assert found.bent_px < 5
    assert calibration.add(view((0, 0, 0), (0, 0, 0.5))).done  # and it stays so


def test_the_same_view_again_is_no_news():
    calibration = ChessboardCalibration((9, 6))
    first = calibration.add(view((0.1, 0, 0), (0, 0, 0.5)))
    again = calibration.add(view((0.1, 0, 0.005), (0, 0, 0.5)))
    assert first.reason is None
    assert again.progress == first.progress > 0
    assert again.reason == "move and tilt the chessboard"


def test_boards_that_are_never_tilted_fix_nothing():
    calibration = ChessboardCalibration((9, 6))
    places = [(x, y, z) for z in (0.4, 0.5) for x in (-0.07, 0.0, 0.07) for y in (-0.05, 0.0, 0.05)]
    steps = [calibration.add(view((0, 0, 0), place)) for place in places]
    assert not any(step.done for step in steps)
    with pytest.raises(ValueError, match="tilt it more"):
        calibration.measure()


def test_no_board_is_said():
    step = ChessboardCalibration((9, 6)).add(np.full((480, 640, 3), 90, np.uint8))
    assert step.reason == "show the whole chessboard"
    assert step.progress == 0


@pytest.mark.parametrize("pattern", [(6, 6), (2, 9), (9, 0), (99, 6)])
def test_patterns_that_are_none(pattern):
    with pytest.raises(ValueError, match="inner corners"):
        ChessboardCalibration(pattern)
