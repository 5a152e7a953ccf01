"""The z-buffer against a slow and obvious twin, and against geometry known in closed form."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tracker.geometry.camera import Camera
from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.zbuffer import (
    NEAR_M,
    box_of,
    draw_faces,
    draw_small_faces,
    project,
    rasterise,
    vertex_normals,
    visible_vertices,
)

HW = (48, 64)
K = np.array([[60.0, 0, 32], [0, 58.0, 23], [0, 0, 1]])


def rasterise_slowly(xyz, faces, K, hw):
    """Every face at every pixel, in float64, with the ray cut against the face's own plane."""
    v, u = np.mgrid[: hw[0], : hw[1]] + 0.5
    rays = np.stack([u, v, np.ones(hw)], -1) @ np.linalg.inv(K).T
    face_id, inv_depth = np.full(hw, -1), np.zeros(hw)
    for f, corners in enumerate(xyz[faces].astype(float)):
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        if normal @ corners[0] >= 0 or corners[:, 2].min() <= NEAR_M:
            continue
        sides = np.stack(
            [rays @ np.cross(corners[(i + 1) % 3], corners[i]) for i in range(3)]
        )  # the ray passes on the inner side of the plane through the eye and each edge
        w = rays @ normal / (normal @ corners[0])
        seen = (sides >= 0).all(0) & (w > inv_depth)
        face_id[seen], inv_depth[seen] = f, w[seen]
    return face_id, inv_depth


def ball(radius=0.1, center=(0.0, 0.0, 0.5), subdivisions=2, turn=(0.3, 0.2, 0.1)):
    sphere = trimesh.creation.icosphere(subdivisions, radius)
    vertices = Rotation.from_rotvec(turn).apply(np.array(sphere.vertices)) + center
    return vertices.astype(np.float32), np.array(sphere.faces)


def test_agrees_with_the_slow_twin_on_overlapping_random_triangles(rng):
    centers = rng.uniform([-0.2, -0.2, 0.3], [0.2, 0.2, 0.8], (60, 1, 3))
    xyz = (centers + rng.normal(size=(60, 3, 3)) * 0.08).reshape(-1, 3).astype(np.float32)
    faces = np.arange(180).reshape(60, 3)
    face_id, inv_depth = rasterise(xyz, faces, K, HW)
    slow_id, slow_inv_depth = rasterise_slowly(xyz, faces, K, HW)
    assert (slow_id >= 0).mean() > 0.3
    assert (face_id != slow_id).mean() < 0.003  # centres that lie on an edge to within rounding
    same = face_id == slow_id
    np.testing.assert_allclose(inv_depth[same], slow_inv_depth[same], rtol=2e-4)


def test_agrees_with_the_slow_twin_on_a_closed_surface():
    xyz, faces = ball()
    face_id, inv_depth = rasterise(xyz, faces, K, HW)
    slow_id, slow_inv_depth = rasterise_slowly(xyz, faces, K, HW)
    assert (face_id != slow_id).sum() <= 2
    np.testing.assert_array_equal(face_id >= 0, slow_id >= 0)
    np.testing.assert_allclose(inv_depth, slow_inv_depth, rtol=2e-4)


@given(
    st.floats(-0.02, 0.02), st.floats(-0.02, 0.02), st.floats(0.3, 0.9), st.sampled_from([2, 4, 8])
)
@settings(max_examples=25, deadline=None)
def test_no_cracks_inside_a_ball(x, y, z, scale):
    """At any size a closed surface has no hole: every ray well inside the outline is stopped."""
    xyz, faces = ball(center=(x, y, z))
    hw, camera_K = (48 * scale, 64 * scale), K * np.array([[scale], [scale], [1]])
    face_id, _ = rasterise(xyz, faces, camera_K, hw)
    v, u = np.mgrid[: hw[0], : hw[1]] + 0.5
    rays = np.stack([u, v, np.ones(hw)], -1) @ np.linalg.inv(camera_K).T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    miss = np.linalg.norm(np.cross(rays, [x, y, z]), axis=-1)
    assert (face_id[miss < 0.094] >= 0).all()  # the facets' own inner radius is 0.0946
    assert (face_id[miss > 0.1] == -1).all()


