"""OBJ and PLY sequences, read by trimesh."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh

from tracker.export.mesh_sequence import export_obj, export_ply
from tracker.export.recording import Recording, skin

BOTH = pytest.mark.parametrize(("export", "suffix"), [(export_obj, "obj"), (export_ply, "ply")])


@BOTH
def test_trimesh_reads_vertices_faces_and_colours(
    export: Callable[..., list[Path]],
    suffix: str,
    two_hands: Recording,
    tmp_path: Path,
) -> None:
    paths = export(two_hands, tmp_path)
    rows = two_hands.rows
    assert len(paths) == len(rows) == len(list((tmp_path / "meshes").iterdir()))
    assert paths[0] == tmp_path / "meshes" / f"000002_right_1.{suffix}"
    colors = {track.track_id: track.colors for track in two_hands.tracks}
    for i in (0, 5, 40):
        row = rows[i]
        mesh = trimesh.load(paths[i], process=False, maintain_order=True)
        vertices = skin(two_hands.models, rows[i : i + 1])[0]
        np.testing.assert_allclose(mesh.vertices, vertices, atol=1e-6)
        side_faces = two_hands.models[row["side"].item()].faces.numpy()
        np.testing.assert_array_equal(mesh.faces, side_faces)
        wanted = colors[int(row["track_id"])] * 255
        np.testing.assert_allclose(mesh.visual.vertex_colors[:, :3], wanted, atol=1)


@BOTH
def test_a_second_run_replaces_the_first(
    export: Callable[..., list[Path]],
    suffix: str,
    steady_hand: Recording,
    no_hands: Recording,
    tmp_path: Path,
) -> None:
    export(steady_hand, tmp_path)
    (tmp_path / "meshes" / "notes.txt").write_text("mine")
    assert export(no_hands, tmp_path) == []
    assert [p.name for p in (tmp_path / "meshes").iterdir()] == ["notes.txt"]
