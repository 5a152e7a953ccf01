"""From what the layers say to hands in the camera frame, in numpy: the twin of `S2HandNetwork.placed`.

For one or two hands PyTorch's own time for each of a hundred small operations is several times that
of the arithmetic, most of all between the layers of another runtime. `placed` is the reference: it
is differentiable, works on any device and knows the published parameterisation too.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

from tracker.vision.network import NO_TURN, NetworkConfig
from tracker.vision.network_heads import SKIN
from tracker.vision.network_placement import (
    FACING,
    HAND_LENGTH_M,
    MOST_LOG_DEPTH,
    MOST_LOG_SIZE,
    REACH_M,
)

_TINY: Final = 1e-12
"""Length below which PyTorch's `normalize` leaves a vector short."""


class ClosedForms:
    """Rotation, size, place, colours and light of one network's hands, from raw numbers.

    Double precision inside: the inputs are a handful of numbers for each hand.
    """

    def __init__(self, config: NetworkConfig) -> None:
        if not self.know(config):
            raise ValueError("these closed forms are not the published ones; use `placed`")
        self._side = config.input_px
        self._wrist = np.array(config.wrist_at_rest)
        self._bone = np.array(config.knuckle_at_rest) - self._wrist
        self._facing = np.array(FACING)
        self._no_turn = np.array(NO_TURN["rot6d"])
        self._skin = logit(np.array(SKIN)).astype(np.float32)

    @staticmethod
    def know(config: NetworkConfig) -> bool:
        """Return whether the network has the parameterisation that is told here: Handloom's own."""
        return config.rotation == "rot6d" and not config.paper

    def __call__(
        self, raw: Sequence[Float[np.ndarray, "b ..."]], K: Float[np.ndarray, "b 3 3"]
    ) -> list[Float[np.ndarray, "b ..."]]:
        """Return the first seven parts of `NetworkAnswer`, float32.

        Args:
            raw: what `program.OUTPUTS` lists.
            K: each crop's intrinsics in its own pixels, upper triangular.
        """
        pose, betas, size, rotation, transl, texture, light = raw
        rays = np.asarray(K, np.float64)
        scale = np.exp(_bounded(size[:, 0].astype(np.float64), MOST_LOG_SIZE))
        middle = np.full((len(rays), 2), self._side / 2)
        turn = _turn(self._no_turn + rotation)
        orient = _turn_to_sight(_sight(middle, rays)) @ turn @ self._facing
        knuckle = self._knuckle(transl.astype(np.float64), scale, rays)
        place = knuckle - scale[:, None] * (self._wrist + orient @ self._bone)
        colors, lit = expit(self._skin + texture), _light(light)
        return [np.asarray(p, np.float32) for p in (pose, betas, scale, orient, place, colors, lit)]

    def _knuckle(
        self,
        raw: Float[np.ndarray, "b 3"],
        scale: Float[np.ndarray, " b"],
        K: Float[np.ndarray, "b 3 3"],
    ) -> Float[np.ndarray, "b 3"]:
        """Return the middle knuckle's place (m), see `network_placement`."""
        uv = self._side * (0.5 + np.tanh(raw[:, :2]))
        focal_px = np.sqrt(K[:, 0, 0] * K[:, 1, 1])
        far = focal_px * HAND_LENGTH_M / (0.5 * self._side)
        far = far * np.exp(_bounded(raw[:, 2], MOST_LOG_DEPTH))
        return _sight(uv, K) * (scale * np.sqrt(far**2 + REACH_M**2))[:, None]


def _bounded(raw: Float[np.ndarray, " b"], most: float) -> Float[np.ndarray, " b"]:
    return most * np.tanh(raw / most)


def _unit(vectors: Float[np.ndarray, "b 3"]) -> Float[np.ndarray, "b 3"]:
    return vectors / np.maximum(np.sqrt((vectors**2).sum(-1, keepdims=True)), _TINY)


def _turn(rot6d: Float[np.ndarray, "b 6"]) -> Float[np.ndarray, "b 3 3"]:
    x = _unit(rot6d[:, :3])
    second = rot6d[:, 3:]
    y = _unit(second - (x * second).sum(-1, keepdims=True) * x)
    return np.stack([x, y, np.cross(x, y)], -1)


def _sight(uv: Float[np.ndarray, "b 2"], K: Float[np.ndarray, "b 3 3"]) -> Float[np.ndarray, "b 3"]:
    ray = np.ones((len(uv), 3))
    ray[:, 1] = (uv[:, 1] - K[:, 1, 2]) / K[:, 1, 1]
    ray[:, 0] = (uv[:, 0] - K[:, 0, 2] - K[:, 0, 1] * ray[:, 1]) / K[:, 0, 0]
    return ray


def _turn_to_sight(ray: Float[np.ndarray, "b 3"]) -> Float[np.ndarray, "b 3 3"]:
    """Return the shortest rotation from the optical axis to `ray`: I + W + W W / (1 + cos)."""
    x, y, z = _unit(ray).T
    near = 1 / (1 + z)
    rows = [[1 - near * x * x, -near * x * y, x], [-near * x * y, 1 - near * y * y, y], [-x, -y, z]]
    return np.moveaxis(np.array(rows), -1, 0)


def _light(raw: Float[np.ndarray, "b 11"]) -> Float[np.ndarray, "b 11"]:
    return np.concatenate([np.logaddexp(0, raw[:, :8]), _unit(raw[:, 8:])], -1)
