"""How wrong, and how restless, estimated hands are. Points come in metres, errors leave in mm.

Every function takes a batch of frames, `(n, k, 3)`, and refuses values that are not finite: choose
the frames to judge before judging. Alignment is a separate step, so that a number's alignment is
written where it is computed: `mpjpe_mm(root_relative(joints), root_relative(truth))`.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

MM_PER_M = 1000.0
AUC_LIMIT_MM = 50.0
AUC_STEPS = 100
"""FreiHAND's curve: 100 thresholds from 0 to 50 mm."""


def root_relative(
    points: Float[np.ndarray, "n k 3"], root: Float[np.ndarray, "n 3"] | None = None
) -> Float[np.ndarray, "n k 3"]:
    """Subtract each frame's root: the first point (joints: the wrist), or `root` for vertices."""
    return points - (points[:, 0] if root is None else root)[:, None]


def scale_align(
    points: Float[np.ndarray, "n k 3"], target: Float[np.ndarray, "n k 3"]
) -> Float[np.ndarray, "n k 3"]:
    """Move and scale each frame onto its target without turning it (means and spreads agree).

    FreiHAND's "scale and translation aligned". Points that all coincide are moved only.
    """
    _check_pair(points, target)
    centre, target_centre = points.mean(1, keepdims=True), target.mean(1, keepdims=True)
    spread = np.linalg.norm(points - centre, axis=(1, 2), keepdims=True)
    target_spread = np.linalg.norm(target - target_centre, axis=(1, 2), keepdims=True)
    scale = target_spread / np.where(spread > 0, spread, 1)
    return (points - centre) * scale + target_centre


def procrustes_align(
    points: Float[np.ndarray, "n k 3"],
    target: Float[np.ndarray, "n k 3"],
    *,
    reflect: bool = False,
) -> Float[np.ndarray, "n k 3"]:
    """Move, turn and scale each frame onto its target with the least squared distance.

    The turn is a rotation, never a reflection (Umeyama 1991), so a hand does not fit its mirror
    image. Points that all coincide are moved only. `reflect` allows mirror images too, as the
    evaluation programs of FreiHAND and HO-3D do.
    """
    scale, rotation, shift = similarity(points, target, reflect=reflect)
    return scale[:, None, None] * points @ rotation.transpose(0, 2, 1) + shift[:, None]


def similarity(
    points: Float[np.ndarray, "n k 3"],
    target: Float[np.ndarray, "n k 3"],
    *,
    reflect: bool = False,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]]:
    """Return scale s, turn R and shift t of `procrustes_align`: `x -> s R x + t`."""
    _check_pair(points, target)
    centre, target_centre = points.mean(1, keepdims=True), target.mean(1, keepdims=True)
    source, goal = points - centre, target - target_centre
    u, strength, vh = np.linalg.svd(goal.transpose(0, 2, 1) @ source)
    sign = np.ones_like(strength)
    if not reflect:
        sign[:, 2] = np.where(np.linalg.det(u @ vh) < 0, -1, 1)
    rotation = (u * sign[:, None]) @ vh
    spread = (source**2).sum((1, 2))
    scale = (strength * sign).sum(1) / np.where(spread > 0, spread, 1)
    shift = target_centre[:, 0] - scale[:, None] * (rotation @ centre[:, 0, :, None])[..., 0]
    return scale, rotation, shift


def point_errors_mm(
    points: Float[np.ndarray, "n k 3"], target: Float[np.ndarray, "n k 3"]
) -> Float[np.ndarray, "n k"]:
    """Return the distance of each point from its target in mm."""
    _check_pair(points, target)
    return np.linalg.norm(points - target, axis=-1) * MM_PER_M


def mpjpe_mm(joints: Float[np.ndarray, "n 21 3"], target: Float[np.ndarray, "n 21 3"]) -> float:
    """Return the mean joint error in mm, as the points stand."""
    return float(point_errors_mm(joints, target).mean())


def mpvpe_mm(vertices: Float[np.ndarray, "n V 3"], target: Float[np.ndarray, "n V 3"]) -> float:
    """Return the mean vertex error in mm, as the points stand; both must share one topology."""
    return float(point_errors_mm(vertices, target).mean())


def pa_mpjpe_mm(joints: Float[np.ndarray, "n 21 3"], target: Float[np.ndarray, "n 21 3"]) -> float:
    """Return the mean joint error in mm after `procrustes_align` of each frame."""
    return mpjpe_mm(procrustes_align(joints, target), target)


def pa_mpvpe_mm(vertices: Float[np.ndarray, "n V 3"], target: Float[np.ndarray, "n V 3"]) -> float:
    """Return the mean vertex error in mm after `procrustes_align` of each frame."""
    return mpvpe_mm(procrustes_align(vertices, target), target)


