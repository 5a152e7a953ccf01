"""One-Euro smoothing of a hand's parameters: still when the hand is still, quick when it moves.

Casiez et al. 2012: a first-order low-pass whose cutoff grows with speed,
`cutoff = min_cutoff + beta * speed`. Rotations are filtered on SO(3) (the step is taken along the
geodesic), the wrist as viewing direction and log depth, because depth from one camera is many
times noisier than the other two axes.
"""

import math
from dataclasses import dataclass, replace
from typing import no_type_check

import numpy as np
from jaxtyping import Float
from numba import njit

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
    """The filters of a hand.

    The defaults come from `python -m benchmarks --only steadiness`, the direction's from `--only clips`
    too.
    """

    orientation: OneEuroConfig = OneEuroConfig(1.0, 6.0)
    fingers: OneEuroConfig = OneEuroConfig(1.2, 4.0)
    direction: OneEuroConfig = OneEuroConfig(1.5, 120.0, speed_cutoff_hz=3.0)
    """Viewing direction of the wrist, radians. It is the surest of all and may follow the fastest: on
    clips of quick hands a third of what smoothing adds to the 2D error is gone with twice the beta and a
    quicker estimate of the speed."""
    depth: OneEuroConfig = OneEuroConfig(0.5, 12.0)
    """Logarithm of the wrist's depth."""
    shape: OneEuroConfig = OneEuroConfig(0.3, 0.0)
    """Betas and log scale."""


class OneEuro:
    """Filter rows of a vector signal; each row has one speed, so its components stay together."""

    def __init__(self, config: OneEuroConfig) -> None:
        self._tuning = (config.min_cutoff_hz, config.beta, config.speed_cutoff_hz)
        self._value: np.ndarray | None = None
        self._velocity = np.zeros((0, 0))

    def __call__(self, value: Float[np.ndarray, "n d"], dt_s: float) -> Float[np.ndarray, "n d"]:
        """Return the filtered signal after a step of `dt_s` seconds."""
        value = np.ascontiguousarray(value, np.float64)
        if self._value is None:
            self._value, self._velocity = value, np.zeros_like(value)
        else:
            step = self._step(self._value, value)
            _scale_by_gain(step, self._velocity, self._tuning, dt_s)
            self._value = self._moved(self._value, step)
        return self._value

    def _step(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return end - start

    def _moved(self, start: np.ndarray, step: np.ndarray) -> np.ndarray:
        return start + step


class OneEuroRotation(OneEuro):
    """The same filter on SO(3): rows are axis-angles, steps are taken along the geodesic."""

    def _step(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return _composed(-start, end)

    def _moved(self, start: np.ndarray, step: np.ndarray) -> np.ndarray:
        return _composed(start, step)


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _scale_by_gain(step, velocity, tuning, dt_s):
    """Update the speed estimates with this step, and shorten the step to what the filter takes."""
    min_cutoff_hz, beta, speed_cutoff_hz = tuning
    turn = 2 * math.pi * dt_s
    smooth = 1 / (1 + 1 / (turn * speed_cutoff_hz))
    for i in range(step.shape[0]):
        square = 0.0
        for k in range(step.shape[1]):
            velocity[i, k] += smooth * (step[i, k] / dt_s - velocity[i, k])
            square += velocity[i, k] ** 2
        gain = 1 / (1 + 1 / (turn * (min_cutoff_hz + beta * math.sqrt(square))))
        for k in range(step.shape[1]):
            step[i, k] *= gain


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _composed(first, second):
    """Return rows of axis-angles: the second turn in the frame of the first (R1 R2)."""
    out = np.empty_like(first)
    for i in range(first.shape[0]):
        w1, x1, y1, z1 = _quaternion(first[i, 0], first[i, 1], first[i, 2])
        w2, x2, y2, z2 = _quaternion(second[i, 0], second[i, 1], second[i, 2])
        w = w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2
        x = w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2
        y = w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2
        z = w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2
        half_sine = math.sqrt(x * x + y * y + z * z)
        # The quaternion and its negative are one rotation; the angle up to pi is taken.
        sign = 1.0 if w >= 0 else -1.0
        scale = 2.0 * sign
        if half_sine > 1e-9:
            scale = 2 * sign * math.atan2(half_sine, abs(w)) / half_sine
        out[i, 0], out[i, 1], out[i, 2] = x * scale, y * scale, z * scale
    return out


@no_type_check
@njit(cache=True, nogil=True, error_model="numpy")
def _quaternion(x, y, z):
    half = 0.5 * math.sqrt(x * x + y * y + z * z)
    scale = 0.5 if half < 1e-9 else 0.5 * math.sin(half) / half
    return math.cos(half), x * scale, y * scale, z * scale


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
