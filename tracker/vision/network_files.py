"""Read and write trained networks, and read encoder weights that others trained.

A network's file is a safetensors file: numbers only, no code. Its metadata holds the configuration
and the hand it was trained for, since pose coefficients and vertex colours mean nothing on another
hand. Everything is compared before a tensor is read.
"""

import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from tracker.errors import ModelFileError
from tracker.geometry.hand_model import HandModel
from tracker.vision.efficientnet import EfficientNet, timm_names
from tracker.vision.network import NetworkConfig, S2HandNetwork
from tracker.whole_file import whole_file

FORMAT: Final = "handloom-network-1"
_MAX_FILE_BYTES: Final = 512 * 2**20  # the largest network, b3, has 60 MB
_NAMES_SHOWN: Final = 4
_PREFIXES: Final = ("module.", "encoder.")
_NESTS: Final = ("state_dict", "model")
"""Where training programs keep the weights inside a checkpoint."""
_DAMAGE: Final = (
    *(SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile),
    *(EOFError, OSError, RuntimeError, ValueError, LookupError, TypeError),
)
"""What safetensors and torch raise on files that are damaged, hostile or of another kind."""


@dataclass(frozen=True)
class NetworkHeader:
    """What a network's file says of itself."""

    config: NetworkConfig
    model_id: str
    """Name of the hand model the network was trained for."""
    sha256: str
    """Hash of that hand model's file."""
    about: Mapping[str, str]
    """What its maker noted, e.g. the training run."""


def write_network(
    path: Path | str,
    network: S2HandNetwork,
    hand: HandModel,
    about: Mapping[str, str] | None = None,
    *,
    half: bool = False,
) -> None:
    """Write a network that was trained for `hand`; an existing file is replaced at the end.

    `half` stores matrices and kernels as float16, for half the size; `read_network` gives them back
    as float32, as always. Statistics and biases, which are few, keep their precision.

    Raises:
        OutputError: the file cannot be written.
        ValueError: the network colours another number of vertices than the hand has.
    """
    if problem := _misfit(network.config, hand):
        raise ValueError(problem)
    metadata = {
        "format": FORMAT,
        "config": network.config.to_json(),
        "model_id": hand.model_id,
        "sha256": hand.sha256,
        "about": json.dumps(dict(about or {})),
    }
    tensors = {
        name: _halved(value).contiguous().cpu() if half else value.contiguous().cpu()
        for name, value in network.state_dict().items()
    }
    with whole_file(Path(path)) as partial:
        partial.write_bytes(save(tensors, metadata))


def _halved(value: Tensor) -> Tensor:
    """Return a matrix or kernel as float16 where its numbers have a place there."""
    if value.ndim < 2 or not value.is_floating_point():
        return value
    stored = value.half()
    return stored if stored.isfinite().all() else value


def read_header(path: Path | str) -> NetworkHeader:
    """Read what a network's file says of itself, no tensors.

    Raises:
        ModelFileError: the file is missing, damaged or not a network of ours.
    """
    file = _checked_file(path, "network")
    try:
        with safe_open(file, "pt") as content:
            found = content.metadata() or {}
        if found.get("format") != FORMAT:
            raise ValueError(f"its format is {found.get('format')!r}, not {FORMAT!r}")
        config = NetworkConfig.from_json(found["config"])
        about = json.loads(found["about"])
        if not isinstance(about, dict):
            raise ValueError("its notes are no JSON object")
        notes = {str(name): str(value) for name, value in about.items()}
        return NetworkHeader(config, found["model_id"], found["sha256"], notes)
    except _DAMAGE as problem:
        raise _refusal(file, "network", _reason(problem)) from problem


def read_network(path: Path | str, hand: HandModel) -> S2HandNetwork:
    """Read a network for use with `hand`, on the processor and in evaluation mode.

    Raises:
        ModelFileError: the file is missing, damaged, not a network of ours, or was trained for
            another hand; in one line.
    """
    header = read_header(path)
    if (header.model_id, header.sha256) != (hand.model_id, hand.sha256):
        raise ModelFileError(
            f"network {str(path)!r} was trained for the hand {header.model_id} "
            f"({header.sha256[:12]}), but the hand in use is {hand.model_id} ({hand.sha256[:12]}); "
            f"give --hand-model the file it was trained for, or another network"
        )
    if problem := _misfit(header.config, hand):
        raise _refusal(Path(path), "network", problem)
    network = S2HandNetwork(header.config)
    _load(network, Path(path), "network", lambda file: _read_safetensors(file, network))
    return network.eval()


