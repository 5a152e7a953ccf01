"""What every engine of the network takes and gives, and the closed forms they share.

A runner computes the layers (`LookProgram`): float32 crops in, float32 arrays out, in whatever
precision it likes inside. `NetworkEngine` puts the closed forms behind it, in single precision on
the processor: rotation, size and depth would lose millimetres in half.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from tracker.vision.engines.program import raw_output
from tracker.vision.network import NetworkOutput, S2HandNetwork

Pictures = UInt8[np.ndarray, "b h w 3"] | Float32[np.ndarray, "b h w 3"]
"""Crops, bytes or colours in [0, 1]."""


class NetworkAnswer(NamedTuple):
    """`NetworkOutput` as numpy, float32, without the heat maps; see there for the meaning."""

    pose: Float[np.ndarray, "b p"]
    betas: Float[np.ndarray, "b 10"]
    scale: Float[np.ndarray, " b"]
    global_orient: Float[np.ndarray, "b 3 3"]
    transl: Float[np.ndarray, "b 3"]
    texture: Float[np.ndarray, "b V 3"]
    light: Float[np.ndarray, "b 11"]
    place: Float[np.ndarray, "b 21 2"] | None = None
    """Where the joints are seen, in shares of the crop's side; None without joint maps."""
    sureness: Float[np.ndarray, "b 21"] | None = None
    """How concentrated each joint's map is, see `SeenJoints`."""

    def output(self) -> NetworkOutput:
        """Return the same as tensors, for `network.decode`."""
        pose, betas, scale, orient, transl, texture, light = map(torch.from_numpy, self[:7])
        return NetworkOutput(pose, betas, scale, orient, transl, texture, light)


@runtime_checkable
class Runner(Protocol):
    """The layers of one network on one runtime."""

    name: str
    """How the engine is called in messages and benchmarks, with its precision."""

    def __call__(
        self, crops: Float32[np.ndarray, "b h w 3"]
    ) -> Sequence[Float32[np.ndarray, "b ..."]]:
        """Return the outputs of `LookProgram` for these crops."""
        ...


class NetworkEngine:
    """A network on a runtime.

    >>> engine = NetworkEngine(network, TorchRunner(network))
    >>> hands = engine(crops, K)
    """

    def __init__(self, network: S2HandNetwork, runner: Runner) -> None:
        self._network = network
        self._runner = runner
        self.input_px = network.config.input_px

    @property
    def name(self) -> str:
        """The runner's name."""
        return self._runner.name

    @torch.inference_mode()
    def __call__(self, crops: Pictures, K: Float[np.ndarray, "b 3 3"]) -> NetworkAnswer:
        """Reconstruct the right hand in each crop.

        Args:
            crops: upright, `input_px` on each side.
            K: each crop's intrinsics in its own pixels, upper triangular.

        Raises:
            ValueError: the crops have another size than the network takes.
        """
        side = self.input_px
        if crops.shape[1:] != (side, side, 3):
            raise ValueError(
                f"the network takes crops of {side} x {side} x 3, found {crops.shape[1:]}"
            )
        raw, seen = raw_output([torch.from_numpy(part) for part in self._runner(_floats(crops))])
        placed = self._network.placed(raw, torch.from_numpy(np.asarray(K, np.float32)))
        parts: list[Tensor] = [*placed[:7], *seen]
        return NetworkAnswer(*(part.numpy() for part in parts))


def _floats(crops: Pictures) -> Float32[np.ndarray, "b h w 3"]:
    if crops.dtype == np.uint8:
        return crops * np.float32(1 / 255)
    return np.ascontiguousarray(crops, np.float32)