def test_no_cracks_where_vertices_and_edges_pass_through_pixel_centres():
    v, u = np.mgrid[5.5:30.5:1, 10.5:40.5:1]
    xyz = Camera(K, HW).unproject(np.stack([u, v], -1).reshape(-1, 2), np.full(u.size, 0.5))
    index = np.arange(u.size).reshape(u.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, d, c), (a, c, b))])
    face_id, inv_depth = rasterise(xyz.astype(np.float32), faces, K, HW)
    assert (face_id[6:29, 11:39] >= 0).all()
    np.testing.assert_allclose(inv_depth[6:29, 11:39], 2.0, rtol=1e-5)
    assert (face_id[:5] == -1).all()
    assert (face_id[:, 41:] == -1).all()


def test_depth_of_a_tilted_plane_is_perspective_correct():
    xyz = np.array([[-1, 1, 0.5], [1, 1, 0.5], [0, -1, 3.0]], np.float32)
    faces = np.array([[0, 1, 2]])
    face_id, inv_depth = rasterise(xyz, faces, K, HW)
    if not (face_id >= 0).any():
        face_id, inv_depth = rasterise(xyz, faces[:, ::-1], K, HW)
    normal = np.cross(xyz[1] - xyz[0], xyz[2] - xyz[0])
    y, x = np.nonzero(face_id >= 0)
    assert len(x) > 500
    rays = np.stack([x + 0.5, y + 0.5, np.ones(len(x))], -1) @ np.linalg.inv(K).T
    np.testing.assert_allclose(inv_depth[y, x], rays @ normal / (normal @ xyz[0]), rtol=1e-4)


def test_a_surface_turned_inside_out_is_not_drawn():
    """What is left are the ball's far walls, seen from inside."""
    xyz, faces = ball()
    outside = rasterise(xyz, faces, K, HW)[1]
    inside = rasterise(xyz, faces[:, ::-1], K, HW)[1]
    assert 1 / outside.max() == pytest.approx(0.4, abs=0.005)
    assert 1 / inside[inside > 0].min() == pytest.approx(0.6, abs=0.005)


def test_faces_behind_near_or_broken_are_left_out():
    xyz, faces = ball()
    for broken in (xyz * [1, 1, -1], xyz * 0.01, np.full_like(xyz, np.nan)):
        assert (rasterise(broken.astype(np.float32), faces, K, HW)[0] == -1).all()
    one_bad = xyz.copy()
    one_bad[0] = [np.inf, 0, 0.4]
    drawn = np.unique(rasterise(one_bad, faces, K, HW)[0])
    assert len(drawn) > 50
    assert not np.isin(np.flatnonzero((faces == 0).any(1)), drawn).any()


def test_a_face_far_larger_than_the_image_fills_it():
    xyz = np.array([[-50, 50, 1], [50, 50, 1], [0, -80, 1]], np.float32)
    assert (rasterise(xyz, np.array([[0, 1, 2]]), K, HW)[0] == 0).all() or (
        rasterise(xyz, np.array([[0, 2, 1]]), K, HW)[0] == 0
    ).all()


def test_box_holds_everything_drawn_and_is_empty_for_nothing():
    xyz, faces = ball(center=(0.15, 0.1, 0.4))
    x0, y0, x1, y1 = box_of(project(xyz, K), HW)
    drawn = rasterise(xyz, faces, K, HW)[0] >= 0
    rows, columns = np.nonzero(drawn)
    assert x0 <= columns.min() <= columns.max() < x1 <= HW[1]
    assert y0 <= rows.min() <= rows.max() < y1 <= HW[0]
    x0, y0, x1, y1 = box_of(project(-xyz, K), HW)
    assert (x1 - x0) * (y1 - y0) == 0


