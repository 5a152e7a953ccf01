"""The geometric pieces of the open hand's builder: fields, meshes, topology, weights, regressor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from train.open_hand import mesh
from train.open_hand.anthropometry import CHAINS, DIGITS, skeleton
from train.open_hand.decimate import decimate
from train.open_hand.hand_shape import hand_field
from train.open_hand.intersections import contains, piercing_pairs
from train.open_hand.regressor import joint_regressor
from train.open_hand.remesh import flip_edges, stage_counts
from train.open_hand.sdf import (
    Ellipsoid,
    Tube,
    first_exit,
    gradient,
    project,
    smooth_max,
    smooth_min,
)
from train.open_hand.surface import extract_surface
from train.open_hand.topology import COLUMNS, digit_tube, ring_stations
from train.open_hand.weights import harmonic_weights


@pytest.fixture(scope="module")
def ball() -> tuple[np.ndarray, np.ndarray]:
    """A mesh of the unit ball: an octahedron, four times refined."""
    vertices = np.array(
        [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float
    )
    faces = np.array(
        [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    )
    for _ in range(3):
        corners = vertices[faces]
        middles = (corners + np.roll(corners, -1, axis=1)) / 2
        a, b, c = (corners[:, k] for k in range(3))
        ab, bc, ca = (middles[:, k] for k in range(3))
        soup = np.stack([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]).transpose(0, 2, 1, 3)
        unique, inverse = np.unique(soup.reshape(-1, 3).round(9), axis=0, return_inverse=True)
        vertices = unique / np.linalg.norm(unique, axis=1, keepdims=True)
        faces = inverse.reshape(-1, 3)
    return vertices, faces


# Signed distance fields.


@given(*(arrays(float, 8, elements=st.floats(-1, 1)) for _ in range(2)), st.floats(0.01, 1))
def test_smooth_minimum_lies_below_and_near_the_minimum(
    a: np.ndarray, b: np.ndarray, radius: float
):
    value = smooth_min(a, b, radius)
    assert (value <= np.minimum(a, b) + 1e-12).all()
    assert (value >= np.minimum(a, b) - radius / 4 - 1e-12).all()
    np.testing.assert_allclose(value, smooth_min(b, a, radius), atol=1e-12)
    np.testing.assert_allclose(smooth_max(a, b, radius), -smooth_min(-a, -b, radius))
    far = np.abs(a - b) >= radius
    np.testing.assert_allclose(value[far], np.minimum(a, b)[far], atol=1e-12)


@pytest.fixture
def tube() -> Tube:
    stations = np.array([[0, 10, 8, 12], [20, 9, 7, 10], [40, 8, 7, 9]]) * 1e-3
    start, end, up = np.zeros(3), np.array([-0.05, 0, 0]), np.array([0, 1.0, 0])
    return Tube.between(start, end, up, stations, (0.012, 0.01))


def test_tube_has_the_sizes_of_its_stations(tube: Tube):
    station = np.array([-0.02, 0, 0])
    skin = station + np.array([[0, 0.007, 0], [0, -0.010, 0], [0, 0, 0.009], [0, 0, -0.009]])
    ends = np.array([[0.012, 0, 0], [-0.05, 0, 0]])
    np.testing.assert_allclose(tube(np.vstack([skin, ends])), 0, atol=1e-6)
    assert (tube(0.9 * (skin - station) + station) < 0).all()


def test_tube_has_no_ridge_where_its_cap_begins(tube: Tube):
    x = -0.04 + np.linspace(-1e-5, 1e-5, 3)
    points = np.column_stack([x, np.full(3, 0.006), np.full(3, 0.003)])
    normals = gradient(tube, points, step=2e-6)
    assert np.linalg.norm(normals[0] - normals[2]) < 0.02 * np.linalg.norm(normals[1])


def test_ellipsoid_projection_and_rays_reach_the_skin(rng: np.random.Generator):
    radii = np.array([0.03, 0.015, 0.02])
    ellipsoid = Ellipsoid(np.array([0.01, 0, 0]), np.eye(3), radii)
    directions = rng.normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    hits = first_exit(ellipsoid, ellipsoid.center, directions, 0.04)
    np.testing.assert_allclose((((hits - ellipsoid.center) / radii) ** 2).sum(1), 1, atol=1e-4)
    projected = project(ellipsoid, ellipsoid.center + directions * radii * 1.3, iterations=8)
    np.testing.assert_allclose((((projected - ellipsoid.center) / radii) ** 2).sum(1), 1, atol=1e-4)


def test_rays_that_stay_inside_are_reported():
    ball = Ellipsoid(np.zeros(3), np.eye(3), np.full(3, 0.02))
    with pytest.raises(ValueError, match="does not leave"):
        first_exit(ball, np.zeros(3), np.eye(3), reach=0.01)


def test_hand_field_holds_the_skeleton_inside():
    bones, field = skeleton(), hand_field()
    assert (field(bones.joints) < -0.003).all()
    assert (np.abs(field(bones.tips)) < 0.003).all()


# Meshes.


def test_mesh_measures_of_a_ball(ball: tuple[np.ndarray, np.ndarray]):
    vertices, faces = ball
    assert mesh.boundary_loops(faces) == []
    assert mesh.volume(vertices, faces) == pytest.approx(4 / 3 * np.pi, rel=0.03)
    np.testing.assert_allclose(mesh.vertex_normals(vertices, faces), vertices, atol=0.05)
    inside = contains(vertices, faces, np.array([[0, 0, 0], [0.9, 0, 0], [1.1, 0, 0], [0, 2, 0]]))
    assert inside.tolist() == [True, True, False, False]


def test_capping_closes_a_hole(ball: tuple[np.ndarray, np.ndarray]):
    vertices, faces = ball
    open_faces = faces[(vertices[faces][:, :, 0] < 0.5).any(1)]
    (loop,) = mesh.boundary_loops(open_faces)
    points, closed = mesh.capped(vertices, open_faces)
    assert len(closed) == len(open_faces) + len(loop)
    assert mesh.boundary_loops(closed) == []
    assert 0 < mesh.volume(points, closed) < mesh.volume(vertices, faces)


def test_two_triangles_pierce_or_pass():
    vertices = np.array(
        [[0, 0, 0], [2, 0, 0], [0, 2, 0], [0.5, 0.5, -1], [0.5, 0.5, 1], [3, 3, 1.0]]
    )
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    assert piercing_pairs(vertices, faces).tolist() == [[0, 1]]
    assert len(piercing_pairs(vertices + np.array([[0]] * 3 + [[3]] * 3), faces)) == 0


def test_decimation_keeps_what_it_must(ball: tuple[np.ndarray, np.ndarray]):
    vertices, faces = ball
    faces = faces[(vertices[faces][:, :, 0] < 0.6).any(1)]
    vertices, faces, _ = mesh.compact(vertices, faces)
    locked = vertices[:, 0] < -0.8
    kept, reduced = decimate(
        vertices, faces, count=90, rim=10, locked=locked, density=np.ones(len(vertices))
    )
    assert len(kept) == 90
    assert set(np.flatnonzero(locked)) <= set(kept)
    assert [len(loop) for loop in mesh.boundary_loops(reduced)] == [10]
    assert len(reduced) == 2 * 90 - 2 - 10
    assert mesh.triangle_quality(vertices[kept], reduced).min() > 0.1


def test_decimation_says_when_it_is_stuck(ball: tuple[np.ndarray, np.ndarray]):
    vertices, faces = ball
    everything = np.ones(len(vertices), bool)
    with pytest.raises(ValueError, match="cannot be reduced below"):
        decimate(
            vertices, faces, count=20, rim=0, locked=everything, density=np.ones(len(vertices))
        )


def test_flipping_repairs_a_thin_pair():
    points = np.array([[0, 0, 0], [4, 0, 0], [2, 1, 0], [2, -1, 0.0], [2, 9, 0], [2, -9, 0]])
    faces = np.array([[0, 1, 2], [1, 0, 3], [2, 1, 4], [0, 2, 4], [3, 0, 5], [1, 3, 5]])
    flipped = flip_edges(points, faces, np.zeros(6, bool))
    # The shared edge of the thin pair hangs on vertices with four faces, so it stays.
    assert np.array_equal(flipped, faces)
    fan = np.vstack([faces, [[0, 4, 6], [0, 6, 5], [1, 5, 7], [1, 7, 4]]])
    more = np.vstack([points, [[-9, 0, 0], [13, 0, 0]]])
    flipped = flip_edges(more, fan, np.zeros(8, bool))
    edges = {frozenset(edge) for edge in mesh.edges(flipped)[0].tolist()}
    assert {2, 3} in edges
    assert {0, 1} not in edges
    assert mesh.volume(more, flipped) == pytest.approx(mesh.volume(more, fan), abs=1e-12)


def test_stages_fall_to_the_layouts_count():
    counts = stage_counts(4600)
    assert counts[-1] == 778
    assert all(0.6 < b / a < 1 for a, b in zip([4600, *counts], counts, strict=False))


@pytest.mark.parametrize("digit", DIGITS)
def test_digit_tubes_lie_on_the_skin(digit: str):
    tube = digit_tube(hand_field(), skeleton(), digit, base=0.043 if digit == "thumb" else 0.024)
    assert (np.diff(ring_stations(digit, 0.024)) > 0).all()
    assert tube.rings.shape[1:] == (COLUMNS, 3)
    assert np.abs(hand_field()(np.vstack([*tube.rings, tube.tip[None]]))).max() < 1e-5


def test_coarse_surface_is_one_piece_open_at_the_wrist():
    vertices, faces = extract_surface(hand_field(), 6e-3)
    (loop,) = mesh.boundary_loops(faces)
    assert np.ptp(vertices[loop, 0]) == 0
    assert 3.0e-4 < mesh.volume(vertices, faces) < 4.2e-4
    assert len(vertices) - len(mesh.edges(faces)[0]) + len(faces) == 1


def test_coarse_weights_are_convex_and_follow_the_bones():
    bones = skeleton()
    middles = np.vstack([(bones.chain(d)[1:] + bones.chain(d)[:-1]) / 2 for d in DIGITS])
    weights = harmonic_weights(hand_field(), bones, middles, spacing=3e-3)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert weights.min() == 0
    assert weights.argmax(1).tolist() == [joint for d in DIGITS for joint in CHAINS[d]]


def test_regressor_is_convex_and_exact(
    ball: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
):
    vertices = ball[0] * 0.02
    joints = rng.uniform(-0.008, 0.008, (16, 3))
    regressor = joint_regressor(vertices, joints)
    assert regressor.min() >= 0
    np.testing.assert_allclose(regressor.sum(1), 1)
    np.testing.assert_allclose(regressor @ vertices, joints, atol=1e-10)


def test_a_joint_outside_the_skin_is_refused(ball: tuple[np.ndarray, np.ndarray]):
    with pytest.raises(ValueError, match="does not lie among"):
        joint_regressor(ball[0] * 0.02, np.full((16, 3), 0.03))
