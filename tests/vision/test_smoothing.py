"""The filters: still hands stay still, moving hands are followed, rotations stay rotations."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tracker.geometry.hand_params import HandParams
from tracker.vision.smoothing import (
    HandSmoother,
    OneEuro,
    OneEuroConfig,
    OneEuroRotation,
    SmoothingConfig,
    _composed,  # pyright: ignore[reportPrivateUsage]
)

DT = 1 / 30


def test_a_constant_signal_passes_unchanged() -> None:
    smooth = OneEuro(OneEuroConfig(1.0, 1.0))
    value = np.array([[1.0, -2.0, 3.0]])
    for _ in range(5):
        np.testing.assert_allclose(smooth(value, DT), value)


def test_noise_at_rest_is_held_down() -> None:
    rng = np.random.default_rng(0)
    smooth = OneEuro(OneEuroConfig(1.0, 0.0))
    noise = rng.normal(size=(400, 1, 1))
    out = np.array([smooth(x, DT) for x in noise])[100:]
    assert np.diff(out[:, 0, 0]).std() < 0.2 * np.diff(noise[100:, 0, 0]).std()


def lag_frames(config: OneEuroConfig, speed: float) -> float:
    """Frames by which a ramp of `speed` a second is late."""
    smooth = OneEuro(config)
    for n in range(200):
        out = smooth(np.array([[n * DT * speed]]), DT)
    return (199 * DT * speed - float(out[0, 0])) / (DT * speed)


def test_speed_buys_back_the_lag() -> None:
    config = OneEuroConfig(1.0, 4.0)
    assert lag_frames(config, 0.01) > 3
    assert lag_frames(config, 10.0) < 0.2


def test_rotations_are_filtered_along_the_geodesic() -> None:
    smooth = OneEuroRotation(OneEuroConfig(1.0, 0.0))
    start, end = Rotation.from_rotvec([3.0, 0, 0]), Rotation.from_rotvec([3.0, 0.4, 0])
    smooth(start.as_rotvec()[None], DT)
    for _ in range(300):
        out = smooth(end.as_rotvec()[None], DT)
    assert (Rotation.from_rotvec(out[0]).inv() * end).magnitude() < 1e-6


def test_steps_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(size=(200, 3))
    first[0] = 0
    second = np.concatenate([-first[:50], rng.normal(size=(150, 3))])
    expected = Rotation.from_rotvec(first) * Rotation.from_rotvec(second)
    composed = Rotation.from_rotvec(_composed(first, second))
    assert (expected.inv() * composed).magnitude().max() < 1e-9
    assert np.linalg.norm(_composed(first, second), axis=1).max() <= math.pi + 1e-9


def test_a_turn_across_pi_takes_the_short_way() -> None:
    smooth = OneEuroRotation(OneEuroConfig(1.0, 0.0))
    smooth(np.array([[math.pi - 0.05, 0, 0]]), DT)
    out = smooth(np.array([[-(math.pi - 0.05), 0, 0]]), DT)  # 0.1 rad on
    moved = Rotation.from_rotvec([math.pi - 0.05, 0, 0]).inv() * Rotation.from_rotvec(out[0])
    assert 0 < moved.magnitude() < 0.1


def hand(z: float = 0.5, x: float = 0.0) -> HandParams:
    return HandParams(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.array([x, 0.0, z]), 1.0)


@pytest.mark.parametrize("wrist", [np.zeros(3), np.array([0.09, 0.005, -0.002])])
def test_a_hand_at_rest_is_returned_as_it_is(wrist: np.ndarray) -> None:
    smoother = HandSmoother(SmoothingConfig(), wrist)
    for _ in range(3):
        out = smoother(hand(), DT)
    np.testing.assert_allclose(out.transl, hand().transl, atol=1e-12)
    assert out.scale == pytest.approx(1.0)


def test_depth_noise_is_smoothed_more_than_sideways_motion() -> None:
    smoother = HandSmoother(SmoothingConfig(), np.zeros(3))
    smoother(hand(), DT)
    out = smoother(hand(z=0.55, x=0.055), DT)
    moved_x, moved_z = out.transl[0] / out.transl[2] / 0.1, (out.transl[2] - 0.5) / 0.05
    assert moved_x > moved_z > 0
