"""Gradients of the rasteriser against differences of supersampled pictures, and backend against backend."""

import importlib
from typing import NamedTuple

import numpy as np
import pytest
import torch

from tests.geometry.raster_scenes import BACKENDS, Scene, ball, hands
from tracker.geometry.camera import project
from tracker.geometry.hand_model import HandModel
from tracker.geometry.rasteriser import RasterTopology, rasterise

SIZE = 128
SUPERSAMPLING = 8
IMAGES = 6
STEP_PX = 0.5


def losses(rgb: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A weighted silhouette area, and a weighted squared distance to a smooth picture."""
    v, u = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    v, u = v * 224 / SIZE, u * 224 / SIZE
    weight = (u / 37).sin() + (v / 29).cos() + 0.3 * ((u + 2 * v) / 53).sin() + 1.5
    target = torch.stack([(u / 30).sin(), (v / 25).cos(), ((u + v) / 40).sin()], -1) * 0.3 + 0.5
    squared = (rgb - target).square().sum(-1)
    return (weight * mask).double().sum(), (weight * squared).double().sum()


def supersampled(scene: Scene, vertices: torch.Tensor, i: int) -> tuple[float, float]:
    """The losses of the mean of 8 x 8 hard samples a pixel: no silhouette code has a part in it."""
    fine = torch.diag(torch.tensor([SUPERSAMPLING, SUPERSAMPLING, 1.0])) @ scene.K[i : i + 1]
    side = SIZE * SUPERSAMPLING
    drawn = rasterise(
        vertices[None], scene.colors[i : i + 1], fine, scene.topology, (side, side), antialias=False
    )
    blocks = (SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING)
    rgb = drawn.rgb.view(*blocks, 3).mean((1, 3))
    area, distance = losses(rgb, drawn.mask.view(blocks).mean((1, 3)))
    return float(area), float(distance)


def directions(vertices: torch.Tensor) -> list[torch.Tensor]:
    """Ways to move the hand: along the axes, closer, larger, rolled, and each finger sideways."""
    weights = HandModel.load().lbs_weights
    away = vertices - vertices.mean(0)
    whole = torch.ones(len(vertices), 1)
    roll = torch.stack([-away[:, 1], away[:, 0], torch.zeros(len(away))], 1)
    moves = [whole * axis for axis in torch.eye(3) * torch.tensor([[1.0], [1], [3]])]
    moves += [away * 20, roll * 20]
    for finger in range(5):
        part = weights[:, 1 + 3 * finger : 4 + 3 * finger].sum(1, keepdim=True)
        moves.append(
            part * (torch.tensor([1.0, 0, 0]) if finger % 2 else torch.tensor([0, 1.0, 0]))
        )
    return moves


def analytic(scene: Scene, i: int, antialias: bool) -> list[torch.Tensor]:
    vertices = scene.vertices[i : i + 1].clone().requires_grad_()
    drawn = rasterise(
        vertices,
        scene.colors[i : i + 1],
        scene.K[i : i + 1],
        scene.topology,
        (SIZE, SIZE),
        antialias=antialias,
    )
    silhouette, photometric = losses(drawn.rgb, drawn.mask)
    area = torch.zeros_like(vertices)
    if antialias:  # without, the mask has no gradient at all
        (area,) = torch.autograd.grad(silhouette, vertices, retain_graph=True)
    return [area[0], torch.autograd.grad(photometric, vertices)[0][0]]


class Slopes(NamedTuple):
    """Slopes of the two losses (rows) along all directions of all images (columns)."""

    true: np.ndarray
    soft: np.ndarray
    hard: np.ndarray


@pytest.fixture(scope="module")
def slopes() -> Slopes:
    scene = hands(IMAGES, SIZE)
    true, soft, hard = [], [], []
    for i, vertices in enumerate(scene.vertices):
        gradients = [analytic(scene, i, antialias) for antialias in (True, False)]
        step = STEP_PX * float(vertices[:, 2].mean() / scene.K[i, 0, 0])
        for move in directions(vertices):
            ends = [supersampled(scene, vertices + s * step * move, i) for s in (1, -1)]
            true.append((np.array(ends[0]) - ends[1]) / (2 * step))
            for found, gradient in zip((soft, hard), gradients, strict=True):
                found.append([float((g * move).sum()) for g in gradient])
    return Slopes(*(np.array(rows).T for rows in (true, soft, hard)))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


def test_silhouette_gradients_are_true(slopes):
    true, found = slopes.true[0], slopes.soft[0]
    assert cosine(true, found) >= 0.995
    assert 0.95 <= found @ true / (true @ true) <= 1.05


def test_photometric_gradients_are_true(slopes):
    assert cosine(slopes.true[1], slopes.soft[1]) >= 0.98


def test_a_hard_silhouette_fails_both(slopes):
    assert cosine(slopes.true[0], slopes.hard[0]) < 0.5
    assert cosine(slopes.true[1], slopes.hard[1]) < 0.5


def gradients(scene: Scene, backend: str) -> list[torch.Tensor]:
    """Picture, coverage, depth and the gradients of a loss of all of them."""
    leaves = [part.clone().requires_grad_() for part in scene[:3]]
    drawn = rasterise(*leaves, scene.topology, (SIZE, SIZE), backend)
    loss = sum(sum(losses(rgb, mask)) for rgb, mask in zip(drawn.rgb, drawn.mask, strict=True))
    layers = [drawn.rgb.detach(), drawn.mask.detach(), drawn.depth]
    return layers + list(torch.autograd.grad(loss, leaves))


@pytest.fixture(scope="module")
def reference() -> tuple[Scene, list[torch.Tensor]]:
    """The torch backend in float64."""
    scene = hands(4, SIZE, seed=7)
    return scene, gradients(Scene(*(p.double() for p in scene[:3]), scene.topology), "torch")


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_agree(reference, backend):
    scene, expected = reference
    *layers, to_vertices, to_colors, to_K = gradients(scene, backend)
    for layer, truth in zip(layers, expected[:3], strict=True):
        assert (layer - truth).abs().max() < 1e-3
    for gradient, truth in zip((to_vertices, to_colors, to_K), expected[3:], strict=True):
        assert (gradient - truth).norm() < 1e-3 * truth.norm()


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_coordinate_gets_its_own_gradient(backend):
    """What 1/z is worth is small beside the outline's pull, so it is weighed alone here."""
    scene = ball()
    up = torch.rand(24, 24, 3, generator=torch.Generator().manual_seed(0))
    found = []
    for name, dtype in ((backend, torch.float32), ("torch", torch.float64)):
        render = importlib.import_module(f"tracker.geometry.raster_{name}").render
        vertices, colors = scene.vertices.to(dtype), scene.colors.to(dtype)
        uvw = torch.cat([project(vertices, scene.K.to(dtype)), 1 / vertices[..., 2:]], -1)
        mesh = (scene.topology.faces, scene.topology.edges)
        if name != "numba":
            mesh = tuple(torch.tensor(part) for part in mesh)
        rgb = render(uvw.requires_grad_(), colors, *mesh, (24, 24), False)[0]
        found.append(torch.autograd.grad((rgb[0] * up).sum(), uvw)[0].double())
    for axis in range(3):
        mine, truth = found[0][..., axis], found[1][..., axis]
        assert (mine - truth).norm() < 1e-3 * truth.norm()


@pytest.mark.parametrize("backend", BACKENDS)
def test_either_layer_alone_gives_its_part_of_the_gradient(backend):
    scene = hands(1, 64)
    vertices = scene.vertices.clone().requires_grad_()
    drawn = rasterise(vertices, scene.colors, scene.K, scene.topology, (64, 64), backend)
    parts = [(drawn.rgb**2).sum(), (drawn.mask * drawn.mask.detach()).sum()]
    each = [torch.autograd.grad(part, vertices, retain_graph=True)[0] for part in parts]
    (both,) = torch.autograd.grad(sum(parts), vertices)
    torch.testing.assert_close(each[0] + each[1], both, rtol=1e-3, atol=1e-2)
    assert each[0].norm() > 1
    assert each[1].norm() > 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_layout_in_memory_does_not_matter(backend):
    scene = hands(2, 64)
    found = []
    for swap in (False, True):
        leaves = [part.clone() for part in scene[:2]]
        if swap:
            leaves = [part.movedim(0, -1).contiguous().movedim(-1, 0) for part in leaves]
            assert not leaves[0].is_contiguous()
        leaves = [leaf.requires_grad_() for leaf in leaves]
        drawn = rasterise(*leaves, scene.K, scene.topology, (64, 64), backend)
        loss = (drawn.rgb**2).mean() + drawn.mask.mean()
        found.append((loss.detach(), *torch.autograd.grad(loss, leaves)))
    for plain, swapped in zip(*found, strict=True):
        torch.testing.assert_close(plain, swapped, rtol=1e-3, atol=1e-6)


def test_gradcheck_of_the_reference():
    """The picture is smooth between the moments at which a pixel centre changes its face."""
    scene = ball()
    leaves = [part.double().requires_grad_() for part in scene[:3]]

    def drawn(vertices: torch.Tensor, colors: torch.Tensor, K: torch.Tensor) -> torch.Tensor:
        picture = rasterise(vertices, colors, K, scene.topology, (24, 24))
        return torch.cat([picture.rgb, picture.mask[..., None]], -1)[0, ::3, ::2]

    assert torch.autograd.gradcheck(drawn, leaves, eps=1e-7, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sliver_that_owns_a_pixel_by_chance_does_not_shout(backend):
    """Its colours change a thousandfold faster across it than those of its neighbours."""
    vertices = torch.tensor([[[1.0, 4.4999, 1], [4.5, 4.5005, 1], [8, 4.4999, 1]]])
    vertices.requires_grad_()
    colors = torch.tensor([[[0.0, 0, 0], [1, 1, 1], [0, 0, 0]]])
    topology = RasterTopology.of(np.array([[0, 1, 2]]))
    drawn = rasterise(vertices, colors, torch.eye(3)[None], topology, (9, 9), backend, False)
    assert drawn.mask.sum() >= 1
    (gradient,) = torch.autograd.grad(drawn.rgb.sum(), vertices)
    assert gradient.isfinite().all()
    assert gradient[..., :2].abs().max() < 1
