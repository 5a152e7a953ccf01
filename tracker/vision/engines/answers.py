"""What every engine of the network takes and gives, and the closed forms they share.

A runner computes the layers (`LookProgram`): float32 crops in, float32 arrays out, in whatever
precision it likes inside. `NetworkEngine` puts the closed forms behind it, in single precision on
the processor: rotation, size and depth would lose millimetres in half.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from tracker.vision.engines.closed_forms import ClosedForms
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


@runtime_checkable
class StartingRunner(Runner, Protocol):
    """A runner that leaves its caller free while it computes."""

    def start(
        self, crops: Float32[np.ndarray, "b h w 3"]
    ) -> Callable[[], Sequence[Float32[np.ndarray, "b ..."]]]:
        """Begin with some crops; what is returned waits for their outputs.

        One start at a time: the next one may spoil the outputs of the last.
        """
        ...


class NetworkEngine:
    """A network on a runtime.

    >>> engine = NetworkEngine(network, TorchRunner(network))
    >>> hands = engine(crops, K)
    """

    def __init__(self, network: S2HandNetwork, runner: Runner) -> None:
        self._network = network
        self._runner = runner
        self._forms = ClosedForms(network.config) if ClosedForms.know(network.config) else None
        self.input_px = network.config.input_px

    @property
    def name(self) -> str:
        """The runner's name."""
        return self._runner.name

    def __call__(self, crops: Pictures, K: Float[np.ndarray, "b 3 3"]) -> NetworkAnswer:
        """Reconstruct the right hand in each crop.

        Args:
            crops: upright, `input_px` on each side.
            K: each crop's intrinsics in its own pixels, upper triangular.

        Raises:
            ValueError: the crops have another size than the network takes.
        """
        return self.start(crops, K)()

    def start(self, crops: Pictures, K: Float[np.ndarray, "b 3 3"]) -> Callable[[], NetworkAnswer]:
        """Begin, where the runner can, and return what waits for the answer; otherwise like a call.

        One start at a time: fetch an answer before the next start.
        """
        side = self.input_px
        if crops.shape[1:] != (side, side, 3):
            raise ValueError(
                f"the network takes crops of {side} x {side} x 3, found {crops.shape[1:]}"
            )
        pictures = _floats(crops)
        if isinstance(self._runner, StartingRunner):
            fetch = self._runner.start(pictures)
        else:
            fetch = partial(self._runner, pictures)
        return lambda: self._answer(fetch(), K)

    def _answer(
        self, parts: Sequence[Float32[np.ndarray, "b ..."]], K: Float[np.ndarray, "b 3 3"]
    ) -> NetworkAnswer:
        if self._forms is None:
            return self._placed(parts, K)
        return NetworkAnswer(*self._forms(parts[:7], K), *parts[7:])

    @torch.inference_mode()
    def _placed(
        self, parts: Sequence[Float32[np.ndarray, "b ..."]], K: Float[np.ndarray, "b 3 3"]
    ) -> NetworkAnswer:
        """Place hands as PyTorch does, whatever their parameterisation."""
        raw, seen = raw_output([torch.from_numpy(part) for part in parts])
        placed = self._network.placed(raw, torch.from_numpy(np.asarray(K, np.float32)))
        tensors: list[Tensor] = [*placed[:7], *seen]
        return NetworkAnswer(*(tensor.numpy() for tensor in tensors))


def _floats(crops: Pictures) -> Float32[np.ndarray, "b h w 3"]:
    if crops.dtype == np.uint8:
        return crops * np.float32(1 / 255)
    return np.ascontiguousarray(crops, np.float32)
