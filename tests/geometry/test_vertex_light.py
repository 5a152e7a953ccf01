"""Shading with gradients, against its twins without."""

import numpy as np
import pytest
import torch

from tracker.geometry.hand_model import HandModel
from tracker.geometry.shading import Light, shade
from tracker.geometry.vertex_light import light_vertices, vertex_normals
from tracker.geometry.zbuffer import vertex_normals as runtime_normals


def small_mesh(dtype=torch.float64):
    corners = [[0, 0, 0], [1, 0, 0.1], [0, 1, 0.2], [0.3, 0.2, 1], [5, 5, 5]]
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3]])
    return torch.tensor([corners], dtype=dtype), faces


def test_normals_are_those_of_the_run_time():
    model = HandModel.load()
    vertices = torch.stack([model.v_template, model.v_template * 2 + 1])
    normals = vertex_normals(vertices, model.faces)
    expected = runtime_normals(model.v_template.numpy(), model.faces.numpy())
    for found in normals:
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_normals_differentiate_and_loose_vertices_get_none():
    vertices, faces = small_mesh()
    normals = vertex_normals(vertices, faces)
    torch.testing.assert_close(normals.norm(dim=-1)[0], torch.tensor([1.0, 1, 1, 1, 0]).double())
    vertices.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, faces), (vertices,))


def test_a_collapsed_mesh_has_finite_gradients():
    vertices, faces = small_mesh(torch.float32)
    vertices = (vertices * 0).requires_grad_()
    normals = vertex_normals(vertices, faces)
    (gradient,) = torch.autograd.grad(normals.sum(), vertices)
    assert (normals == 0).all()
    assert (gradient == 0).all()


def random_light(rng: np.random.Generator):
    texture = torch.tensor(rng.random((2, 5, 3)) * 0.4)
    light = torch.tensor(np.concatenate([rng.random((2, 8)), rng.normal(size=(2, 3)) * 4], 1))
    normals = torch.nn.functional.normalize(torch.tensor(rng.normal(size=(2, 5, 3))), dim=-1)
    return texture, light, normals


def test_light_is_that_of_the_run_time(rng):
    texture, light, normals = random_light(rng)
    for i, numbers in enumerate(light.numpy()):
        lamp = Light(numbers[0] * numbers[2:5], numbers[1] * numbers[5:8], numbers[8:])
        expected = shade(texture[i].numpy(), normals[i].numpy(), lamp)
        np.testing.assert_allclose(light_vertices(texture, light, normals)[i], expected, atol=1e-6)


def test_light_differentiates(rng):
    leaves = [part.requires_grad_() for part in random_light(rng)]
    assert torch.autograd.gradcheck(light_vertices, leaves)


def test_too_bright_a_vertex_keeps_its_gradient(rng):
    texture, light, normals = random_light(rng)
    light[:, :2] = 50
    texture.requires_grad_()
    colors = light_vertices(texture, light, normals)
    assert colors.max() > 1
    (gradient,) = torch.autograd.grad(colors.sum(), texture)
    assert gradient.min() > 0


@pytest.mark.parametrize("length", [0.0, 1e-20])
def test_a_light_without_direction_is_ambient(rng, length):
    texture, light, normals = random_light(rng)
    light[:, 8:] = length
    light.requires_grad_()
    colors = light_vertices(texture, light, normals)
    torch.testing.assert_close(colors, texture * (light[:, None, :1] * light[:, None, 2:5]))
    (gradient,) = torch.autograd.grad(colors.sum(), light)
    assert gradient.isfinite().all()
