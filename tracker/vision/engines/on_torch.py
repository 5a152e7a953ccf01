"""The network in PyTorch: the reference, and on NVIDIA GPUs the fast way that needs nothing else."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from tracker.errors import ModelFileError
from tracker.vision.engines.program import LookProgram, example, half_program, portable_program
from tracker.vision.network import S2HandNetwork

GRAPH_BATCHES: Final = (1, 2)
"""Batches with a CUDA graph of their own; larger ones run without."""
_SETTINGS: Final = Lock()
_WARM_UPS: Final = 3
"""Runs before a graph is recorded, in which cuDNN chooses its kernels (PyTorch's own advice)."""


class TorchRunner:
    """The layers as they are, in float32 on the processor."""

    name = "torch f32"

    def __init__(self, network: S2HandNetwork) -> None:
        self._program = LookProgram(network).eval()

    @torch.inference_mode()
    def __call__(
        self, crops: Float32[np.ndarray, "b h w 3"]
    ) -> Sequence[Float32[np.ndarray, "b ..."]]:
        """Return the outputs of `LookProgram`."""
        return [part.numpy() for part in self._program(torch.from_numpy(crops))]


@dataclass(frozen=True)
class _Graph:
    """One recorded batch: fill `crops`, replay, read `outputs`."""

    graph: Any
    crops: Tensor
    outputs: tuple[Tensor, ...]


class CudaRunner:
    """A GPU's convolutions, each small batch replayed as one CUDA graph.

    Without a graph, launching a few hundred kernels takes several times as long as running them.

    Args:
        network: what to run.
        half: in float16 (`half_program`) instead of float32.
        cuda: the module torch.cuda.

    Raises:
        ModelFileError: PyTorch sees no GPU.
    """

    def __init__(
        self, network: S2HandNetwork, *, half: bool = False, cuda: Any = torch.cuda
    ) -> None:
        if not cuda.is_available():
            raise ModelFileError(
                "engine 'cuda' needs an NVIDIA GPU and PyTorch sees none; use engine auto"
            )
        self._cuda = cuda
        self._device = torch.device("cuda", cuda.current_device())
        self.name = f"cuda {'f16' if half else 'f32'} graph"
        program = half_program(network) if half else portable_program(network)
        program = program.to(self._device)
        # PyTorch's own annotations do not know this call.
        self._program = program.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._graphs = {batch: self._record(example(network, batch)) for batch in GRAPH_BATCHES}

    @torch.inference_mode()
    def __call__(
        self, crops: Float32[np.ndarray, "b h w 3"]
    ) -> Sequence[Float32[np.ndarray, "b ..."]]:
        """Return the outputs of `LookProgram`."""
        given, recorded = torch.from_numpy(crops), self._graphs.get(len(crops))
        if recorded is None:
            with _exactly():
                outputs = self._program(given.to(self._device))
        else:
            recorded.crops.copy_(given)
            recorded.graph.replay()
            outputs = recorded.outputs
        return [part.cpu().numpy() for part in outputs]

    @torch.inference_mode()
    def _record(self, crops: Tensor) -> _Graph:
        """Run on a side stream until nothing is chosen any more, then record."""
        crops, side = crops.to(self._device), self._cuda.Stream()
        side.wait_stream(self._cuda.current_stream())
        with self._cuda.stream(side), _exactly():
            for _ in range(_WARM_UPS):
                self._program(crops)
        self._cuda.current_stream().wait_stream(side)
        graph = self._cuda.CUDAGraph()
        with self._cuda.graph(graph), _exactly():
            outputs = self._program(crops)
        return _Graph(graph, crops, outputs)


@contextmanager
def _exactly() -> Generator[None, None, None]:
    """Return a context without TensorFloat-32, which has float16's ten bits and is cuDNN's default."""
    convolutions: Any = torch.backends.cudnn.conv  # pyright: ignore[reportAttributeAccessIssue]
    products: Any = torch.backends.cuda.matmul
    with _SETTINGS:  # they are the whole process's
        before = [part.fp32_precision for part in (convolutions, products)]
        convolutions.fp32_precision = products.fp32_precision = "ieee"
        try:
            yield
        finally:
            convolutions.fp32_precision, products.fp32_precision = before
