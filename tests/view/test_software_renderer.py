"""The software renderer against the golden picture, and against coverage counted sample by sample."""

import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tracker.geometry.camera import Camera
from tracker.geometry.shading import Light, shade
from tracker.geometry.topology import closed_faces
from tracker.geometry.zbuffer import rasterise, vertex_normals
from tracker.view import software_renderer
from tracker.view.renderer import Mesh
from tracker.view.software_renderer import SoftwareRenderer

FLAT = Light(np.ones(3), np.zeros(3))


def rectangle(camera: Camera, u0, v0, u1, v1, depth=0.5, color=(1.0, 0.5, 0.25)) -> Mesh:
    """A rectangle of pixels, facing the camera, drawn at a depth."""
    uv = np.array([[u0, v0], [u0, v1], [u1, v1], [u1, v0]])
    vertices = camera.unproject(uv, np.full(4, depth)).astype(np.float32)
    colors = np.tile(np.float32(color), (4, 1))
    # A thin box, not a sheet: closed, so that its outline is where front and back faces meet.
    vertices = np.concatenate([vertices, vertices * np.float32(1.02)])
    faces = [(0, 1, 2), (0, 2, 3), (4, 6, 5), (4, 7, 6)]
    for i in range(4):
        j = (i + 1) % 4
        faces += [(i, i + 4, j), (j, i + 4, j + 4)]
    return Mesh(vertices, np.array(faces), np.concatenate([colors, colors]))


@pytest.fixture
def camera() -> Camera:
    return Camera.from_fov((40, 60), 60.0)


def test_golden_picture(golden):
    drawn = SoftwareRenderer().render(golden.meshes, golden.camera)
    rgba = np.asarray(Image.open(golden.picture))
    alpha = np.round(drawn.alpha * 255).astype(int)
    assert np.abs(alpha - rgba[..., 3]).mean() <= 0.2
    both, either = (
        ((drawn.alpha > 0.5).astype(int) + (rgba[..., 3] > 127) >= count).sum() for count in (2, 1)
    )
    assert both / either > 0.995
    inside = (drawn.alpha > 0.5) & (rgba[..., 3] > 127)
    assert np.abs(drawn.rgb[inside].astype(int) - rgba[..., :3][inside]).mean() <= 1


def test_coverage_agrees_with_64_samples_a_pixel(golden):
    """The outline's twin: count samples of an image eight times as large."""
    height, width = golden.camera.hw
    fine = golden.camera.resized((8 * height, 8 * width))
    alpha = SoftwareRenderer().render(golden.meshes, golden.camera).alpha
    covered = np.zeros(fine.hw, bool)
    for mesh in golden.meshes:
        closed = closed_faces(mesh.faces)
        covered |= rasterise(mesh.vertices, closed, fine.K, fine.hw)[0] >= 0
    exact = covered.reshape(height, 8, width, 8).mean((1, 3))
    assert alpha.sum() == pytest.approx(exact.sum(), rel=1e-3)
    outline = (exact > 0) & (exact < 1)
    stepped = np.abs((alpha >= 0.5) - exact)[outline].mean()
    assert np.abs(alpha - exact)[outline].mean() < 0.25 * stepped
    assert alpha[exact == 0].max() < 0.1  # corners between two rows of crossings


def test_a_straight_border_covers_its_pixels_exactly(camera):
    drawn = SoftwareRenderer().render([rectangle(camera, 10.25, 8.0, 30.6, 20.0)], camera, FLAT)
    np.testing.assert_allclose(drawn.alpha[14, 9:12], [0, 0.75, 1], atol=1e-3)
    np.testing.assert_allclose(drawn.alpha[14, 29:32], [1, 0.6, 0], atol=1e-3)
    np.testing.assert_array_equal(drawn.rgb[14, 10], drawn.rgb[14, 20])  # no halo of another colour
    np.testing.assert_array_equal(drawn.rgb[14, 20], [255, 128, 64])
    np.testing.assert_allclose(drawn.depth[14, 20], 0.5, rtol=1e-5)
    assert np.isinf(drawn.depth[30, 50])


