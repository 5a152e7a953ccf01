"""One-Euro smoothing of a hand's parameters: still when the hand is still, quick when it moves.

Casiez et al. 2012: a first-order low-pass whose cutoff grows with speed,
`cutoff = min_cutoff + beta * speed`. Rotations are filtered on SO(3) (the step is taken along the
geodesic), the wrist as viewing direction and log depth, because depth from one camera is many
times noisier than the other two axes.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from tracker.geometry.hand_params import HandParams


@dataclass(frozen=True)
class OneEuroConfig:
    """One filter; units of speed are those of the signal a second."""

    min_cutoff_hz: float
    """Cutoff at rest: lower is steadier."""
    beta: float
    """Hz of cutoff for each unit of speed: higher follows faster."""
    speed_cutoff_hz: float = 1.0
    """Cutoff of the speed estimate."""


@dataclass(frozen=True)
class SmoothingConfig:
    """The filters of a hand; the defaults come from `python -m benchmarks --only steadiness`."""

    orientation: OneEuroConfig = OneEuroConfig(1.0, 6.0)
    fingers: OneEuroConfig = OneEuroConfig(1.2, 4.0)
    direction: OneEuroConfig = OneEuroConfig(1.5, 60.0)
    """Viewing direction of the wrist, radians."""
    depth: OneEuroConfig = OneEuroConfig(0.5, 12.0)
    """Logarithm of the wrist's depth."""
    shape: OneEuroConfig = OneEuroConfig(0.3, 0.0)
    """Betas and log scale."""


def _alpha(cutoff_hz: Float[np.ndarray, "*n"] | float, dt_s: float) -> Any:
    """Return the weight of the new sample in a first-order low-pass, of the cutoff's shape."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * dt_s))


class OneEuro:
    """Filter rows of a vector signal; each row has one speed, so its components stay together."""

    def __init__(self, config: OneEuroConfig) -> None:
        self._config = config
        self._value: np.ndarray | None = None
        self._velocity = np.zeros(())

    def __call__(self, value: Float[np.ndarray, "n d"], dt_s: float) -> Float[np.ndarray, "n d"]:
        """Return the filtered signal after a step of `dt_s` seconds."""
        if self._value is None:
            self._value, self._velocity = value, np.zeros_like(value)
            return value
        step = value - self._value
        moved = self._value + self._gain(step, dt_s) * step
        self._value = moved
        return moved

    def _gain(self, step: np.ndarray, dt_s: float) -> np.ndarray:
        """Update the speed estimate with this step and return each row's gain."""
        smooth = _alpha(self._config.speed_cutoff_hz, dt_s)
        self._velocity = self._velocity + smooth * (step / dt_s - self._velocity)
        speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
        return _alpha(self._config.min_cutoff_hz + self._config.beta * speed, dt_s)


class OneEuroRotation(OneEuro):
    """The same filter on SO(3): rows are axis-angles, steps are taken along the geodesic."""

    def __call__(self, value: Float[np.ndarray, "n 3"], dt_s: float) -> Float[np.ndarray, "n 3"]:
        """Return the filtered axis-angles after a step of `dt_s` seconds."""
        if self._value is None:
            self._value, self._velocity = value, np.zeros_like(value)
            return value
        previous = Rotation.from_rotvec(self._value)
        step = (previous.inv() * Rotation.from_rotvec(value)).as_rotvec()
        turn = Rotation.from_rotvec(self._gain(step, dt_s) * step)
        moved = (previous * turn).as_rotvec()
        self._value = moved
        return moved


class HandSmoother:
    """Smooth one hand's parameters over time."""

    def __init__(self, config: SmoothingConfig, wrist_at_rest: Float[np.ndarray, " 3"]) -> None:
        self._orientation = OneEuroRotation(config.orientation)
        self._fingers = OneEuroRotation(config.fingers)
        self._direction = OneEuro(config.direction)
        self._depth = OneEuro(config.depth)
        self._shape = OneEuro(config.shape)
        self._wrist_at_rest = wrist_at_rest

    def __call__(self, params: HandParams, dt_s: float) -> HandParams:
        """Return the smoothed parameters, `dt_s` seconds after the previous call."""
        shape = np.append(params.betas, math.log(params.scale))[None]
        shape = self._shape(shape, dt_s)[0]
        scale = math.exp(shape[-1])
        # The wrist is what is seen; the model's origin is only where its file was centred.
        wrist = params.transl + params.scale * self._wrist_at_rest
        direction = self._direction((wrist[:2] / wrist[2])[None], dt_s)[0]
        depth = math.exp(self._depth(np.log(wrist[2:])[None], dt_s)[0, 0])
        wrist = np.append(direction, 1.0) * depth
        return replace(
            params,
            global_orient=self._orientation(params.global_orient[None], dt_s)[0],
            hand_pose=self._fingers(params.hand_pose, dt_s),
            betas=shape[:-1],
            scale=scale,
            transl=wrist - scale * self._wrist_at_rest,
        )
