"""The network on TensorRT, through torch-tensorrt's dynamo frontend; an extra: `handloom[gpu]`.

Written to the documented interface of torch-tensorrt 2.13. There networks are typed strongly: an
engine computes in the precision of the layers it is given, so `half_program` says what is half.
A saved engine fits one GPU model and one set of versions, which the cache's key lists.
"""

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
    LookProgram,
    example,
    export_batches,
    fingerprint,
    half_program,
    portable_program,
)
from tracker.vision.network import S2HandNetwork

MOST_BATCH: Final = 2
_FILE: Final = "network.ep"
_TIMINGS: Final = "timings.bin"


class TensorRtRunner:
    """Batches of one or two on TensorRT; more crops go in turns.

    Args:
        network: what to run.
        half: convolutions in float16 (`half_program`) instead of float32.
        cache: where built engines are kept; building takes a minute.
        runtime: the module torch_tensorrt; None imports it.
        gpu: where to run; None is the current one.

    Raises:
        ModelFileError: there is no GPU or no TensorRT, or it cannot build this network.
    """

    def __init__(
        self,
        network: S2HandNetwork,
        *,
        half: bool = False,
        cache: EngineCache | None = None,
        runtime: Any = None,
        gpu: torch.device | None = None,
    ) -> None:
        runtime = runtime or _runtime()
        self._gpu = gpu or _gpu()
        precision = "f16" if half else "f32"
        self.name = f"tensorrt {precision}"
        key = tensorrt_key(network, runtime, self._gpu, precision)

        def build(folder: Path) -> None:
            program = half_program(network) if half else portable_program(network)
            _build(program, runtime, self._gpu, folder)

        try:
            self._program = (cache or EngineCache()).get(
                key,
                build,
                lambda folder: runtime.load(str(folder / _FILE)).module(),
            )
        # TensorRT and its frontend raise anything; whoever asked for it can take another engine.
        except Exception as problem:
            reason = (str(problem) or type(problem).__name__).splitlines()[0][:200]
            raise ModelFileError(
                f"engine 'tensorrt' cannot build this network ({reason}); use engine auto"
            ) from problem

    @torch.inference_mode()
    def __call__(
        self, crops: Float32[np.ndarray, "b h w 3"]
    ) -> Sequence[Float32[np.ndarray, "b ..."]]:
        """Return the outputs of `LookProgram`."""
        turns = range(0, len(crops), MOST_BATCH)
        answers = [self._run(crops[first : first + MOST_BATCH]) for first in turns]
        return [np.concatenate(parts) for parts in zip(*answers, strict=True)]

    def _run(self, crops: Float32[np.ndarray, "b h w 3"]) -> list[np.ndarray]:
        outputs = self._program(torch.from_numpy(crops).to(self._gpu))
        return [part.cpu().numpy() for part in outputs]


def tensorrt_key(
    network: S2HandNetwork, runtime: Any, gpu: torch.device, precision: str
) -> EngineKey:
    """Return what a built engine belongs to."""
    variant = {"gpu": _gpu_name(gpu), "batch": f"1-{MOST_BATCH}", "precision": precision}
    versions = {
        "torch": str(torch.__version__),
        "torch_tensorrt": str(runtime.__version__),
        "tensorrt": _tensorrt_version(),
    }
    return EngineKey("tensorrt", fingerprint(network), variant, versions)


def _build(program: LookProgram, runtime: Any, gpu: torch.device, folder: Path) -> None:
    """Compile the program for one and two crops, and save it."""
    program = program.to(gpu)
    side = program.network.config.input_px
    crops = example(program.network, MOST_BATCH).to(gpu)
    shapes = [(batch, side, side, 3) for batch in (1, 1, MOST_BATCH)]
    spec = runtime.Input(
        min_shape=shapes[0], opt_shape=shapes[1], max_shape=shapes[2], dtype=torch.float32
    )
    compiled = runtime.dynamo.compile(
        export_batches(program, crops, MOST_BATCH),
        arg_inputs=[spec],
        min_block_size=1,
        # TensorFloat-32 has float16's ten bits; what is whole here is meant to be.
        disable_tf32=True,
        # Its own cache would lie in the system's temporary folder, open to others.
        cache_built_engines=False,
        reuse_cached_engines=False,
        timing_cache_path=str(folder / _TIMINGS),
    )
    runtime.save(compiled, str(folder / _FILE), output_format="exported_program", arg_inputs=[spec])


def _runtime() -> Any:
    try:
        return importlib.import_module("torch_tensorrt")
    # Without TensorRT's libraries the import raises a plain Exception.
    except Exception as problem:
        reason = (str(problem) or type(problem).__name__).splitlines()[0][:200]
        raise ModelFileError(
            f"engine 'tensorrt' cannot start ({reason}); pip install 'handloom[gpu]', or use "
            "engine auto"
        ) from problem


def _gpu() -> torch.device:
    if not torch.cuda.is_available():
        raise ModelFileError(
            "engine 'tensorrt' needs an NVIDIA GPU and PyTorch sees none; use engine auto"
        )
    return torch.device("cuda", torch.cuda.current_device())


def _gpu_name(gpu: torch.device) -> str:
    if gpu.type != "cuda":
        return str(gpu)
    major, minor = torch.cuda.get_device_capability(gpu)
    return f"{torch.cuda.get_device_name(gpu)} sm_{major}{minor}"


def _tensorrt_version() -> str:
    try:
        return str(importlib.import_module("tensorrt").__version__)
    except ImportError:
        return "none"
