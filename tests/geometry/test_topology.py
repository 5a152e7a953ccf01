"""Neighbours across edges, and caps on open borders."""

import numpy as np
import trimesh

from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.topology import closed_faces, edge_faces


def directed_edges(faces):
    return [tuple(face[[i, (i + 1) % 3]]) for face in np.asarray(faces) for i in range(3)]


def test_every_edge_comes_once_with_the_faces_on_both_sides():
    faces = read_hand_file().f
    rows = edge_faces(faces)
    assert len({frozenset(row[:2].tolist()) for row in rows}) == len(rows)
    of_face = [set(directed_edges(faces[f : f + 1])) for f in range(len(faces))]
    assert all((a, b) in of_face[left] for a, b, left, _ in rows)
    assert all(right < 0 or (b, a) in of_face[right] for a, b, _, right in rows)
    borders = [(a, b) for a, b, _, right in rows if right < 0]
    assert len(borders) == 16  # the hand is open at the wrist, and nowhere else


def test_a_closed_hand_is_one_sphere_wound_one_way():
    faces = read_hand_file().f
    closed = closed_faces(faces)
    np.testing.assert_array_equal(closed[: len(faces)], faces)
    edges = directed_edges(closed)
    assert len(set(edges)) == len(edges)
    assert {(b, a) for a, b in edges} == set(edges)
    assert 778 - len(edges) // 2 + len(closed) == 2  # Euler


def test_several_holes_are_closed_and_none_is_invented():
    tube = trimesh.creation.cylinder(1, 3, sections=12)
    sides = np.abs(np.array(tube.face_normals)[:, 2]) < 0.5
    closed = closed_faces(np.array(tube.faces)[sides])
    assert set(directed_edges(closed)) == {(b, a) for a, b in directed_edges(closed)}
    assert len(closed) == sides.sum() + 2 * 10
    np.testing.assert_array_equal(closed_faces(closed), closed)
