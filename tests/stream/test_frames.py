"""The seven coordinate frames, against numbers worked out by hand and matrices written out in full."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tracker.stream.frames import AXES

H = np.sqrt(0.5)
POSITION, QUATERNION = np.array([0.10, -0.20, -0.50]), np.array([H, 0.0, 0.0, H])
GOLDEN = {
    "openxr": ((0.10, -0.20, -0.50), (H, 0, 0, H)),
    "user": ((-0.10, -0.20, 0.50), (0, H, -H, 0)),
    "camera_cv": ((0.10, 0.20, 0.50), (-H, 0, 0, H)),
    "unity": ((0.10, -0.20, 0.50), (-H, 0, 0, H)),
    "unreal": ((50, 10, -20), (0, H, 0, -H)),
    "blender": ((0.10, 0.50, -0.20), (H, 0, 0, H)),
    "ros": ((0.50, -0.10, -0.20), (0, -H, 0, H)),
}
"""A hand upright with its back to the camera, right of and below the middle, half a metre away."""

RIGHT, UP, BACK = np.eye(3)
WORLDS = {
    "openxr": (RIGHT, UP, BACK),
    "user": (-RIGHT, UP, -BACK),
    "camera_cv": (RIGHT, -UP, -BACK),
    "unity": (RIGHT, UP, -BACK),
    "unreal": (-BACK, RIGHT, UP),
    "blender": (RIGHT, -BACK, UP),
    "ros": (-BACK, -RIGHT, UP),
}
"""What x, y and z of each frame are, in the words of OpenXR's axes."""
WORLD_ONLY = ("openxr", "user", "camera_cv")
"""Frames in which a joint keeps OpenXR's local axes."""

quaternions = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(
    lambda q: np.linalg.norm(q) > 0.1
)
vectors = st.lists(st.floats(-10, 10), min_size=3, max_size=3)


def same_turn(a: np.ndarray, b: np.ndarray) -> bool:
    return min(np.abs(a - b).max(), np.abs(a + b).max()) < 1e-12


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_vectors(name: str):
    position, quaternion = GOLDEN[name]
    np.testing.assert_allclose(AXES[name].points(POSITION), position, atol=1e-12)
    assert same_turn(AXES[name].quaternions(QUATERNION), np.array(quaternion))


def test_every_frame_has_its_golden_vector():
    assert set(AXES) == set(GOLDEN) == set(WORLDS)


@pytest.mark.parametrize("name", WORLDS)
@given(xyzw=quaternions, vector=vectors)
def test_orientations_and_points_turn_together(name: str, xyzw: list, vector: list):
    world, change = np.array(WORLDS[name]), AXES[name]
    q = np.array(xyzw) / np.linalg.norm(xyzw)
    local = np.eye(3) if name in WORLD_ONLY else world.T
    expected = world @ Rotation.from_quat(q).as_matrix() @ local
    turned = Rotation.from_quat(change.quaternions(q)).as_matrix()
    np.testing.assert_allclose(turned, expected, atol=1e-12)
    unit = 100 if name == "unreal" else 1
    np.testing.assert_allclose(change.points(np.array(vector)), unit * world @ vector, atol=1e-12)


@pytest.mark.parametrize("name", WORLDS)
@given(omega=vectors, arm=vectors)
def test_angular_velocity_gives_the_velocity_of_a_point(name: str, omega: list, arm: list):
    """omega x r, worked out in OpenXR's frame and then turned, is the same worked out there.

    In a left-handed frame the product follows the left hand, which is the same formula.
    """
    change = AXES[name]
    omega, arm = np.array(omega), np.array(arm)
    moved = np.cross(change.angular(omega), change.points(arm))
    np.testing.assert_allclose(moved, change.points(np.cross(omega, arm)), atol=1e-9)


def test_left_handed_frames_are_the_engines():
    assert {name for name, change in AXES.items() if change.left_handed} == {"unity", "unreal"}


@pytest.mark.parametrize("name", AXES)
def test_shape_survives_as_metric_and_right_handed(name: str, rng: np.random.Generator):
    points = rng.normal(size=(5, 3))
    back = AXES[name].metric_right_handed(AXES[name].points(points))
    source, target = points - points[0], back - back[0]
    assert np.linalg.det(target[1:4]) == pytest.approx(np.linalg.det(source[1:4]))
    np.testing.assert_allclose(target @ target.T, source @ source.T, atol=1e-12)
