"""The network in the tracker: how fast each mode is beside MediaPipe, and each engine beside others.

The modes run the whole two-hand loop of `throughput` (crop, nets, fit, mesh, texture, overlay) on the
same clip, in passes A B A B with MediaPipe Hands, complexity 1. `fused_b0_224` is the paper's encoder
at its size with random weights, whose guesses are no good: the fit then tries both starts, so a trained
one is faster. The engines answer one crop, in turns.
Which network: `$HANDLOOM_NETWORK`, else the one that ships; without either nothing is measured.
"""

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.demo_clip import with_hands
from benchmarks.mediapipe_reference import NAME, MediaPipeHands
from benchmarks.metric import Metric, alternating_ms
from benchmarks.throughput import alternate, loop
from tracker.geometry.hand_model import HandModel
from tracker.view.software_renderer import SoftwareRenderer
from tracker.vision.engines.answers import NetworkEngine, Runner
from tracker.vision.engines.choosing import missing
from tracker.vision.engines.on_onnx import OnnxRunner
from tracker.vision.engines.on_openvino import OpenVinoRunner
from tracker.vision.engines.on_torch import TorchRunner
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.model_files import shipped_network
from tracker.vision.network import NetworkConfig, S2HandNetwork
from tracker.vision.network_files import read_network, write_network
from tracker.vision.network_guide import Mode

MODES: tuple[Mode, ...] = ("landmarks", "fast", "fused", "network")


def network_file() -> Path | None:
    """Return the network to measure, if there is one."""
    named = os.environ.get("HANDLOOM_NETWORK")
    return Path(named) if named else shipped_network()


def run(quick: bool) -> list[Metric]:
    """Measure modes and engines."""
    file = network_file()
    if file is None:
        print("network: no trained network (set HANDLOOM_NETWORK); nothing is measured")
        return []
    return _modes(file, quick) + _engines(read_network(file, HandModel.load()), quick)


def _modes(file: Path, quick: bool) -> list[Metric]:
    """Frames a second of the two-hand loop in every mode."""
    cv2.setNumThreads(1)
    clip = with_hands(2)[: 40 if quick else 120]
    renderer = SoftwareRenderer()
    files: dict[str, tuple[Mode, Path]] = {mode: (mode, file) for mode in MODES}
    with tempfile.TemporaryDirectory() as folder, MediaPipeHands(static=False) as reference:
        files["fused_b0_224"] = "fused", _paper_sized(Path(folder) / "b0.safetensors")
        ours = [
            loop(HandTracker(HandTrackerConfig(mode=mode, network=str(network))), renderer)
            for mode, network in files.values()
        ]
        theirs = lambda frame: len(reference(frame.rgb))  # noqa: E731
        times = alternate([*ours, theirs], clip, passes=2 if quick else 6)
    *fps, base = (1000 / float(np.median(t)) for t in times)
    return [
        Metric(f"{name}_fps", value, "fps", NAME, base, value / base, "higher")
        for name, value in zip(files, fps, strict=True)
    ]


def _paper_sized(file: Path) -> Path:
    """Write a network of the paper's size that was not trained: good for nothing but its speed."""
    hand = HandModel.load()
    network = S2HandNetwork(NetworkConfig("efficientnet_b0", 224).for_hand(hand))
    write_network(file, network, hand, half=True)
    return file


def _engines(network: S2HandNetwork, quick: bool) -> list[Metric]:
    """Time of one crop through layers and closed form, beside ONNX Runtime's, and through PyTorch."""
    runners: list[Runner] = [
        OpenVinoRunner(network, precision="half"),
        OpenVinoRunner(network, precision="f32"),
        TorchRunner(network),
    ]
    if missing("onnx"):
        print(f"network: {missing('onnx')}; PyTorch is the reference instead")
    else:
        runners.append(OnnxRunner(network))
    engines = [NetworkEngine(network, runner) for runner in runners]
    side = network.config.input_px
    crop = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    K = np.array([[[2.0 * side, 0, side / 2], [0, 2.0 * side, side / 2], [0, 0, 1]]])
    calls = [lambda engine=engine: engine(crop, K) for engine in engines]
    times = [float(np.median(t)) for t in alternating_ms(calls, 20 if quick else 200)]
    names = [engine.name for engine in engines]
    return [
        Metric(
            f"engine_{name.replace(' ', '_')}_ms", ms, "ms", names[-1], times[-1], times[-1] / ms
        )
        for name, ms in zip(names[:-1], times[:-1], strict=True)
    ]