def test_nearer_meshes_hide_others_in_any_order_with_a_mixed_border(camera):
    far = rectangle(camera, 5.0, 5.0, 50.0, 35.0, depth=0.8, color=(0.0, 0.0, 1.0))
    near = rectangle(camera, 20.25, 10.0, 40.0, 30.0, depth=0.4, color=(1.0, 0.0, 0.0))
    pictures = [
        SoftwareRenderer().render(meshes, camera, FLAT) for meshes in ([far, near], [near, far])
    ]
    np.testing.assert_array_equal(pictures[0].rgb, pictures[1].rgb)
    drawn = pictures[0]
    np.testing.assert_array_equal(drawn.rgb[20, [10, 30]], [[0, 0, 255], [255, 0, 0]])
    np.testing.assert_allclose(drawn.rgb[20, 20], [0.75 * 255, 0, 0.25 * 255], atol=1)
    assert drawn.alpha[20, 20] == 1


def test_colours_are_those_of_the_lit_vertices(golden):
    """At a pixel that holds a visible vertex, the colour is about the vertex's own."""
    mesh, camera = golden.meshes[1], golden.camera
    light = Light()
    drawn = SoftwareRenderer().render([mesh], camera, light)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    lit = shade(mesh.colors, normals, light) * 255
    x, y = np.floor(camera.project(mesh.vertices)).astype(int).T
    inside = (x >= 0) & (x < camera.hw[1]) & (y >= 0) & (y < camera.hw[0]) & (normals[:, 2] < -0.7)
    front = np.flatnonzero(inside)
    front = front[np.abs(drawn.depth[y[front], x[front]] - mesh.vertices[front, 2]) < 0.002]
    assert len(front) > 80
    assert np.abs(drawn.rgb[y[front], x[front]] - lit[front]).mean() < 4


def test_blending_into_a_frame_is_rendering_and_mixing(golden, rng):
    frame = rng.integers(0, 256, (*golden.camera.hw, 3), np.uint8)
    renderer = SoftwareRenderer()
    drawn = renderer.render(golden.meshes, golden.camera)
    alpha = 0.7 * drawn.alpha[..., None]
    mixed = frame * (1 - alpha) + drawn.rgb * alpha
    renderer.blend_into(frame, golden.meshes, golden.camera, opacity=0.7)
    assert np.abs(frame - mixed).max() <= 1.01


@pytest.mark.parametrize("u0", [34, 21, 15])  # apart, with boxes that touch, one over the other
def test_blending_several_is_rendering_them_together(camera, u0):
    meshes = [
        rectangle(camera, 8.5, 6, 20.5, 30, 0.4),
        rectangle(camera, u0 + 0.3, 10, u0 + 9.6, 36, 0.5, (0.1, 0.3, 0.9)),
        rectangle(camera, 50.0, 3, 57, 9, 0.3, (0.9, 0.9, 0.1)),
    ]
    drawn = SoftwareRenderer().render(meshes, camera)
    frame = np.full((*camera.hw, 3), 77, np.uint8)
    renderer = SoftwareRenderer()
    for _ in range(2):
        again = frame.copy()
        renderer.blend_into(again, meshes, camera)
        alpha = drawn.alpha[..., None]
        assert np.abs(again - (frame * (1 - alpha) + drawn.rgb * alpha)).max() <= 1.01


def test_nothing_is_drawn_any_more_when_blending_has_failed(camera, monkeypatch):
    meshes = [rectangle(camera, u0, 6.0, u0 + 9, 30) for u0 in (8.0, 34.0)]
    draw = software_renderer._draw

    def failing(group, *rest):
        if group[0] is meshes[0]:
            raise MemoryError
        time.sleep(0.05)
        return draw(group, *rest)

    monkeypatch.setattr(software_renderer, "_draw", failing)
    frame = np.zeros((*camera.hw, 3), np.uint8)
    with pytest.raises(MemoryError):
        SoftwareRenderer().blend_into(frame, meshes, camera)
    before = frame.copy()
    time.sleep(0.1)
    np.testing.assert_array_equal(frame, before)
    assert frame.any()  # the other mesh was drawn before the call gave up


