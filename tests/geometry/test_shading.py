"""Light on vertices."""

import numpy as np
import pytest

from tracker.geometry.shading import DEFAULT_LIGHT, Light, shade


def unit(rng, count):
    vectors = rng.normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_follows_the_formula(rng):
    colors, normals = rng.random((40, 3)), unit(rng, 40)
    light = Light(np.array([0.2, 0.3, 0.4]), np.array([0.9, 0.7, 0.5]), np.array([0.0, -3.0, -4.0]))
    facing = np.maximum(normals @ [0, -0.6, -0.8], 0)[:, None]
    expected = np.clip(colors * (light.ambient + light.directional * facing), 0, 1)
    np.testing.assert_allclose(shade(colors, normals, light), expected, atol=1e-6)


def test_surfaces_turned_away_keep_the_ambient_part_only():
    light = Light(np.full(3, 0.4), np.ones(3), np.array([0.0, 0.0, -1.0]))
    np.testing.assert_allclose(shade(np.ones((1, 3)), np.array([[0, 0, 1.0]]), light), 0.4)


def test_too_much_light_is_white_not_an_overflow():
    light = Light(np.full(3, 5.0), np.full(3, 5.0))
    np.testing.assert_array_equal(shade(np.ones((1, 3)), np.zeros((1, 3)), light), 1)


def test_default_light_comes_from_the_upper_left_of_the_camera_and_keeps_colours():
    left_up, right_down = np.array([[-0.6, -0.6, -0.5]]), np.array([[0.6, 0.6, -0.5]])
    bright, dark = (
        shade(np.full((1, 3), 0.6), n / np.linalg.norm(n), DEFAULT_LIGHT)
        for n in (left_up, right_down)
    )
    assert (bright > dark + 0.1).all()
    facing = shade(np.full((1, 3), 0.6), np.array([[0.0, 0.0, -1.0]]), DEFAULT_LIGHT)
    np.testing.assert_allclose(facing, 0.6, atol=0.012)


@pytest.mark.parametrize("direction", [np.zeros(3), np.array([np.nan, 0, 1])])
def test_a_light_without_direction_is_refused(direction):
    with pytest.raises(ValueError, match="direction"):
        Light(direction=direction)
