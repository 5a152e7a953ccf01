"""`hands.npz`: everything about every hand, one row for each hand and frame.

Keys with a leading axis N (rows): `frame, timestamp_s, track_id, side, state, score, joints, uv,
vertices, global_orient, hand_pose, betas, transl, scale`. With a leading axis T (tracks):
`track_ids, colors`. Once: `faces` (right hands), `faces_left` (the same triangles wound the other
way), `K, hw, fps, camera_assumed, hand_model, hand_model_sha256, handloom_version`. A clip without
a hand gives the same keys with no rows. Nothing is pickled: `numpy.load(path)` is all it takes.
"""

import tokenize
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Shaped, jaxtyped

from tracker.errors import SourceError
from tracker.export.recording import Recording, blocks, skin
from tracker.export.versions import version_of
from tracker.whole_file import make_folder, whole_file

_DAMAGE = (
    *(OSError, ValueError, EOFError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
"""What zipfile and numpy's header reader raise on damaged files."""


@dataclass(frozen=True)
class HandsFile:
    """The content of a `hands.npz`; metres, OpenCV camera frame, pixels of the original frame."""

    frame: Int[np.ndarray, " N"]
    timestamp_s: Float[np.ndarray, " N"]
    track_id: Int[np.ndarray, " N"]
    side: Shaped[np.ndarray, " N"]
    """`left` or `right`: the person's own hand."""
    state: Shaped[np.ndarray, " N"]
    """`tracked`, `predicted` or `lost`."""
    score: Float[np.ndarray, " N"]
    joints: Float[np.ndarray, "N 21 3"]
    uv: Float[np.ndarray, "N 21 2"]
    vertices: Float[np.ndarray, "N V 3"]
    global_orient: Float[np.ndarray, "N 3"]
    hand_pose: Float[np.ndarray, "N 45"]
    betas: Float[np.ndarray, "N 10"]
    transl: Float[np.ndarray, "N 3"]
    scale: Float[np.ndarray, " N"]
    track_ids: Int[np.ndarray, " T"]
    colors: Float[np.ndarray, "T V 3"]
    """sRGB in [0, 1] for the tracks in `track_ids`."""
    faces: Int[np.ndarray, "F 3"]
    """Triangles of right hands, counter-clockwise seen from outside."""
    faces_left: Int[np.ndarray, "F 3"]
    """Triangles of left hands."""
    K: Float[np.ndarray, "3 3"]
    hw: Int[np.ndarray, " 2"]
    fps: Float[np.ndarray, ""]
    camera_assumed: Shaped[np.ndarray, ""]
    """True when the field of view was guessed, so depth is only as good as the guess."""
    hand_model: Shaped[np.ndarray, ""]
    """Name of the hand model, e.g. `open_hand-1`."""
    hand_model_sha256: Shaped[np.ndarray, ""]
    handloom_version: Shaped[np.ndarray, ""]


def export_npz(recording: Recording, folder: Path) -> list[Path]:
    """Write `hands.npz`.

    Raises:
        OutputError: it cannot be written.
    """
    path = make_folder(folder) / "hands.npz"
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, array in (_row_arrays(recording) | _single_arrays(recording)).items():
            with archive.open(_member(name), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        _write_vertices(archive, recording)
    return [path]


def _row_arrays(recording: Recording) -> dict[str, np.ndarray]:
    rows = recording.rows
    arrays = {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()}
    return arrays | {"hand_pose": arrays["hand_pose"].reshape(len(rows), 45)}


def _single_arrays(recording: Recording) -> dict[str, np.ndarray]:
    camera, tracks, model = recording.info.camera, recording.tracks, recording.models["right"]
    vertex_count = len(model.v_template)
    return {
        "track_ids": np.array([track.track_id for track in tracks], np.int64),
        "colors": np.array([t.colors for t in tracks], np.float32).reshape(-1, vertex_count, 3),
        "faces": model.faces.numpy().astype(np.int32),
        "faces_left": recording.models["left"].faces.numpy().astype(np.int32),
        "K": camera.K.astype(np.float64),
        "hw": np.array(camera.hw, np.int64),
        "fps": np.array(recording.info.fps, np.float64),
        "camera_assumed": np.array(camera.assumed),
        "hand_model": np.array(model.model_id),
        "hand_model_sha256": np.array(model.sha256),
        "handloom_version": np.array(version_of("handloom")),
    }


def _member(name: str) -> zipfile.ZipInfo:
    # Opened by name, a member would carry today's date; so equal recordings give equal files.
    return zipfile.ZipInfo(f"{name}.npy")


def _write_vertices(archive: zipfile.ZipFile, recording: Recording) -> None:
    """Write the largest array block by block, so that it never lies in memory as a whole."""
    rows = recording.rows
    shape = (len(rows), *recording.models["right"].v_template.shape)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with archive.open(_member("vertices"), "w", force_zip64=True) as file:
        np.lib.format.write_array_header_2_0(file, header)
        for block in blocks(rows):
            file.write(skin(recording.models, block).astype("<f4").tobytes())


def read_npz(path: Path | str) -> HandsFile:
    """Read a `hands.npz` and check it.

    Raises:
        SourceError: the file is missing, damaged, or lacks one of the arrays.
    """
    try:
        with Path(path).open("rb") as file, zipfile.ZipFile(file) as archive:
            arrays = {field.name: _read_array(archive, field.name) for field in fields(HandsFile)}
    except _DAMAGE as cause:
        raise SourceError(
            f"{path} is not a readable hands.npz ({cause}); export it anew"
        ) from cause
    except KeyError as cause:
        raise SourceError(f"{path} is not a complete hands.npz: {cause}; export it anew") from cause
    _check_arrays(path, arrays)
    return HandsFile(**arrays)


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _check_arrays(path: Path | str, arrays: dict[str, np.ndarray]) -> None:
    """Check every array against its field's type, N, T, V and F being free but the same everywhere."""
    with jaxtyped("context"):
        for field in fields(HandsFile):
            array = arrays[field.name]
            if not isinstance(array, field.type):  # pyright: ignore[reportArgumentType]
                raise SourceError(
                    f"{path}: {field.name} is {array.dtype} of shape {array.shape}, which does not "
                    f"fit {field.type} and the arrays before it; export it anew"
                )
