"""Joint regressor: each joint as a convex combination of the skin around it, exact at the template.

Among all such combinations the one nearest to a bell around the joint is taken (least squares in the bell's own
metric), with weights that would turn negative removed one round at a time.
"""

import numpy as np

from tracker.geometry.skeleton import MANO_JOINTS
from train.open_hand.anthropometry import MM

RADIUS_MM = {"wrist": 30.0, "thumb_cmc": 26.0}
"""How far the skin that carries a joint lies; 20 mm where not named."""


def joint_regressor(vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Return the regressor (16, v): non-negative rows of sum one with `regressor @ vertices == joints`."""
    radii = [RADIUS_MM.get(name, 20.0) * MM for name in MANO_JOINTS]
    return np.stack([_convex_weights(vertices, j, r) for j, r in zip(joints, radii, strict=True)])


def _convex_weights(vertices: np.ndarray, joint: np.ndarray, radius: float) -> np.ndarray:
    distance = np.linalg.norm(vertices - joint, axis=1)
    for widened in radius * 1.15 ** np.arange(8):
        near = np.flatnonzero(distance < widened)
        bell = np.exp(-((distance[near] / (0.6 * widened)) ** 2)) + 1e-4
        solution = _nearest_to_bell(vertices[near], joint, bell / bell.sum())
        if solution is not None:
            weights = np.zeros(len(vertices))
            weights[near] = solution
            return weights / weights.sum()
    raise ValueError(f"the joint at {joint} does not lie among the vertices around it")


def _nearest_to_bell(points: np.ndarray, joint: np.ndarray, bell: np.ndarray) -> np.ndarray | None:
    """Return weights (n,) that reproduce the joint, or None where no non-negative ones are found."""
    active = np.arange(len(points))
    wanted = np.append(1.0, joint)
    while len(active) >= 4:
        system = np.vstack([np.ones(len(active)), points[active].T])
        prior = bell[active]
        multipliers = np.linalg.lstsq(
            (system * prior) @ system.T, wanted - system @ prior, rcond=None
        )[0]
        weights = prior * (1 + system.T @ multipliers)
        if (weights >= 0).all():
            if np.abs(system @ weights - wanted).max() > 1e-9:
                return None
            full = np.zeros(len(points))
            full[active] = weights
            return full
        active = active[weights > 0]
    return None
