"""The network's engines: they agree, are kept and rebuilt, and say in one line why they do not start."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.labelled import data_folder, labelled_images
from tracker.errors import ModelFileError
from tracker.geometry.hand_model import HandModel
from tracker.vision.crop_camera import crop_view
from tracker.vision.crops import cut, roi_from_landmarks
from tracker.vision.engines import __main__ as commands
from tracker.vision.engines import choosing, on_tensorrt, on_torch
from tracker.vision.engines.answers import NetworkEngine
from tracker.vision.engines.cache import EngineCache
from tracker.vision.engines.choosing import open_engine
from tracker.vision.engines.on_torch import CudaRunner, TorchRunner
from tracker.vision.engines.parity import parity
from tracker.vision.engines.program import (
    LookProgram,
    MaxOfHalves,
    fingerprint,
    half_program,
    portable_program,
)
from tracker.vision.model_files import shipped_network
from tracker.vision.network import NetworkConfig, S2HandNetwork
from tracker.vision.network_files import read_network, write_network
from train.datasets.synthetic import SyntheticConfig, SyntheticHands

CROPS = 100


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module")
def network(hand: HandModel) -> S2HandNetwork:
    """The one that ships, else a small random one whose heads say something."""
    if (file := shipped_network()) is not None:
        return read_network(file, hand)
    torch.manual_seed(3)
    config = NetworkConfig("mobilenetv4_conv_small", 128, joint_maps=True)
    network = S2HandNetwork(config.for_hand(hand)).eval()
    with torch.no_grad():
        for head in ("pose", "betas", "scale", "rotation", "transl"):
            getattr(network.geometry, head)[-1].weight *= 200
    return network


@pytest.fixture(scope="module")
def crops(network: S2HandNetwork) -> tuple[np.ndarray, np.ndarray]:
    """Real ones where there are some, else made-up ones."""
    px = network.config.input_px
    folder = data_folder()
    if folder is None:
        hands = SyntheticHands(SyntheticConfig(size_px=px))
        samples = [hands[i] for i in range(CROPS)]
        return np.stack([s.rgb for s in samples]), np.stack([s.K for s in samples])
    images = [i for i in labelled_images(folder, "consensus2d") if i.visible.all()][:CROPS]
    pictures = [image.rgb() for image in images]
    rois = [roi_from_landmarks(image.uv) for image in images]
    K = [
        np.array([[r.shape[1], 0, r.shape[1] / 2], [0, r.shape[1], r.shape[0] / 2], [0, 0, 1.0]])
        for r in pictures
    ]
    views = [crop_view(k, roi, px).K for k, roi in zip(K, rois, strict=True)]
    cut_out = [cut(rgb, roi, px) for rgb, roi in zip(pictures, rois, strict=True)]
    return np.stack(cut_out), np.stack(views)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> EngineCache:
    return EngineCache(tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="module")
def reference(network: S2HandNetwork) -> NetworkEngine:
    return NetworkEngine(network, TorchRunner(network))


@pytest.mark.parametrize("name", ["openvino", "onnx"])
@pytest.mark.filterwarnings("ignore")  # of the exporters about themselves
def test_an_engine_gives_pytorchs_hands(name, network, hand, crops, cache, reference):
    if choosing.missing(name):
        pytest.skip(choosing.missing(name))
    engine = open_engine(network, name, precision="f32", cache=cache)
    found = parity(engine, reference, hand, *crops)
    assert found.holds, found
    if name == "openvino":
        coarse = open_engine(network, name, precision="half", cache=cache)
        rough = parity(coarse, reference, hand, *crops)
        assert rough.mean_mm < 6, rough  # untrained weights are worse conditioned than trained ones
    # Not by accident the same for every picture.
    answer = reference(crops[0][:10], crops[1][:10])
    assert np.ptp(answer.transl, axis=0).max() > 1e-3


def test_openvino_answers_later_and_forgets_what_nobody_fetched(network, crops, cache):
    engine = open_engine(network, "openvino", precision="f32", cache=cache)
    pictures, K = crops
    expected = engine(pictures[2:4], K[2:4])
    engine.start(pictures[:2], K[:2])
    fetch = engine.start(pictures[2:4], K[2:4])
    for ours, theirs in zip(fetch(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    five = engine(pictures[:5], K[:5])
    np.testing.assert_array_equal(five.pose[2:4], expected.pose)


def test_bytes_and_colours_are_the_same_to_an_engine(reference, crops):
    pictures, K = crops[0][:2], crops[1][:2]
    for a, b in zip(
        reference(pictures, K), reference(pictures.astype(np.float32) / 255, K), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=2e-6)
    with pytest.raises(ValueError, match="takes crops of"):
        reference(pictures[:, 1:], K)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_halves_are_the_adaptive_pooling(size):
    x = torch.randn(2, 3, size, size + 1)
    assert torch.equal(MaxOfHalves()(x), torch.nn.AdaptiveMaxPool2d(2)(x))


@torch.no_grad()
def test_half_precision_keeps_geometry_whole(network, hand, crops):
    program = half_program(network)
    assert program.network.geometry.transl[-1].weight.dtype == torch.float32
    assert {p.dtype for p in program.network.encoder.parameters()} == {torch.float16}
    assert next(network.encoder.parameters()).dtype == torch.float32
    x = torch.from_numpy(crops[0][:4].astype(np.float32) / 255)
    for half, whole in zip(program(x), portable_program(network)(x), strict=True):
        assert half.dtype == torch.float32
        assert (half - whole).abs().max() < 0.03 * max(1.0, float(whole.abs().max()))


def test_other_weights_are_another_network(network):
    before = fingerprint(network)
    with torch.no_grad():
        bias = network.geometry.transl[-1].bias
        kept = bias.clone()
        bias += 1
        changed = fingerprint(network)
        bias.copy_(kept)
    assert changed != before == fingerprint(network)


# TensorRT, played by a double that writes down what it is asked: no hardware was here to run it on.


class TensorRtDouble:
    """Stands for torch_tensorrt 2.13: same calls, and the exported program itself as the engine."""

    __version__ = "2.13.0"

    def __init__(self) -> None:
        self.compiled: list[dict[str, Any]] = []
        self.saved: list[tuple[str, dict[str, Any]]] = []
        self.dynamo = SimpleNamespace(compile=self._compile)

    def Input(self, **shape: Any) -> dict[str, Any]:
        return shape

    def _compile(self, exported: torch.export.ExportedProgram, **settings: Any) -> Any:
        self.compiled.append({"exported": exported} | settings)
        Path(settings["timing_cache_path"]).write_bytes(b"times")
        return exported

    def save(self, module: Any, path: str, **settings: Any) -> None:
        self.saved.append((path, settings))
        torch.export.save(module, path)

    def load(self, path: str) -> Any:
        return torch.export.load(path)


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> TensorRtDouble:
    # The processor has no half-precision kernels worth waiting for.
    monkeypatch.setattr(on_tensorrt, "half_program", portable_program)
    return TensorRtDouble()


@pytest.mark.filterwarnings("ignore")  # of torch.export about itself
def test_tensorrt_is_asked_as_its_manual_says(tensorrt, network, crops, reference, tmp_path):
    cpu, cache = torch.device("cpu"), EngineCache(tmp_path)
    runner = on_tensorrt.TensorRtRunner(network, cache=cache, runtime=tensorrt, gpu=cpu)
    side = network.config.input_px
    asked = tensorrt.compiled[0]
    assert asked["arg_inputs"] == [
        {
            "min_shape": (1, side, side, 3),
            "opt_shape": (1, side, side, 3),
            "max_shape": (2, side, side, 3),
            "dtype": torch.float32,
        }
    ]
    assert asked["min_block_size"] == 1
    assert asked["disable_tf32"]
    # Accepted by 2.13 and dropped without a word, or deprecated: precision is the layers' own.
    assert not {"enabled_precisions", "use_python_runtime", "inputs"} & set(asked)
    assert tensorrt.saved[0][1] == {
        "output_format": "exported_program",
        "arg_inputs": asked["arg_inputs"],
    }
    engine, pictures, K = NetworkEngine(network, runner), crops[0][:3], crops[1][:3]
    for a, b in zip(engine(pictures, K), reference(pictures, K), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    # A second start reads what was kept; a damaged one is built again.
    on_tensorrt.TensorRtRunner(network, cache=cache, runtime=tensorrt, gpu=cpu)
    assert len(tensorrt.compiled) == 1
    kept = next(tmp_path.glob("tensorrt-*/network.ep"))
    kept.write_bytes(kept.read_bytes()[:1000])
    on_tensorrt.TensorRtRunner(network, cache=cache, runtime=tensorrt, gpu=cpu)
    assert len(tensorrt.compiled) == 2
    stamp = json.loads((kept.parent / "engine.json").read_text())
    assert set(stamp["versions"]) == {"torch", "torch_tensorrt", "tensorrt"}
    assert stamp["network"] == fingerprint(network)
    coarse = on_tensorrt.TensorRtRunner(
        network, half=True, cache=cache, runtime=tensorrt, gpu=torch.device("cpu")
    )
    assert (runner.name, coarse.name) == ("tensorrt f32", "tensorrt f16")
    assert len(tensorrt.compiled) == 3
    assert len(list(tmp_path.glob("tensorrt-*/network.ep"))) == 2


def test_tensorrt_that_cannot_build_says_so_in_one_line(tensorrt, network, tmp_path):
    def fail(*_: Any, **__: Any) -> None:
        raise Exception("no kernel for layer 7\nstack")

    tensorrt.dynamo.compile = fail
    with pytest.raises(ModelFileError, match=r"cannot build.*no kernel for layer 7\)"):
        on_tensorrt.TensorRtRunner(
            network, cache=EngineCache(tmp_path), runtime=tensorrt, gpu=torch.device("cpu")
        )


# CUDA graphs, likewise.


class CudaDouble:
    """Stands for torch.cuda on a machine with a GPU; replaying a graph runs the program again."""

    def __init__(self) -> None:
        self.graphs = 0
        self.replays = 0

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def Stream(self) -> Any:
        return SimpleNamespace(wait_stream=lambda other: None)

    current_stream = Stream

    def stream(self, stream: Any) -> Any:
        return torch.inference_mode()

    def CUDAGraph(self) -> Any:
        self.graphs += 1
        return SimpleNamespace(replay=self._replay)

    def graph(self, graph: Any) -> Any:
        return torch.inference_mode()

    def _replay(self) -> None:
        self.replays += 1


def test_small_batches_are_replayed_and_large_ones_run(network, crops, monkeypatch):
    cuda = CudaDouble()
    monkeypatch.setattr(on_torch.torch, "device", lambda *_: "cpu")
    runner = CudaRunner(network, cuda=cuda)
    assert runner.name == "cuda f32 graph"
    assert cuda.graphs == len(on_torch.GRAPH_BATCHES)
    pictures = crops[0][:3].astype(np.float32) / 255
    runner(pictures[:1])
    runner(pictures[:2])
    assert cuda.replays == 2
    for a, b in zip(runner(pictures), TorchRunner(network)(pictures), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert cuda.replays == 2


def test_cuda_computes_what_is_whole_without_tensorfloat(network, crops, monkeypatch):
    """Which has ten bits, like float16, and is what convolutions take unless told otherwise."""
    seen: list[str] = []
    forward = LookProgram.forward

    def watched(self: LookProgram, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen.append(torch.backends.cudnn.conv.fp32_precision)
        return forward(self, x)

    monkeypatch.setattr(LookProgram, "forward", watched)
    monkeypatch.setattr(on_torch.torch, "device", lambda *_: "cpu")
    before = torch.backends.cudnn.conv.fp32_precision
    CudaRunner(network, cuda=CudaDouble())(crops[0][:3].astype(np.float32) / 255)
    assert set(seen) == {"ieee"}
    assert torch.backends.cudnn.conv.fp32_precision == before


def test_cuda_is_half_where_asked(network, monkeypatch):
    asked: list[S2HandNetwork] = []
    monkeypatch.setattr(on_torch.torch, "device", lambda *_: "cpu")
    monkeypatch.setattr(on_torch, "half_program", lambda n: asked.append(n) or portable_program(n))
    assert CudaRunner(network, half=True, cuda=CudaDouble()).name == "cuda f16 graph"
    assert asked == [network]


@pytest.mark.gpu
def test_cuda_graphs_give_pytorchs_hands(network, hand, crops, reference):
    found = parity(NetworkEngine(network, CudaRunner(network)), reference, hand, *crops)
    assert found.holds, found
    coarse = NetworkEngine(network, CudaRunner(network, half=True))
    rough = parity(coarse, reference, hand, *crops)
    assert rough.mean_mm < 1, rough  # a hand that could be turned either way is turned by anything


# Choosing.


def test_auto_passes_over_what_does_not_start(network, monkeypatch, caplog):
    def broken(*_: Any, **__: Any) -> None:
        raise ModelFileError("no libraries\nmore")

    monkeypatch.setattr(choosing, "candidates", lambda: ("tensorrt", "openvino"))
    monkeypatch.setattr("tracker.vision.engines.on_tensorrt.TensorRtRunner", broken)
    monkeypatch.setattr("tracker.vision.engines.on_openvino.OpenVinoRunner", broken)
    assert open_engine(network).name == "torch f32"
    assert caplog.messages == [
        "engine tensorrt is passed over: no libraries",
        "engine openvino is passed over: no libraries",
    ]


def test_a_named_engine_starts_or_says_what_to_do(network, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelFileError, match=r"cuda.*engine auto"):
        open_engine(network, "cuda")
    real = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name in ("torch_tensorrt", "onnxruntime"):
            # What torch_tensorrt raises without TensorRT's libraries.
            raise (ImportError if name == "onnxruntime" else Exception)("libnvinfer is missing")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ModelFileError, match=r"tensorrt.*libnvinfer.*handloom\[gpu\]"):
        open_engine(network, "tensorrt")
    with pytest.raises(ModelFileError, match=r"onnx.*handloom\[onnx\]"):
        open_engine(network, "onnx")


# Commands.


def test_commands_list_build_and_check(hand, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HANDLOOM_CACHE", str(tmp_path))
    torch.manual_seed(0)
    config = NetworkConfig("mobilenetv4_conv_small", 128).for_hand(hand)
    file = tmp_path / "network.safetensors"
    write_network(file, S2HandNetwork(config), hand)
    assert commands.main(["list"]) == 0
    assert commands.main(["build", str(file), "--engine", "torch"]) == 0
    assert commands.main(["check", str(file), "--engine", "torch"]) == 0
    told = capsys.readouterr().out
    assert all(f"{name} " in told for name in choosing.ENGINES)
    assert str(tmp_path) in told
    assert "torch f32: ready" in told
    assert "same: vertices 0.000 mm" in told
    assert commands.main(["build", str(tmp_path / "none"), "--engine", "torch"]) == 2
    assert "cannot be used" in capsys.readouterr().err
