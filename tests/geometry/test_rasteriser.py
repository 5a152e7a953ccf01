"""The rasteriser against geometry known in closed form, and in situations it must survive."""

import numpy as np
import pytest
import torch

from tests.geometry.raster_scenes import BACKENDS, box, hands
from tracker.geometry.rasteriser import RasterTopology, Rendered, rasterise

SIZE = 64


def draw(scene, backend="auto", hw=(SIZE, SIZE), **changes) -> Rendered:
    scene = scene._replace(**changes)
    return rasterise(scene.vertices, scene.colors, scene.K, scene.topology, hw, backend)


def layers_of(drawn: Rendered) -> tuple[torch.Tensor, ...]:
    return drawn.rgb, drawn.mask, drawn.depth


@pytest.fixture(scope="module")
def hand():
    return hands(1, SIZE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_border_pixels_hold_the_share_that_is_covered(backend):
    mask = draw(box((2.25, 6.4), (1.0, 5.5)), backend, (8, 9)).mask[0]
    torch.testing.assert_close(mask[3], torch.tensor([0, 0, 0.75, 1, 1, 1, 0.4, 0, 0]))
    torch.testing.assert_close(mask[:, 4], torch.tensor([0, 1, 1, 1, 1, 0.5, 0, 0]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_colour_is_premultiplied_by_coverage(backend):
    scene = box((2.25, 6.4), (1.0, 5.5))
    drawn = draw(scene, backend, (8, 9), colors=torch.tensor([0.8, 0.4, 0.2]).expand(1, 8, 3))
    torch.testing.assert_close(drawn.rgb, drawn.mask[..., None] * torch.tensor([0.8, 0.4, 0.2]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_colour_and_depth_are_those_of_the_point_that_is_seen(hand, backend):
    """A colour that is linear in space is interpolated exactly only with the right perspective."""
    slope = torch.tensor([[3.0, 1, 0], [0, 4, 1], [2, 0, 5]])
    drawn = rasterise(
        hand.vertices, hand.vertices @ slope, hand.K, hand.topology, (SIZE, SIZE), backend, False
    )
    seen = drawn.depth > 0
    torch.testing.assert_close(drawn.mask, seen.float())
    v, u = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], -1) @ torch.linalg.inv(hand.K[0]).T
    points = rays * drawn.depth[0, ..., None]
    torch.testing.assert_close(drawn.rgb[0], points @ slope, atol=1e-4, rtol=0)
    low, high = hand.vertices[..., 2].aminmax()
    assert low <= drawn.depth[seen].min() <= drawn.depth[seen].max() <= high
    assert not drawn.depth.requires_grad


def test_the_wrist_is_closed_with_the_vertices_it_has(hand):
    scene = hands(1, SIZE)
    assert (scene.topology.edges[:, 3] >= 0).all()
    opened = hand.topology.faces[:-14]
    np.testing.assert_array_equal(RasterTopology.of(opened).faces, hand.topology.faces)
    rim = np.unique(hand.topology.faces[-14:])
    assert len(rim) == 16
    center, palm = hand.vertices[:, rim].mean(1), hand.vertices.mean(1)
    # Look into the wrist: the camera stands 30 cm behind it.
    forward = torch.nn.functional.normalize(palm - center, dim=-1)[0]
    right = torch.linalg.cross(torch.tensor([0.0, 1, 0]), forward)
    right = right / right.norm()
    frame = torch.stack([right, torch.linalg.cross(forward, right), forward])
    vertices = (hand.vertices - center) @ frame.T + torch.tensor([0, 0, 0.3])
    K = torch.tensor([[[150.0, 0, SIZE / 2], [0, 150, SIZE / 2], [0, 0, 1]]])
    paint = torch.zeros_like(hand.colors)
    paint[:, rim] = torch.tensor([1.0, 0, 0])
    drawn = draw(hand, vertices=vertices, K=K, colors=paint)
    middle = SIZE // 2
    torch.testing.assert_close(drawn.rgb[0, middle, middle], torch.tensor([1.0, 0, 0]))
    assert drawn.depth[0, middle, middle] == pytest.approx(0.3, abs=0.01)


def poisoned(vertices):
    vertices = vertices.clone()
    vertices[0, 5, 1] = torch.nan
    vertices[1, 7, 2] = torch.inf
    vertices[2, 9, 2] = -0.1
    vertices[3, 11, 0] = 1e9
    vertices[4] *= 0
    return vertices


@pytest.mark.parametrize("backend", BACKENDS)
def test_meshes_that_cannot_be_drawn_leave_the_others_alone(backend):
    scene = hands(6, SIZE)
    vertices = poisoned(scene.vertices).requires_grad_()
    colors = scene.colors.clone().requires_grad_()
    drawn = draw(scene, backend, vertices=vertices, colors=colors)
    for layer in layers_of(drawn):
        assert (layer[:5] == 0).all()
    alone = draw(type(scene)(*(part[5:] for part in scene[:3]), scene.topology), backend)
    torch.testing.assert_close(drawn.rgb[5], alone.rgb[0])
    (drawn.rgb.square().sum() + drawn.mask.square().sum()).backward()
    for gradient in (vertices.grad, colors.grad):
        assert gradient is not None
        assert (gradient[:5] == 0).all()
        assert gradient[5].isfinite().all()
        assert gradient[5].abs().max() > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hand_partly_outside_is_a_window_of_the_whole_picture(hand, backend):
    shifted = hand.K.clone()
    shifted[:, :2, 2] -= torch.tensor([30.0, 11.0])
    part = draw(hand, backend, (40, 20), K=shifted)
    whole = draw(hand, backend)
    # The outermost pixels lack the neighbour that they would share a silhouette with.
    for cut, full in zip(layers_of(part), layers_of(whole), strict=True):
        torch.testing.assert_close(cut[:, 1:-1, 1:-1], full[:, 12:50, 31:49], atol=2e-5, rtol=1e-5)
    assert 0.2 < part.mask.mean() < 0.95


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hand_out_of_sight_is_an_empty_picture(hand, backend):
    vertices = (hand.vertices + torch.tensor([5.0, 0, 0])).requires_grad_()
    drawn = draw(hand, backend, vertices=vertices)
    assert all((layer == 0).all() for layer in layers_of(drawn))
    (gradient,) = torch.autograd.grad(drawn.rgb.sum() + drawn.mask.sum(), vertices)
    assert (gradient == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_images_are_no_pictures(hand, backend):
    empty = type(hand)(*(part[:0] for part in hand[:3]), hand.topology)
    assert draw(empty, backend).rgb.shape == (0, SIZE, SIZE, 3)


def test_threads_and_repetition_change_no_bit():
    scene = hands(5, SIZE)
    results = []
    for threads in (1, 3, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            vertices = scene.vertices.clone().requires_grad_()
            drawn = draw(scene, "numba", vertices=vertices)
            loss = (drawn.rgb * drawn.rgb).sum() + drawn.mask.sum()
            results.append((drawn.rgb, *torch.autograd.grad(loss, vertices)))
        finally:
            torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_half_precision_is_drawn_in_single(hand):
    drawn = draw(hand, vertices=hand.vertices.half(), colors=hand.colors.half())
    assert drawn.rgb.dtype == torch.float32
    assert (drawn.mask - draw(hand).mask).abs().mean() < 0.01


def test_backends_refuse_what_they_cannot_draw(hand):
    double = hand.vertices.double(), hand.colors.double(), hand.K.double()
    with pytest.raises(ValueError, match=r"float32 on the CPU, found torch.float64"):
        rasterise(*double, hand.topology, (SIZE, SIZE), "numba")
    with pytest.raises(ValueError, match=r"backend 'warp' .* found torch.float64"):
        rasterise(*double, hand.topology, (SIZE, SIZE), "warp")
    assert rasterise(*double, hand.topology, (SIZE, SIZE)).rgb.dtype == torch.float64


def test_a_missing_package_is_named(hand, monkeypatch):
    monkeypatch.setattr("tracker.geometry.rasteriser._has_warp", lambda: False)
    with pytest.raises(ValueError, match=r"warp-lang not installed; .*pip install warp-lang"):
        draw(hand, "warp")
    assert draw(hand, "auto").mask.max() == 1


def test_coverage_stays_between_0_and_1():
    scene = hands(64, SIZE, seed=1)  # one of them has a corner that is given 1.14 pixels
    mask = draw(scene).mask
    assert mask.min() == 0
    assert mask.max() == 1
