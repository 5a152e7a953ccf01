"""`hands.usdc`: one mesh for each track with animated points, for Omniverse, Houdini and the like.

Points are exactly those of `hands.npz`, under a root turned by half a turn about x (y up, z back);
metres. Time codes count frames of the clip's nominal rate from its first frame. A hand is invisible
while it is not seen. Needs `usd-core`, which the `export` extra installs.
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from tracker.errors import OutputError
from tracker.export.recording import Recording, Track, blocks, skin
from tracker.whole_file import make_folder, whole_file


def export_usd(recording: Recording, folder: Path) -> list[Path]:
    """Write `hands.usdc`.

    Raises:
        OutputError: usd-core is not installed, or the file cannot be written.
    """
    pxr = _load_pxr()
    path = make_folder(folder) / "hands.usdc"
    with whole_file(path) as partial:
        try:
            _write_stage(pxr, partial, recording)
        except pxr.Tf.ErrorException as cause:
            reason = str(cause).strip().splitlines()[-1]
            raise OutputError(f"cannot write {path}: {reason}; check the folder") from cause
    return [path]


def _load_pxr() -> Any:
    try:
        for name in ("Gf", "Sdf", "Tf", "Usd", "UsdGeom", "Vt"):
            importlib.import_module(f"pxr.{name}")
    except ImportError as cause:
        raise OutputError(
            "USD files need the package usd-core, which is not installed; "
            "type: pip install 'handloom[export]'"
        ) from cause
    return importlib.import_module("pxr")


def _write_stage(pxr: Any, path: Path, recording: Recording) -> None:
    stage = pxr.Usd.Stage.CreateNew(str(path))
    pxr.UsdGeom.SetStageUpAxis(stage, pxr.UsdGeom.Tokens.y)
    pxr.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    codes = time_codes(recording)
    stage.SetTimeCodesPerSecond(recording.info.fps)
    stage.SetFramesPerSecond(recording.info.fps)
    stage.SetStartTimeCode(0.0)
    stage.SetEndTimeCode(float(codes[-1]) if len(codes) else 0.0)
    root = pxr.UsdGeom.Xform.Define(stage, "/hands")
    root.AddRotateXOp().Set(180.0)
    stage.SetDefaultPrim(root.GetPrim())
    for track in recording.tracks:
        _add_track(pxr, stage, recording, track, codes)
    stage.GetRootLayer().Save()


def time_codes(recording: Recording) -> np.ndarray:
    """Return the time code of each frame of the clip."""
    seconds = recording.timestamps_s
    # Rounded, so that frames of an even clip fall on whole numbers and not just behind them.
    return np.round((seconds - seconds[:1]) * recording.info.fps, 6)


def _add_track(pxr: Any, stage: Any, recording: Recording, track: Track, codes: np.ndarray) -> None:
    mesh = pxr.UsdGeom.Mesh.Define(stage, f"/hands/{track.name}")
    faces = track.model.faces.numpy()
    mesh.CreateFaceVertexCountsAttr(pxr.Vt.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(pxr.Vt.IntArray.FromNumpy(faces.ravel().astype(np.int32)))
    mesh.CreateSubdivisionSchemeAttr(pxr.UsdGeom.Tokens.none)
    mesh.CreateDoubleSidedAttr(True)
    colors = mesh.CreateDisplayColorPrimvar(pxr.UsdGeom.Tokens.vertex)
    colors.Set(pxr.Vt.Vec3fArray.FromNumpy(track.linear_colors))
    code_of = dict(zip(recording.frames.tolist(), codes.tolist(), strict=True))
    for rows in blocks(track.rows):
        for row, vertices in zip(rows, skin(recording.models, rows), strict=True):
            points = pxr.Vt.Vec3fArray.FromNumpy(vertices)
            code = code_of[int(row["frame"])]
            mesh.GetPointsAttr().Set(points, code)
            mesh.GetExtentAttr().Set(pxr.UsdGeom.PointBased.ComputeExtent(points), code)
    for key, seen in zip(*track.visibility(recording.frames), strict=True):
        token = pxr.UsdGeom.Tokens.inherited if seen else pxr.UsdGeom.Tokens.invisible
        mesh.GetVisibilityAttr().Set(token, float(codes[key]))