def pck_curve(errors_mm: Float[np.ndarray, "..."]) -> Float[np.ndarray, " steps"]:
    """Return the share of errors at or below each of 100 thresholds from 0 to 50 mm."""
    if errors_mm.size == 0:
        raise ValueError("there are no errors to make a curve of")
    thresholds = np.linspace(0, AUC_LIMIT_MM, AUC_STEPS)
    return np.searchsorted(np.sort(errors_mm, axis=None), thresholds, "right") / errors_mm.size


def auc(errors_mm: Float[np.ndarray, "..."]) -> float:
    """Return the area under `pck_curve` by the trapezoidal rule; 1 when no error exceeds 0 mm."""
    return float(np.trapezoid(pck_curve(errors_mm), dx=1 / (AUC_STEPS - 1)))


def f_score(
    vertices: Float[np.ndarray, "n V 3"], target: Float[np.ndarray, "n W 3"], threshold_mm: float
) -> float:
    """Return the mean F-score of point clouds: harmonic mean of precision and recall.

    Precision is the share of vertices nearer than `threshold_mm` (FreiHAND: 5 and 15) to some
    target vertex, recall the share of target vertices nearer than that to some vertex. Topologies
    may differ.
    """
    _check_points(vertices, target)
    limit = threshold_mm / MM_PER_M
    scores = [_f_score(a, b, limit) for a, b in zip(vertices, target, strict=True)]
    return float(np.mean(scores))


def _f_score(points: np.ndarray, target: np.ndarray, limit: float) -> float:
    precision = float((KDTree(target).query(points)[0] < limit).mean())
    recall = float((KDTree(points).query(target)[0] < limit).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def jitter_mm(joints: Float[np.ndarray, "n k 3"]) -> float:
    """Return the jitter of joint tracks in mm: see `jitter_px` for the definition."""
    return _jitter(joints) * MM_PER_M


def jitter_px(uv: Float[np.ndarray, "n k 2"]) -> float:
    """Return the jitter of pixel tracks: the noise a coordinate has from frame to frame.

    High-pass residual r_t = x_t - (x_{t-1} + x_{t+1}) / 2; the result is its root mean square over
    frames, points and coordinates, divided by sqrt(1.5). White noise of standard deviation s gives
    s; motion of constant velocity gives 0. Frames are consecutive; those in which a point is NaN
    (not tracked) are left out, together with the residuals they touch.
    """
    return _jitter(uv)


def jerk_m_per_s3(joints: Float[np.ndarray, "n k 3"], fps: float) -> float:
    """Return the mean length of the third derivative of joint tracks in m/s^3.

    x_{t+3} - 3 x_{t+2} + 3 x_{t+1} - x_t, times fps^3, averaged over frames and joints; the "jitter"
    of the body-motion papers (some print it in units of 10 m/s^3). NaN as in `jitter_px`.
    """
    third = np.linalg.norm(np.diff(joints, n=3, axis=0), axis=-1)
    return float(_finite_only(third).mean()) * fps**3


def root_translation_error_percent(
    roots: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"]
) -> float:
    """Return how far a path is from the true one, in percent of the true path's length (RTE).

    The whole path is moved and turned onto the true one, not scaled, then the mean distance is
    divided by the sum of the true steps (Shin et al. 2024, WHAM, which WiLoR's table follows).
    """
    length = float(np.linalg.norm(np.diff(target, axis=0), axis=-1).sum())
    if not length > 0:
        raise ValueError("the true path never moves, so no error can be measured against it")
    _, rotation, _ = similarity(roots[None], target[None])
    centred = (roots - roots.mean(0)) @ rotation[0].T
    return 100 * float(np.linalg.norm(centred - (target - target.mean(0)), axis=-1).mean()) / length


def _jitter(tracks: np.ndarray) -> float:
    residual = _finite_only(tracks[1:-1] - (tracks[:-2] + tracks[2:]) / 2)
    return float(np.sqrt((residual**2).mean() / 1.5))


def _finite_only(values: np.ndarray) -> np.ndarray:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError("there is no run of consecutive frames long enough to measure jitter")
    return finite


def _check_pair(points: np.ndarray, target: np.ndarray) -> None:
    if points.shape != target.shape:
        raise ValueError(
            f"points and target must have one shape, found {points.shape} and {target.shape}"
        )
    _check_points(points, target)


def _check_points(points: np.ndarray, target: np.ndarray) -> None:
    if points.size == 0 or target.size == 0:
        raise ValueError(f"there are no points: {points.shape} against {target.shape}")
    if not (np.isfinite(points).all() and np.isfinite(target).all()):
        raise ValueError("points and target must be finite; leave out the frames without a hand")
