"""The network on ONNX Runtime, which has builds for many machines; an extra: `handloom[onnx]`."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float32

from tracker.errors import ModelFileError
from tracker.vision.engines.cache import EngineCache, EngineKey
from tracker.vision.engines.program import (
    example,
    fingerprint,
    output_names,
    portable_program,
    quiet_export,
)
from tracker.vision.network import S2HandNetwork

_FILE: Final = "network.onnx"
_INPUT: Final = "crops"


class OnnxRunner:
    """ONNX Runtime on the processor, float32.

    Raises:
        ModelFileError: the extra is not installed.
    """

    name = "onnxruntime f32"

    def __init__(
        self, network: S2HandNetwork, *, threads: int = 2, cache: EngineCache | None = None
    ) -> None:
        runtime = _runtime()
        key = EngineKey("onnx", fingerprint(network), {"batch": "any"}, _versions(runtime))
        self._session = (cache or EngineCache()).get(
            key, lambda folder: _convert(network, folder), lambda f: _open(runtime, f, threads)
        )

    def __call__(
        self, crops: Float32[np.ndarray, "b h w 3"]
    ) -> Sequence[Float32[np.ndarray, "b ..."]]:
        """Return the outputs of `LookProgram`."""
        return self._session.run(None, {_INPUT: crops})


def _runtime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as problem:
        raise ModelFileError(
            "engine 'onnx' needs ONNX Runtime; pip install 'handloom[onnx]', or use engine auto"
        ) from problem


def _versions(runtime: Any) -> dict[str, str]:
    return {"onnxruntime": str(runtime.__version__), "torch": str(torch.__version__)}


def _convert(network: S2HandNetwork, folder: Path) -> None:
    try:
        importlib.import_module("onnxscript")
    except ImportError as problem:
        raise ModelFileError(
            "converting a network to ONNX needs onnxscript; pip install 'handloom[onnx]'"
        ) from problem
    batch = torch.export.Dim("batch", min=1, max=64)
    with quiet_export():
        torch.onnx.export(
            portable_program(network),
            (example(network, 2),),
            folder / _FILE,
            input_names=[_INPUT],
            output_names=list(output_names(network)),
            dynamic_shapes={"crops": {0: batch}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _open(runtime: Any, folder: Path, threads: int) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # Waiting threads would take the cores from capture and drawing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return runtime.InferenceSession(
        (folder / _FILE).read_bytes(), options, providers=["CPUExecutionProvider"]
    )
