"""The numbers of the papers' tables, as the evaluation programs of FreiHAND and HO-3D define them.

Names are `ALIGNMENT_MEASURE`. Alignments, each of every frame alone:

official    similarity with least squared distance, mirror images allowed, as both programs do it;
            joints and surface each on their own ("Procrustes aligned" in every table)
similarity  the same without mirror images
scale       HO-3D's "scale and translation": wrist on wrist, and as large as the bone from the
            wrist to the middle knuckle
wrist       wrist on wrist
none        as the camera sees it

Measures: `mpjpe_mm` and `mpvpe_mm` are mean distances of joints and of vertices; `auc_j` and `auc_v`
the area under their share below 0 to 50 mm, 100 thresholds; `f5` and `f15` the F-scores of the
surface's points at 5 and 15 mm. Where the two surfaces are of different meshes, vertices have no
partners: there are no `mpvpe_mm` and `auc_v`, and for the F-scores the joints' similarity moves the
surface. `uv_px` and `uv_within_*` measure projected joints in pixels of a 224 pixel crop.
"""

from collections.abc import Callable, Iterable
from typing import Final, Literal

import numpy as np
from jaxtyping import Float

from tracker.geometry.metrics import (
    auc,
    f_score,
    point_errors_mm,
    procrustes_align,
    root_relative,
    similarity,
)
from tracker.geometry.skeleton import JOINTS
from train.batch import TrainBatch
from train.objective import LOSS_PX
from train.predictor import Predicted

Alignment = Literal["official", "similarity", "scale", "wrist", "none"]
ALIGNMENTS: Final[tuple[Alignment, ...]] = ("official", "similarity", "scale", "wrist", "none")
F_MM: Final = (5, 15)
WITHIN_PX: Final = (5, 10, 20)
_KNUCKLE: Final = JOINTS.index("middle_mcp")

Arrays = dict[str, np.ndarray]


def bone_align(
    joints: Float[np.ndarray, "n 21 3"], target: Float[np.ndarray, "n 21 3"]
) -> Float[np.ndarray, "n 21 3"]:
    """Put the wrist on the target's and give the bone to the middle knuckle the target's length."""
    length, wanted = (
        np.linalg.norm(j[:, _KNUCKLE] - j[:, 0], axis=-1)[:, None, None] for j in (joints, target)
    )
    scale = wanted / np.where(length > 0, length, 1)
    return root_relative(joints) * scale + target[:, :1]


def measured(predicted: Predicted, batch: TrainBatch, *, one_mesh: bool) -> Arrays:
    """Return the errors of a batch by name, one row a frame; what the truth does not tell is empty.

    Args:
        predicted: the answer.
        batch: with the truth.
        one_mesh: vertices of both surfaces with one number are the same point of the hand.
    """
    xyz = batch.xyz.double().numpy()
    known = np.isfinite(xyz).all((1, 2))
    rows = _joint_rows(predicted.joints[known], xyz[known], placed=predicted.uv is not None)
    if batch.vertices is not None:
        surface = batch.vertices.double().numpy()
        full = known & np.isfinite(surface).all((1, 2))
        part = Predicted(predicted.joints[full], predicted.vertices[full], None)
        placed = predicted.uv is not None
        rows |= _surface_rows(part, xyz[full], surface[full], one_mesh=one_mesh, placed=placed)
    if predicted.uv is not None:
        rows["uv"] = _pixel_errors(predicted.uv, batch)
    return rows


def summary(parts: Iterable[Arrays]) -> dict[str, float]:
    """Return the mean of every measure over the frames of all batches."""
    found: dict[str, list[np.ndarray]] = {}
    for part in parts:
        for name, rows in part.items():
            found.setdefault(name, []).append(rows)
    numbers: dict[str, float] = {}
    for name, rows in found.items():
        values = np.concatenate(rows)
        if values.size:
            numbers |= _numbers(name, values)
    return numbers


def _numbers(name: str, values: np.ndarray) -> dict[str, float]:
    """Return the measures of one kind of errors."""
    if name == "uv":
        shares = {f"uv_within_{px}px": float((values <= px).mean()) for px in WITHIN_PX}
        return {"uv_px": float(values.mean()), **shares}
    alignment, _, kind = name.partition("_")
    if kind in ("j", "v"):
        mean = "mpjpe_mm" if kind == "j" else "mpvpe_mm"
        return {f"{alignment}_auc_{kind}": auc(values), f"{alignment}_{mean}": float(values.mean())}
    return {name: float(values.mean())}


def _joint_rows(joints: np.ndarray, xyz: np.ndarray, *, placed: bool) -> Arrays:
    """Return joint errors (mm) after each alignment; hands without a place only where it is moot."""
    if not len(xyz):
        return {}
    aligned: dict[Alignment, Callable[[], np.ndarray]] = {
        "official": lambda: procrustes_align(joints, xyz, reflect=True),
        "similarity": lambda: procrustes_align(joints, xyz),
        "scale": lambda: bone_align(joints, xyz),
        "wrist": lambda: root_relative(joints) + xyz[:, :1],
        "none": lambda: joints,
    }
    names = ALIGNMENTS if placed else ALIGNMENTS[:2]
    return {f"{name}_j": point_errors_mm(aligned[name](), xyz) for name in names}


def _surface_rows(
    predicted: Predicted, xyz: np.ndarray, surface: np.ndarray, *, one_mesh: bool, placed: bool
) -> Arrays:
    """Return vertex errors (mm) and F-scores after each alignment."""
    if not len(surface):
        return {}
    vertices, joints = predicted.vertices, predicted.joints
    aligned = {
        name: procrustes_align(vertices, surface, reflect=reflect)
        if one_mesh
        else _moved_by_joints(vertices, joints, xyz, reflect=reflect)
        for name, reflect in (("official", True), ("similarity", False))
    }
    if placed:
        aligned |= {"wrist": vertices - joints[:, :1] + xyz[:, :1], "none": vertices}
    rows: Arrays = {}
    if one_mesh:
        rows = {f"{name}_v": point_errors_mm(found, surface) for name, found in aligned.items()}
    for name in ("official", "none"):
        if name in aligned:
            rows |= {f"{name}_f{mm}": _f_rows(aligned[name], surface, mm) for mm in F_MM}
    return rows


def _moved_by_joints(
    vertices: np.ndarray, joints: np.ndarray, xyz: np.ndarray, *, reflect: bool
) -> np.ndarray:
    scale, rotation, shift = similarity(joints, xyz, reflect=reflect)
    return scale[:, None, None] * vertices @ rotation.transpose(0, 2, 1) + shift[:, None]


def _f_rows(vertices: np.ndarray, surface: np.ndarray, limit_mm: int) -> np.ndarray:
    pairs = zip(vertices[:, None], surface[:, None], strict=True)
    return np.array([f_score(found, target, float(limit_mm)) for found, target in pairs])


def _pixel_errors(uv: np.ndarray, batch: TrainBatch) -> np.ndarray:
    """Return distances to the true joints, or to the detected ones where the truth is unknown."""
    true, detected = batch.uv_true.double().numpy(), batch.uv.double().numpy()
    seen = (batch.confidence > 0).numpy()
    known = np.isfinite(true[..., 0]) & np.isfinite(true[..., 1])
    target = np.where(known[..., None], true, detected)
    distance = np.linalg.norm(uv - target, axis=-1) * (LOSS_PX / batch.rgb.shape[-1])
    return distance[known | seen]