def test_project_agrees_with_the_camera():
    xyz, _ = ball()
    uvw = project(xyz, K)
    np.testing.assert_allclose(uvw[:, :2], Camera(K, HW).project(xyz), rtol=1e-5)
    np.testing.assert_allclose(uvw[:, 2], 1 / xyz[:, 2], rtol=1e-6)


def test_visible_vertices_of_a_ball_are_those_turned_to_the_camera():
    xyz, faces = ball(subdivisions=3)
    visible = visible_vertices(xyz, faces, Camera(K * [[8], [8], [1]], (384, 512)))
    center = np.array([0, 0, 0.5])
    cosine = -((xyz - center) / 0.1 * xyz / np.linalg.norm(xyz, axis=1, keepdims=True)).sum(1)
    assert visible[cosine > 0.3].all()
    assert not visible[cosine < 0.1].any()


def test_vertices_behind_another_surface_or_outside_the_image_are_not_visible():
    xyz, faces = ball(subdivisions=3)
    screen = np.array([[-1, -1, 0.3], [-1, 1, 0.3], [0, 1, 0.3], [0, -1, 0.3]], np.float32)
    cover = np.array([[0, 1, 2], [0, 2, 3]]) + len(xyz)
    camera = Camera(K * [[8], [8], [1]], (384, 512))
    free = visible_vertices(xyz, faces, camera)
    covered = visible_vertices(
        np.concatenate([xyz, screen]), np.concatenate([faces, cover]), camera
    )
    left = camera.project(xyz)[:, 0] < camera.K[0, 2]  # the screen's right border is at x = 0
    assert free[left].sum() > 50
    assert not covered[: len(xyz)][left].any()
    right = camera.project(xyz)[:, 0] > camera.K[0, 2] + 2
    np.testing.assert_array_equal(covered[: len(xyz)][right], free[right])
    shifted = xyz + np.float32([0.45, 0, 0])
    off_image = camera.project(shifted)[:, 0] >= 512
    assert off_image.sum() > 50
    assert not visible_vertices(shifted, faces, camera)[off_image].any()


def test_normals_of_a_ball_point_away_from_its_middle():
    xyz, faces = ball(subdivisions=3)
    normals = vertex_normals(xyz, faces)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(normals, (xyz - [0, 0, 0.5]) / 0.1, atol=0.02)


def test_normals_weigh_faces_by_area_and_leave_loose_vertices_at_zero():
    xyz = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1], [9, 9, 9]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    normals = vertex_normals(xyz, faces)
    np.testing.assert_allclose(normals[0], np.array([1, 0, 2]) / np.sqrt(5), atol=1e-6)
    assert (normals[4] == 0).all()


def test_small_faces_are_drawn_like_all_others(rng: np.random.Generator):
    arrays = read_hand_file()
    for _ in range(5):
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        turn[:, 0] *= np.linalg.det(turn)
        uvw = project(arrays.v_template @ turn.T + [0, 0, 0.5], np.diag([500.0, 500, 1]))
        uvw[:, :2] += 90
        faces = np.ascontiguousarray(arrays.f, np.int32)
        ids, depths = [np.full((200, 180), -1, np.int32) for _ in range(2)], []
        for id_map, draw in zip(ids, (draw_faces, draw_small_faces), strict=True):
            depth = np.zeros((200, 180), np.float32)
            where = (0, 0) if draw is draw_faces else ()
            draw(uvw, faces, *where, id_map, depth)
            depths.append(depth)
        assert (ids[0] >= 0).sum() > 1000
        assert (ids[0] == ids[1]).mean() > 0.999
        np.testing.assert_allclose(depths[0], depths[1], rtol=1e-3, atol=3e-3)
