"""Projection and its inverse, resizing, mirroring, and what lies behind the camera."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tracker.geometry.camera import ASSUMED_FOV_DEG, Camera, project

K = np.array([[600.0, 2.0, 310.0], [0.0, 590.0, 250.0], [0.0, 0.0, 1.0]])
CAMERA = Camera(K, (480, 640))

sizes = st.tuples(st.integers(1, 5000), st.integers(1, 5000))


@st.composite
def points(draw) -> np.ndarray:
    shape = draw(array_shapes(min_dims=0, max_dims=3, max_side=4))
    xy = draw(arrays(float, (*shape, 2), elements=st.floats(-1, 1)))
    depth = draw(arrays(float, (*shape, 1), elements=st.floats(0.1, 5)))
    return np.concatenate([xy, depth], -1)


@given(points())
def test_unproject_undoes_project(xyz):
    uv = CAMERA.project(xyz)
    assert uv.shape == (*xyz.shape[:-1], 2)
    np.testing.assert_allclose(CAMERA.unproject(uv, xyz[..., 2]), xyz, atol=1e-12)


@given(points(), sizes)
def test_project_follows_the_formula(xyz, hw):
    camera = Camera.from_fov(hw, 70.0)
    x, y, z = np.moveaxis(xyz, -1, 0)
    u = camera.K[0, 0] * x / z + hw[1] / 2
    v = camera.K[1, 1] * y / z + hw[0] / 2
    np.testing.assert_allclose(camera.project(xyz), np.stack([u, v], -1), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("depth", [0.0, -0.0, -1e-9, -3.0, np.nan])
def test_points_that_are_not_in_front_have_no_pixel(depth):
    xyz = np.array([[0.1, 0.2, depth], [0.1, 0.2, 1.0]])
    uv = CAMERA.project(xyz)
    assert np.isnan(uv[0]).all()
    assert np.isfinite(uv[1]).all()
    tensor = project(torch.from_numpy(xyz)[None], torch.from_numpy(K)[None])[0]
    np.testing.assert_array_equal(tensor.numpy(), uv)


@given(points().filter(lambda p: p.ndim >= 2))
def test_the_tensor_twin_agrees(xyz):
    cameras = torch.from_numpy(np.broadcast_to(K, (*xyz.shape[:-2], 3, 3)).copy())
    found = project(torch.from_numpy(xyz), cameras)
    np.testing.assert_allclose(found.numpy(), CAMERA.project(xyz), rtol=1e-12)


def test_each_image_has_its_own_camera():
    xyz = torch.tensor([[[0.1, 0.2, 1.0]]], dtype=torch.float64).expand(2, 1, 3)
    both = torch.stack([torch.from_numpy(K), torch.eye(3, dtype=torch.float64)])
    found = project(xyz, both)
    torch.testing.assert_close(found[1, 0], xyz[1, 0, :2])
    assert not torch.allclose(found[0], found[1])


def test_gradients_of_projection_are_exact_and_finite(rng):
    xyz = torch.from_numpy(rng.normal(size=(2, 4, 3)) * 0.1 + [0, 0, 1]).requires_grad_()
    cameras = torch.from_numpy(np.tile(K, (2, 1, 1)) / 100).requires_grad_()
    assert torch.autograd.gradcheck(project, (xyz, cameras))


@given(points(), sizes, sizes)
def test_resizing_the_image_multiplies_pixels(xyz, hw, new_hw):
    camera = Camera.from_fov(hw)
    ratio = np.array([new_hw[1] / hw[1], new_hw[0] / hw[0]])
    resized = camera.resized(new_hw)
    assert resized.hw == new_hw
    np.testing.assert_allclose(
        resized.project(xyz), camera.project(xyz) * ratio, rtol=1e-9, atol=1e-6
    )


@given(points())
def test_a_mirrored_camera_sees_mirrored_points_in_the_mirrored_image(xyz):
    mirrored = CAMERA.mirrored().project(xyz * [-1, 1, 1])
    u, v = np.moveaxis(CAMERA.project(xyz), -1, 0)
    np.testing.assert_allclose(mirrored, np.stack([640 - u, v], -1), atol=1e-9)


def test_mirroring_twice_is_the_same_camera():
    twice = CAMERA.mirrored().mirrored()
    np.testing.assert_allclose(twice.K, CAMERA.K, atol=1e-12)
    assert CAMERA.mirrored().K[0, 0] > 0


@given(sizes, st.floats(5, 160))
def test_the_field_of_view_reaches_the_longer_edges(hw, fov_deg):
    camera = Camera.from_fov(hw, fov_deg)
    assert camera.fov_deg == pytest.approx(fov_deg)
    half = np.tan(np.radians(fov_deg) / 2)
    edge = np.array([half, 0, 1]) if hw[1] >= hw[0] else np.array([0, half, 1])
    reached = camera.project(edge)
    assert reached[0 if hw[1] >= hw[0] else 1] == pytest.approx(max(hw))


def test_a_guess_is_said_to_be_one_and_stays_one():
    camera = Camera.from_fov((480, 640), assumed=True)
    assert camera.fov_deg == pytest.approx(ASSUMED_FOV_DEG)
    assert camera.assumed
    assert camera.resized((48, 64)).assumed
    assert camera.mirrored().assumed
    assert not CAMERA.assumed


def test_single_precision_stays_single():
    xyz = np.ones((2, 3), np.float32)
    assert CAMERA.project(xyz).dtype == np.float32
    assert CAMERA.unproject(xyz[:, :2], xyz[:, 2]).dtype == np.float32


@pytest.mark.parametrize("fov_deg", [0.0, -10.0, 171.0, float("nan")])
def test_impossible_fields_of_view_are_refused(fov_deg):
    with pytest.raises(ValueError, match="between 1 and 170 degrees"):
        Camera.from_fov((480, 640), fov_deg)


@pytest.mark.parametrize(
    ("matrix", "hw", "reason"),
    [
        (K, (0, 640), "image size must be positive"),
        (K, (480, -1), "image size must be positive"),
        (np.full((3, 3), np.nan), (480, 640), "finite"),
        (np.diag([0.0, 600, 1]), (480, 640), "positive focal"),
        (np.diag([600.0, -600, 1]), (480, 640), "positive focal"),
    ],
)
def test_impossible_cameras_are_refused(matrix, hw, reason):
    with pytest.raises(ValueError, match=reason):
        Camera(matrix, hw)
