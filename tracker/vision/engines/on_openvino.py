"""The network on OpenVINO, the default on processors: converted once from PyTorch, without ONNX."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import openvino as ov
import torch
from jaxtyping import Float32

from tracker.vision.engines.cache import EngineCache, EngineKey
from tracker.vision.engines.program import (
    export_static,
    fingerprint,
    portable_program,
    quiet_export,
)
from tracker.vision.engines.tflite import Precision, openvino_core, precision_hint
from tracker.vision.network import S2HandNetwork

_FILE: Final = "network.xml"
_SLOTS: Final = 2


class OpenVinoRunner:
    """One crop a request, two requests in flight: on few cores faster than a batch of two.

    Args:
        network: what to run.
        threads: for all requests together.
        precision: `auto` is f32, PyTorch's to a micrometre. `half`, where the processor has it, takes
            between a sixth and half less time, but moves vertices by about a millimetre on average,
            as half a gray level of noise in the picture does, and those of single crops further.
        cache: where the converted network is kept.
    """

    def __init__(
        self,
        network: S2HandNetwork,
        *,
        threads: int = 2,
        precision: Precision = "auto",
        cache: EngineCache | None = None,
    ) -> None:
        hint = precision_hint("f32" if precision == "auto" else precision)
        self.name = f"openvino {hint}"
        model = (cache or EngineCache()).get(
            openvino_key(network), lambda folder: _convert(network, folder), _read
        )
        compiled = openvino_core().compile_model(
            model,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "INFERENCE_PRECISION_HINT": hint,
                "ENABLE_CPU_PINNING": False,
            },
        )
        shape = tuple(compiled.inputs[0].shape)
        self._inputs = [np.zeros(shape, np.float32) for _ in range(_SLOTS)]
        self._requests = [compiled.create_infer_request() for _ in range(_SLOTS)]
        for request, array in zip(self._requests, self._inputs, strict=True):
            request.set_input_tensor(ov.Tensor(array, shared_memory=True))
        places = range(len(compiled.outputs))
        self._outputs = [[_bound(request, k) for k in places] for request in self._requests]

    def __call__(
        self, crops: Float32[np.ndarray, "b h w 3"]
    ) -> Sequence[Float32[np.ndarray, "b ..."]]:
        """Return the outputs of `LookProgram`."""
        pairs = range(0, len(crops), _SLOTS)
        answers = [self.start(crops[first : first + _SLOTS])() for first in pairs]
        return [np.concatenate(parts) for parts in zip(*answers, strict=True)]

    def start(
        self, crops: Float32[np.ndarray, "b h w 3"]
    ) -> Callable[[], Sequence[Float32[np.ndarray, "b ..."]]]:
        """Begin with one or two crops; see `StartingRunner`."""
        if len(crops) > _SLOTS:
            return partial(self, crops)
        for request, array, crop in zip(self._requests, self._inputs, crops, strict=False):
            # An answer that nobody fetched may still be on its way.
            request.wait()
            array[0] = crop
            request.start_async()
        return partial(self._fetch, len(crops))

    def _fetch(self, count: int) -> Sequence[Float32[np.ndarray, "b ..."]]:
        for request in self._requests[:count]:
            request.wait()
        return [np.concatenate(parts) for parts in zip(*self._outputs[:count], strict=True)]


def _bound(request: ov.InferRequest, place: int) -> Float32[np.ndarray, "1 ..."]:
    """Return the memory that one output of a request is written to, again and again."""
    array = np.zeros(tuple(request.get_output_tensor(place).shape), np.float32)
    request.set_output_tensor(place, ov.Tensor(array, shared_memory=True))
    return array


def openvino_key(network: S2HandNetwork) -> EngineKey:
    """Return what a converted network belongs to; precision and threads are chosen on loading."""
    versions = {"openvino": str(ov.__version__), "torch": str(torch.__version__)}
    return EngineKey("openvino", fingerprint(network), {"batch": "1"}, versions)


def _convert(network: S2HandNetwork, folder: Path) -> None:
    side = network.config.input_px
    with quiet_export():
        model = ov.convert_model(export_static(portable_program(network), 1))
    # The converter forgets that sizes are fixed; with fixed ones memory is planned ahead.
    model.reshape([1, side, side, 3])
    ov.save_model(model, folder / _FILE, compress_to_fp16=False)


def _read(folder: Path) -> ov.Model:
    # The file must not be mapped: it may be replaced while this process runs.
    return openvino_core().read_model(
        (folder / _FILE).read_bytes(), (folder / _FILE).with_suffix(".bin").read_bytes()
    )