def test_nothing_outside_of_the_box_changes(golden):
    drawn = SoftwareRenderer().render(golden.meshes[:1], golden.camera)
    x0, y0, x1, y1 = drawn.box_xyxy
    outside = np.ones(golden.camera.hw, bool)
    outside[y0:y1, x0:x1] = False
    assert outside.any()
    assert not drawn.alpha[outside].any()
    assert not drawn.rgb[outside].any()


def test_a_renderer_remembers_nothing(golden):
    renderer = SoftwareRenderer()
    first = renderer.render(golden.meshes, golden.camera)
    renderer.render(golden.meshes[:1], golden.camera.resized((100, 90)))
    again = renderer.render(golden.meshes, golden.camera)
    for name in ("rgb", "alpha", "depth"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


def test_an_image_twice_as_large_shows_the_same(golden):
    """Pixels count from the corner, so averaging 2 x 2 pixels gives the smaller image."""
    height, width = golden.camera.hw
    small, large = (
        SoftwareRenderer().render(golden.meshes, camera)
        for camera in (golden.camera, golden.camera.resized((2 * height, 2 * width)))
    )
    shrunk = large.alpha.reshape(height, 2, width, 2).mean((1, 3))
    assert np.abs(shrunk - small.alpha).mean() < 1e-3
    rows, columns = np.mgrid[:height, :width] + 0.5
    for grid in (rows, columns):
        center_of = [(grid * alpha).sum() / alpha.sum() for alpha in (shrunk, small.alpha)]
        assert center_of[0] == pytest.approx(center_of[1], abs=0.01)


def test_a_mirrored_scene_gives_the_mirrored_picture(golden):
    flip = np.float32([-1, 1, 1])
    mirrored = [Mesh(m.vertices * flip, m.faces[:, ::-1].copy(), m.colors) for m in golden.meshes]
    drawn = SoftwareRenderer().render(golden.meshes, golden.camera, FLAT)
    other = SoftwareRenderer().render(mirrored, golden.camera.mirrored(), FLAT)
    assert np.abs(drawn.alpha - other.alpha[:, ::-1]).mean() < 1e-4
    assert np.abs(drawn.rgb.astype(int) - other.rgb[:, ::-1]).mean() < 0.01


def test_no_meshes_and_meshes_behind_the_camera_give_an_empty_picture(golden):
    behind = replace(golden.meshes[0], vertices=-golden.meshes[0].vertices)
    for meshes in ([], [behind]):
        drawn = SoftwareRenderer().render(meshes, golden.camera)
        assert not drawn.alpha.any()
        assert np.isinf(drawn.depth).all()


def test_blending_needs_a_writable_frame_of_the_cameras_size(golden):
    frame = np.zeros((*golden.camera.hw, 3), np.uint8)
    with pytest.raises(ValueError, match="size"):
        SoftwareRenderer().blend_into(frame[1:], golden.meshes, golden.camera)
    frame.setflags(write=False)
    with pytest.raises(ValueError, match="writable"):
        SoftwareRenderer().blend_into(frame, golden.meshes, golden.camera)


def test_closing_gives_the_buffers_back_and_drawing_takes_new_ones(golden):
    renderer = SoftwareRenderer()
    first = renderer.render(golden.meshes, golden.camera)
    renderer.close()
    np.testing.assert_array_equal(renderer.render(golden.meshes, golden.camera).rgb, first.rgb)
    frame = np.zeros((*golden.camera.hw, 3), np.uint8)
    renderer.blend_into(frame, golden.meshes, golden.camera)
    assert frame.any()
