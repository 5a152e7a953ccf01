"""One mesh file for each hand and frame: `meshes/000123_right_1.obj` or `.ply`.

Vertices are in metres in the OpenCV camera frame (x right, y down, z forward), just as in
`hands.npz`; their sRGB colours ride along (PLY: `red green blue`; OBJ: three more numbers behind
each vertex, which Blender, MeshLab and trimesh read).
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from tracker.export.recording import Recording, blocks, skin
from tracker.whole_file import make_folder, remove_stale, whole_file

MESH_FOLDER = "meshes"

_PLY_VERTEX = np.dtype([("xyz", "<f4", (3,)), ("rgb", "u1", (3,))])
_PLY_FACE = np.dtype([("count", "u1"), ("corners", "<i4", (3,))])

Encoder = Callable[[np.ndarray, np.ndarray, np.ndarray], bytes]


def export_obj(recording: Recording, folder: Path) -> list[Path]:
    """Write `meshes/FRAME_SIDE_TRACK.obj`; meshes of an earlier run are removed.

    Raises:
        OutputError: one of them cannot be written.
    """
    return _export(recording, folder, ".obj", encode_obj)


def export_ply(recording: Recording, folder: Path) -> list[Path]:
    """Write `meshes/FRAME_SIDE_TRACK.ply` (binary); meshes of an earlier run are removed.

    Raises:
        OutputError: one of them cannot be written.
    """
    return _export(recording, folder, ".ply", encode_ply)


def _export(recording: Recording, folder: Path, suffix: str, encode: Encoder) -> list[Path]:
    meshes = make_folder(folder / MESH_FOLDER)
    colors = {track.track_id: track.colors for track in recording.tracks}
    faces = {side: model.faces.numpy() for side, model in recording.models.items()}
    written: list[Path] = []
    for block in blocks(recording.rows):
        for row, vertices in zip(block, skin(recording.models, block), strict=True):
            path = meshes / f"{row['frame']:06d}_{row['side']}_{row['track_id']}{suffix}"
            with whole_file(path, durable=False) as partial:
                data = encode(vertices, faces[row["side"].item()], colors[int(row["track_id"])])
                partial.write_bytes(data)
            written.append(path)
    remove_stale(meshes, rf"\d{{6,}}_(left|right)_\d+\{suffix}", written)
    if not written:
        with suppress(OSError):  # rmdir refuses a folder that holds something
            meshes.rmdir()
    return written


def encode_ply(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    colors: Float[np.ndarray, "V 3"],
) -> bytes:
    """Return a binary little-endian PLY file."""
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment metres, OpenCV camera frame: x right, y down, z forward",
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {color}" for color in ("red", "green", "blue")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    vertex_table = np.zeros(len(vertices), _PLY_VERTEX)
    vertex_table["xyz"], vertex_table["rgb"] = vertices, np.rint(colors.clip(0, 1) * 255)
    face_table = np.zeros(len(faces), _PLY_FACE)
    face_table["count"], face_table["corners"] = 3, faces
    return "\n".join(header).encode() + vertex_table.tobytes() + face_table.tobytes()


def encode_obj(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    colors: Float[np.ndarray, "V 3"],
) -> bytes:
    """Return a Wavefront OBJ file with a colour behind each vertex."""
    numbers = np.concatenate([vertices, colors.clip(0, 1)], 1).ravel().tolist()
    vertex_lines = "v %.6f %.6f %.6f %.4f %.4f %.4f\n" * len(vertices) % tuple(numbers)
    face_lines = "f %d %d %d\n" * len(faces) % tuple((faces + 1).ravel().tolist())
    header = "# metres, OpenCV camera frame: x right, y down, z forward\n"
    return (header + vertex_lines + face_lines).encode()
