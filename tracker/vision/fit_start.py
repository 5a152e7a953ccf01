"""Where a fit begins: the palm turned onto the evidence, the wrist where its pixels are.

A palm is nearly rigid, so its knuckles and the wrist give the rotation of the whole hand.
"""

from typing import Final

import numpy as np
from jaxtyping import Float

from tracker.geometry.skeleton import FINGERS, JOINTS
from tracker.vision.fit_residuals import MAX_DEPTH

PALM: Final = np.array(
    [JOINTS.index(f"{finger}_mcp") for finger in FINGERS[1:]] + [JOINTS.index("thumb_cmc"), 0]
)
"""The knuckles, the base of the thumb and the wrist."""


def rotation_between(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "3 3"]:
    """Return the rotation that best turns centred `source` onto centred `target` (Kabsch 1976)."""
    covariance = (source - source.mean(0)).T @ (target - target.mean(0))
    U, _, Vt = np.linalg.svd(covariance)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(U @ Vt)) or 1.0])
    return Vt.T @ flip @ U.T


def wrist_from_pixels(
    relative: Float[np.ndarray, "21 3"],
    uv: Float[np.ndarray, "21 2"],
    confidence: Float[np.ndarray, " 21"],
    K: Float[np.ndarray, "3 3"],
    *,
    nearest: float,
) -> Float[np.ndarray, " 3"]:
    """Return the wrist (m) that puts wrist-relative joints nearest to their pixels, linearly.

    Each pixel (x, y) on the plane z = 1 asks for X + t_x = x (Z + t_z), the same in y. Where that
    has no answer beyond `nearest` (m), the depth is the one at which the hand has its size.
    """
    seen = confidence > 0
    if not seen.any():
        return np.array([0.0, 0.0, 2 * nearest])
    rays = np.c_[uv, np.ones(21)] @ np.linalg.inv(K).T
    rows = np.zeros((21, 2, 3))
    rows[:, 0, 0] = rows[:, 1, 1] = 1
    rows[..., 2] = -rays[:, :2]
    right = rays[:, :2] * relative[:, 2:] - relative[:, :2]
    weight = np.sqrt(confidence)[:, None]
    wrist = np.linalg.lstsq((rows * weight[..., None]).reshape(42, 3), (right * weight).ravel())[0]
    if nearest <= wrist[2] <= MAX_DEPTH / 2:
        return wrist
    spread = max(float(rays[seen, :2].std(0).max()), 1e-6)
    depth = np.clip(relative.std(0).max() / spread, nearest, MAX_DEPTH / 2)
    return depth * rays[seen].mean(0)


def tilted_rotations(
    model: Float[np.ndarray, "n 3"], uv: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3 3"]]:
    """Return the two rotations under which a flat palm looks the same from far away.

    The best affine map of the palm's plane is a scaled, foreshortened rotation; the depth it has
    lost comes back up to its sign.
    """
    centred = model - model.mean(0)
    _, _, axes = np.linalg.svd(centred)
    axes[2] = np.cross(axes[0], axes[1])
    plane = np.linalg.lstsq(centred @ axes[:2].T, uv - uv.mean(0))[0].T
    scale = max(float(np.linalg.norm(plane, 2)), 1e-9)
    plane = plane / scale
    lost = np.sqrt(np.maximum(0.0, 1 - (plane**2).sum(0)))
    lost[1] *= -1 if plane[:, 0] @ plane[:, 1] > 0 else 1
    solutions: list[np.ndarray] = []
    for sign in (1.0, -1.0):
        columns = np.vstack([plane, sign * lost])
        U, _, Vt = np.linalg.svd(columns, full_matrices=False)
        columns = U @ Vt
        columns = np.c_[columns, np.cross(columns[:, 0], columns[:, 1])]
        solutions.append(columns @ axes)
    return solutions[0], solutions[1]
