"""One frame's fit as a plain least-squares problem: what our solver, or any other, minimises.

The unknown x is a step from the start: a turn of the hand from the left (axis-angle), then changes
of wrist, pose, log scale and betas. The cost is half the squared norm of `residuals(x)`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tracker.vision import fit_kernels
from tracker.vision.fit_kinematics import Chain, HandTables, left_jacobian, new_chain
from tracker.vision.fit_residuals import PRIORS, Target, Weights, pulls, residuals

_BEHIND_CAMERA = 1e9  # stands for an infinite residual, which other solvers refuse


@dataclass(frozen=True)
class _Geometry:
    """The hand after one step, and what it leaves unexplained."""

    rotation: Float[np.ndarray, "3 3"]
    values: Float[np.ndarray, " n"]
    chain: Chain
    points: Float[np.ndarray, "21 3"]
    uv: Float[np.ndarray, "21 2"]
    rows: Float[np.ndarray, " m"]
    cost: float


@dataclass(frozen=True)
class FitProblem:
    """A hand, evidence and a start."""

    hand: HandTables
    weights: Weights
    target: Target
    rotation: Float[np.ndarray, "3 3"]
    """Where the fit starts."""
    values: Float[np.ndarray, " n"]
    """See `fit_residuals`; the anchors stand here."""
    free: int
    """How many of the values are solved for, from the first on."""

    def residuals(self, x: Float[np.ndarray, " free"]) -> Float[np.ndarray, " m"]:
        """Return every residual; huge where a joint is not in front of the camera."""
        geometry = self._at(x)
        return (
            geometry.rows
            if np.isfinite(geometry.cost)
            else np.full_like(geometry.rows, _BEHIND_CAMERA)
        )

    def jacobian(self, x: Float[np.ndarray, " free"]) -> Float[np.ndarray, "m free"]:
        """Return the exact derivative of `residuals`."""
        at, count = self._at(x), self.values.size
        rows = np.zeros((at.rows.size, self.free))
        rows[:PRIORS] = fit_kernels.jacobian(
            *(self.hand, self.weights, self.target, at.rotation, at.values, self.free),
            *(at.chain, at.points, at.uv, at.rows),
        )[:PRIORS]
        prior, hold = np.empty(count), np.empty(count)
        pulls(self.weights, count, prior, hold)
        index = np.arange(self.free)
        rows[PRIORS + index, index] = prior[: self.free]
        rows[PRIORS + count + index, index] = hold[: self.free]
        turn = np.empty((3, 3))
        left_jacobian(x[:3], turn)
        rows[:, :3] = rows[:, :3] @ turn
        return rows

    def solve(
        self, iterations: int, tolerance: float
    ) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " n"], float, float, int]:
        """Return rotation, values, cost, reprojection error in pixels and steps taken."""
        return fit_kernels.solve(
            *(self.hand, self.weights, self.target, self.rotation, self.values),
            *(self.free, iterations, tolerance),
        )

    def _at(self, x: Float[np.ndarray, " free"]) -> _Geometry:
        rotation, values = np.empty((3, 3)), np.empty_like(self.values)
        fit_kernels.moved(self.rotation, self.values, np.ascontiguousarray(x), rotation, values)
        chain, points, uv = new_chain(), np.empty((21, 3)), np.empty((21, 2))
        rows = np.zeros(PRIORS + 2 * values.size)
        cost = residuals(
            *(self.hand, self.weights, self.target, rotation, values, self.values),
            *(chain, points, uv, rows),
        )
        return _Geometry(rotation, values, chain, points, uv, rows, cost)
