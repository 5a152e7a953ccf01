"""Run a detector with several requests in flight. OpenVINO reads the `.tflite` files directly."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import openvino as ov
from jaxtyping import Float32, UInt8
from openvino.preprocess import PrePostProcessor

Precision = Literal["auto", "half", "f32"]
"""`half` is bf16 on processors and f16 on GPUs; what `auto` is, each engine says."""


@cache
def openvino_core() -> ov.Core:
    """Return the one runtime of this process."""
    return ov.Core()


def precision_hint(precision: Precision) -> str:
    """Return bf16 where it is wanted and the processor has it, else f32.

    For the detectors `auto` wants it: half the time, and landmarks move by 0.02 px.
    """
    has_it = "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if precision != "f32" and has_it else "f32"


def _read(model: bytes) -> ov.Model:
    """Read verified bytes. OpenVINO takes `.tflite` from a path only, so they pass through one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(model)
        return openvino_core().read_model(path)


def _taking_bytes(model: ov.Model) -> ov.Model:
    """Let a model for colours in [0, 1] take bytes: the runtime converts them faster than numpy."""
    pictures = PrePostProcessor(model)
    pictures.input().tensor().set_element_type(ov.Type.u8)
    pictures.input().preprocess().convert_element_type(ov.Type.f32).scale(255.0)
    return pictures.build()


class OpenVinoEngine:
    """A compiled network of pictures, with `slots` requests that overlap.

    Fill `input(slot)`, call `start(slot)`, and read `wait(slot)`. One slot has all threads; of more
    each runs on its own share of them, because threads that work on one picture wait for each other
    after every layer.
    """

    def __init__(
        self, model: bytes, *, slots: int = 1, threads: int = 2, precision: Precision = "auto"
    ) -> None:
        compiled = openvino_core().compile_model(
            _taking_bytes(_read(model)),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": min(slots, threads),
                "INFERENCE_PRECISION_HINT": precision_hint(precision),
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._names = [output.get_any_name() for output in compiled.outputs]
        shape = tuple(compiled.inputs[0].shape)
        self._inputs = [np.zeros(shape, np.uint8) for _ in range(slots)]
        self._requests = [compiled.create_infer_request() for _ in range(slots)]
        for request, array in zip(self._requests, self._inputs, strict=True):
            request.set_input_tensor(ov.Tensor(array, shared_memory=True))

    def input(self, slot: int = 0) -> UInt8[np.ndarray, "h w 3"]:
        """Return the input picture of `slot`, to be filled in place."""
        return self._inputs[slot][0]

    def start(self, slot: int = 0) -> None:
        """Begin inference on what `input(slot)` holds."""
        self._requests[slot].start_async()

    def wait(self, slot: int = 0) -> dict[str, Float32[np.ndarray, "..."]]:
        """Block until `slot` is done; the arrays are valid until its next `start`."""
        request = self._requests[slot]
        request.wait()
        return {name: request.get_tensor(name).data for name in self._names}