def load_encoder_weights(encoder: nn.Module, path: Path | str) -> None:
    """Fill an encoder with weights from a local file, e.g. timm's ImageNet weights.

    The file is a safetensors file or a PyTorch state dict (read with `weights_only`), with timm's
    parameter names (or, for an EfficientNet, those of the package efficientnet_pytorch), bare or
    behind `module.` and `encoder.`. Its classifier is left out.

    Raises:
        ModelFileError: the file is missing, unsafe or damaged, or its names or shapes are not the
            encoder's; the message names the first ones.
    """
    file = _checked_file(path, "encoder weights")
    _load(encoder, file, "encoder weights", lambda file: _encoder_part(_read_any(file), encoder))


def _misfit(config: NetworkConfig, hand: HandModel) -> str:
    vertices = hand.v_template.shape[0]
    if config.vertices == vertices:
        return ""
    return f"it colours {config.vertices} vertices, the hand {hand.model_id} has {vertices}"


def _load(
    module: nn.Module, file: Path, kind: str, read: Callable[[Path], Mapping[str, Tensor]]
) -> None:
    try:
        found = read(file)
        _check_layout({name: tuple(value.shape) for name, value in found.items()}, module)
        if broken := [name for name, value in found.items() if not value.isfinite().all()]:
            raise ValueError(f"{_listed(broken)} has values that are not finite")
        # A counter that only matters for batch norms without momentum is not in every file.
        module.load_state_dict(found, strict=False)
    except _DAMAGE as problem:
        raise _refusal(file, kind, _reason(problem)) from problem


def _read_safetensors(file: Path, module: nn.Module) -> dict[str, Tensor]:
    """Read the tensors after their names and shapes were compared with the module's."""
    with safe_open(file, "pt") as content:
        names: list[str] = list(content.keys())
        _check_layout({name: tuple(content.get_slice(name).get_shape()) for name in names}, module)
    return load_file(file)


def _check_layout(shapes: Mapping[str, tuple[int, ...]], module: nn.Module) -> None:
    """Raise ValueError with the first names or shapes that differ from the module's."""
    state = module.state_dict()
    wanted = {name: tuple(value.shape) for name, value in state.items() if not _is_counter(name)}
    given = {name: shape for name, shape in shapes.items() if not _is_counter(name)}
    if missing := sorted(set(wanted) - set(given)):
        raise ValueError(f"it lacks {_listed(missing)}")
    if strange := sorted(set(given) - set(wanted)):
        raise ValueError(f"it holds {_listed(strange)}, which the network does not know")
    other = [
        f"{name} is {given[name]} instead of {wanted[name]}"
        for name in wanted
        if given[name] != wanted[name]
    ]
    if other:
        raise ValueError(_listed(other))


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _read_any(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        start = stream.read(9)
    # A safetensors file begins with the length of its header, eight bytes, and the header's brace.
    if start[8:] == b"{":
        return load_file(file)
    content = torch.load(file, map_location="cpu", weights_only=True)
    for nest in _NESTS:
        if isinstance(content, dict) and isinstance(content.get(nest), dict):
            content = content[nest]
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not a state dict")
    return content


def _encoder_part(found: Mapping[str, Any], encoder: nn.Module) -> dict[str, Tensor]:
    """Return the encoder's own tensors under their bare names."""
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    for prefix in _PREFIXES:
        inside = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        tensors = inside or tensors
    if isinstance(encoder, EfficientNet):
        tensors = timm_names(encoder, tensors)
    foreign: tuple[str, ...] = getattr(encoder, "foreign_keys", ())
    return {name: value for name, value in tensors.items() if not name.startswith(foreign)}


def _checked_file(path: Path | str, kind: str) -> Path:
    file = Path(path)
    try:
        size = file.stat().st_size
    except (OSError, ValueError) as problem:  # ValueError: a zero byte in the name.
        raise _refusal(file, kind, _reason(problem)) from problem
    if not file.is_file():
        raise _refusal(file, kind, "it is not a file")
    if size > _MAX_FILE_BYTES:
        found = f"it has {size} bytes, more than any network ({_MAX_FILE_BYTES})"
        raise _refusal(file, kind, found)
    return file


def _reason(problem: BaseException) -> str:
    text = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return str(text).splitlines()[0][:300]


def _refusal(file: Path, kind: str, reason: str) -> ModelFileError:
    advice = {
        "network": "give a .safetensors file that `python -m train` exported",
        "encoder weights": "give timm's weights for the configured encoder as .safetensors or .pth",
    }
    return ModelFileError(f"{kind} {str(file)!r} cannot be used: {reason}; {advice[kind]}")
