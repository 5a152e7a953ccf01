"""Laws of rotations, against scipy and exact gradients, the zero angle and half turns included."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.spatial.transform import Rotation

from tracker.geometry.rotations import (
    axis_angle_from_matrix,
    matrix_from_axis_angle,
    matrix_from_rot6d,
    quaternion_from_matrix,
    skew,
)

coordinates = st.floats(-1.8, 1.8).filter(lambda x: x == 0 or abs(x) > 1e-30)


def vectors(size: int = 3) -> st.SearchStrategy[torch.Tensor]:
    """Tensors of vectors with any leading axes, empty ones too; shorter than pi."""
    shapes = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    return shapes.flatmap(lambda s: arrays(float, (*s, size), elements=coordinates)).map(
        torch.from_numpy
    )


def scipy_matrix(axis_angle: torch.Tensor) -> np.ndarray:
    flat = axis_angle.reshape(-1, 3).numpy()
    return Rotation.from_rotvec(flat).as_matrix().reshape(*axis_angle.shape, 3)


@given(vectors(), vectors())
def test_skew_is_the_cross_product(a, b):
    a, b = a.reshape(-1, 3)[:1], b.reshape(-1, 3)[:1]
    if len(a) and len(b):
        torch.testing.assert_close((skew(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))


@given(vectors())
def test_rodrigues_is_scipys(axis_angle):
    found = matrix_from_axis_angle(axis_angle)
    np.testing.assert_allclose(found.numpy(), scipy_matrix(axis_angle), atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-300, 1e-12, 1e-4, 0.00999, 0.01001, 0.02, 3.0, math.pi])
def test_no_seam_where_the_series_ends(angle):
    axis_angle = torch.tensor([[0.6, 0.0, -0.8]], dtype=torch.float64) * angle
    matrix = matrix_from_axis_angle(axis_angle)
    np.testing.assert_allclose(matrix.numpy(), scipy_matrix(axis_angle), rtol=0, atol=1e-15)
    found = axis_angle_from_matrix(matrix)
    torch.testing.assert_close(found, axis_angle, rtol=1e-12, atol=1e-300)


@given(vectors())
def test_axis_angle_round_trip(axis_angle):
    angle = axis_angle.norm(dim=-1, keepdim=True)
    shorter = torch.where(angle > 3.1, axis_angle / angle, axis_angle)
    found = axis_angle_from_matrix(matrix_from_axis_angle(shorter))
    assert found.shape == axis_angle.shape
    torch.testing.assert_close(found, shorter, rtol=1e-9, atol=1e-13)


@given(vectors().filter(lambda v: v.numel() > 0))
def test_half_turns_find_their_axis_up_to_sign(axis):
    axis = axis.reshape(-1, 3)
    axis = axis[axis.norm(dim=-1) > 0.1]
    half_turn = torch.nn.functional.normalize(axis, dim=-1) * math.pi
    matrix = matrix_from_axis_angle(half_turn)
    found = axis_angle_from_matrix(matrix)
    torch.testing.assert_close(matrix_from_axis_angle(found), matrix, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.norm(dim=-1), half_turn.norm(dim=-1))


@given(vectors())
def test_quaternions_are_unit_with_positive_w_and_scipys(axis_angle):
    found = quaternion_from_matrix(matrix_from_axis_angle(axis_angle))
    assert (found[..., 3] >= 0).all()
    expected = Rotation.from_rotvec(axis_angle.reshape(-1, 3).numpy()).as_quat(canonical=True)
    products = (found.reshape(-1, 4).numpy() * expected).sum(-1)
    np.testing.assert_allclose(np.abs(products), 1, atol=1e-12)


@given(vectors(6))
def test_six_numbers_give_a_rotation_that_keeps_the_first_direction(rot6d):
    first, second = rot6d[..., :3], rot6d[..., 3:]
    lengths = first.norm(dim=-1) * second.norm(dim=-1)
    area = torch.linalg.cross(first, second).norm(dim=-1)
    usable = (area > 0.05 * lengths) & (lengths > 1e-3)
    matrix, first = matrix_from_rot6d(rot6d)[usable], first[usable]
    identity = torch.eye(3, dtype=matrix.dtype).expand_as(matrix)
    torch.testing.assert_close(matrix.mT @ matrix, identity, rtol=0, atol=1e-9)
    torch.testing.assert_close(torch.det(matrix), torch.ones(len(matrix), dtype=matrix.dtype))
    torch.testing.assert_close(matrix[..., 0], first / first.norm(dim=-1, keepdim=True))
    assert ((matrix[..., 1] * second[usable]).sum(-1) > 0).all()


@given(vectors())
def test_the_first_two_columns_of_a_rotation_give_it_back(axis_angle):
    matrix = matrix_from_axis_angle(axis_angle)
    columns = torch.cat([matrix[..., 0], matrix[..., 1]], -1)
    torch.testing.assert_close(matrix_from_rot6d(columns), matrix, rtol=0, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-3, 0.0099, 0.0101, 1.0, 3.0, math.pi])
def test_gradients_are_exact(angle, rng):
    axis = torch.from_numpy(rng.normal(size=(2, 3)))
    axis_angle = (axis / axis.norm(dim=-1, keepdim=True) * angle).requires_grad_()
    assert torch.autograd.gradcheck(matrix_from_axis_angle, axis_angle)


@pytest.mark.parametrize("angle", [0.0, 1e-3, 0.0199, 0.0201, 1.0, 3.0])
def test_gradients_back_to_axis_angle_are_exact(angle, rng):
    """Through a rotation and its inverse function the gradient is the identity's."""
    axis = torch.from_numpy(rng.normal(size=3))
    axis_angle = (axis / axis.norm() * angle).requires_grad_()
    jacobian = torch.autograd.functional.jacobian(
        lambda a: axis_angle_from_matrix(matrix_from_axis_angle(a)), axis_angle
    )
    torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-8)


def test_gradients_of_six_numbers_are_exact(rng):
    rot6d = torch.from_numpy(rng.normal(size=(2, 6))).requires_grad_()
    assert torch.autograd.gradcheck(matrix_from_rot6d, rot6d)


@settings(max_examples=30)
@given(vectors())
def test_float32_stays_float32_and_close(axis_angle):
    found = matrix_from_axis_angle(axis_angle.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), matrix_from_axis_angle(axis_angle), rtol=0, atol=1e-6
    )
