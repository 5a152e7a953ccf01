"""Which engine runs the network here: the named one, or with `auto` the fastest that starts."""

import importlib.util
import logging
from typing import Final, Literal, get_args

import torch

from tracker.errors import HandloomError
from tracker.vision.engines.answers import NetworkEngine, Runner
from tracker.vision.engines.cache import EngineCache
from tracker.vision.engines.tflite import Precision
from tracker.vision.network import S2HandNetwork

EngineName = Literal["auto", "tensorrt", "cuda", "openvino", "onnx", "torch"]
ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)[1:]
"""Fastest first, where they run at all."""
_NEEDS: Final = {"tensorrt": "torch_tensorrt", "openvino": "openvino", "onnx": "onnxruntime"}
_log = logging.getLogger(__name__)


def open_engine(
    network: S2HandNetwork,
    name: EngineName = "auto",
    *,
    threads: int = 2,
    precision: Precision = "auto",
    cache: EngineCache | None = None,
) -> NetworkEngine:
    """Return the network on an engine.

    `auto` tries TensorRT and CUDA graphs where there is an NVIDIA GPU, then OpenVINO, then PyTorch;
    each that does not start costs one line in the log. A named engine starts or raises.

    `half` precision is for OpenVINO, CUDA and TensorRT; the others compute in float32 always.

    Raises:
        ModelFileError: the named engine is not installed, or cannot run here.
        ValueError: there is no such engine.
    """
    if name != "auto":
        return NetworkEngine(network, _runner(network, name, threads, precision, cache))
    for candidate in candidates():
        try:
            return NetworkEngine(network, _runner(network, candidate, threads, precision, cache))
        except (HandloomError, ImportError, OSError, RuntimeError) as problem:
            reason = (str(problem) or type(problem).__name__).splitlines()[0]
            _log.warning("engine %s is passed over: %s", candidate, reason)
    return NetworkEngine(network, _runner(network, "torch", threads, precision, cache))


def candidates() -> tuple[EngineName, ...]:
    """Return what `auto` tries before PyTorch, in order."""
    gpu: tuple[EngineName, ...] = ("tensorrt", "cuda") if torch.cuda.is_available() else ()
    return (*gpu, "openvino")


def missing(name: str) -> str:
    """Say why an engine cannot run here, without starting it; empty if nothing is known against it."""
    package = _NEEDS.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    if name in ("tensorrt", "cuda") and not torch.cuda.is_available():
        return "PyTorch sees no NVIDIA GPU"
    return ""


def _runner(
    network: S2HandNetwork,
    name: str,
    threads: int,
    precision: Precision,
    cache: EngineCache | None,
) -> Runner:
    # Each engine's packages are imported only where it is asked for.
    if name == "openvino":
        from tracker.vision.engines.on_openvino import OpenVinoRunner

        return OpenVinoRunner(network, threads=threads, precision=precision, cache=cache)
    if name == "onnx":
        from tracker.vision.engines.on_onnx import OnnxRunner

        return OnnxRunner(network, threads=threads, cache=cache)
    if name == "tensorrt":
        from tracker.vision.engines.on_tensorrt import TensorRtRunner

        return TensorRtRunner(network, half=precision == "half", cache=cache)
    from tracker.vision.engines.on_torch import CudaRunner, TorchRunner

    if name == "cuda":
        return CudaRunner(network, half=precision == "half")
    if name == "torch":
        return TorchRunner(network)
    raise ValueError(f"engine must be one of {', '.join(get_args(EngineName))}, found {name!r}")
