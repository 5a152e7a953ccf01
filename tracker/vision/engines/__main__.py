"""Commands around the network's engines: `python -m tracker.vision.engines list | build | check`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

import cv2
import numpy as np

from tracker.errors import HandloomError, ModelFileError
from tracker.geometry.hand_model import HandModel
from tracker.vision.engines.answers import NetworkEngine
from tracker.vision.engines.cache import cache_folder
from tracker.vision.engines.choosing import ENGINES, EngineName, candidates, missing, open_engine
from tracker.vision.engines.on_torch import TorchRunner
from tracker.vision.engines.parity import MAX_MM, MEAN_MM, parity
from tracker.vision.engines.tflite import Precision, precision_hint
from tracker.vision.model_files import shipped_network
from tracker.vision.network import S2HandNetwork
from tracker.vision.network_files import read_network

_CROPS: Final = 20
_TIMED: Final = 30
_ON_GPU: Final = ("tensorrt", "cuda")
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code: 0, 1 where a check fails, 2 where it cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        return {"list": _list, "build": _build, "check": _check}[options.command](options)
    except HandloomError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tracker.vision.engines", description=__doc__)
    parser.add_argument("command", choices=("list", "build", "check"))
    parser.add_argument(
        "network", nargs="?", help="a .safetensors file; default: the one that ships"
    )
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this one; repeat")
    parser.add_argument("--hand-model", help="the hand the network was trained for")
    parser.add_argument("--pictures", type=Path, help="check on crops of these, not on noise")
    return parser


def _list(options: argparse.Namespace) -> int:
    """Tell which engines can run here."""
    for name in options.engine or ENGINES:
        _say(f"{name:10} {missing(name) or 'can run'}")
    _say(f"auto tries {', '.join((*candidates(), 'torch'))}; engines are kept in {cache_folder()}")
    return 0


def _build(options: argparse.Namespace) -> int:
    """Compile and keep the network for every engine that can run here, or for those named."""
    network, _ = _network(options)
    for name, precision in _variants(_wanted(options)):
        began = perf_counter()
        engine = open_engine(network, name, precision=precision)
        _say(f"{engine.name}: ready after {perf_counter() - began:.1f} s")
    return 0


def _check(options: argparse.Namespace) -> int:
    """Compare engines with PyTorch, and time them."""
    network, hand = _network(options)
    crops, K = _crops(options.pictures, network.config.input_px)
    reference = NetworkEngine(network, TorchRunner(network))
    failed = False
    for name, precision in _variants(_wanted(options)):
        engine = open_engine(network, name, precision=precision)
        found = parity(engine, reference, hand, crops, K)
        failed |= not found.holds and precision != "half"
        _say(
            f"{engine.name:16} {'same' if found.holds else 'DIFFERS'}: vertices {found.max_mm:.3f} mm "
            f"at most, {found.mean_mm:.3f} mm on average; {_timing(engine, crops, K)}"
        )
    _say(
        f"allowed: {MAX_MM} mm at most, {MEAN_MM} mm on average, over {len(crops)} crops; half precision, "
        "taken only where it is asked for, is coarser by nature"
    )
    return int(failed)


def _variants(names: Sequence[EngineName]) -> Iterator[tuple[EngineName, Precision]]:
    """Yield engines with their precisions: those have two that have half of them in hardware."""
    for name in names:
        yield name, "f32"
        coarse = precision_hint("auto") == "bf16" if name == "openvino" else name in _ON_GPU
        if coarse:
            yield name, "half"


def _timing(engine: NetworkEngine, crops: np.ndarray, K: np.ndarray) -> str:
    parts: list[str] = []
    for batch in (1, 2):
        times: list[float] = []
        for _ in range(_TIMED):
            began = perf_counter()
            engine(crops[:batch], K[:batch])
            times.append(1e3 * (perf_counter() - began))
        p50, p95 = np.percentile(times, (50, 95))
        parts.append(f"batch {batch} p50 {p50:.2f} p95 {p95:.2f} ms")
    return ", ".join(parts)


def _network(options: argparse.Namespace) -> tuple[S2HandNetwork, HandModel]:
    file = options.network or shipped_network()
    if file is None:
        raise ModelFileError("no trained network ships with this copy; name a .safetensors file")
    hand = HandModel.load(options.hand_model)
    return read_network(file, hand), hand


def _wanted(options: argparse.Namespace) -> list[EngineName]:
    """Return the engines that were named, else those that can run here."""
    return options.engine or [name for name in ENGINES if not missing(name)]


def _crops(folder: Path | None, px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the middles of pictures as crops, or smooth noise, seen with 25 degrees across."""
    files = [] if folder is None else sorted(f for f in folder.iterdir() if f.suffix in _PICTURES)
    if folder is not None and not files:
        raise ModelFileError(f"{folder} holds no pictures; name a folder with {_PICTURES}")
    crops = [_middle(file, px) for file in files[:_CROPS]] or list(_noise(px))
    focal_px = px / 2 / np.tan(np.radians(12.5))
    K = np.array([[focal_px, 0, px / 2], [0, focal_px, px / 2], [0, 0, 1]])
    return np.stack(crops), np.tile(K, (len(crops), 1, 1))


def _middle(file: Path, px: int) -> np.ndarray:
    bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ModelFileError(f"{file} is no picture; name a folder of pictures")
    side = min(bgr.shape[:2])
    top, left = ((extent - side) // 2 for extent in bgr.shape[:2])
    square = bgr[top : top + side, left : left + side, ::-1]
    return cv2.resize(np.ascontiguousarray(square), (px, px), interpolation=cv2.INTER_AREA)


def _noise(px: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (_CROPS, 8, 8, 3), dtype=np.uint8)
    return np.stack([cv2.resize(c, (px, px), interpolation=cv2.INTER_CUBIC) for c in coarse])


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
