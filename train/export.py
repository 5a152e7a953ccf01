"""`python -m train export RUN --out FILE`: a run's network in a file small enough to ship."""

from collections import Counter
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from torch import Tensor

from tracker.geometry.hand_model import HandModel
from tracker.vision.network import NetworkConfig, S2HandNetwork, decode
from tracker.vision.network_files import read_header, read_network, write_network
from tracker.whole_file import make_folder, whole_file
from train.datasets.mixing import ordered_batches
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.errors import TrainingError
from train.run_folder import RunFolder

MOST_MIB: Final = 16.0
"""A clone carries the network, so it stays small."""
MIB: Final = 2**20
_COMPARED: Final = 16
"""Made-up hands on which the written network is compared with the run's."""
_COMPARED_SEED: Final = 900002


def export(
    run: Path,
    /,
    *,
    out: Path,
    half: bool = True,
    most_mib: float = MOST_MIB,
    hand_model: Path | None = None,
) -> None:
    """Write a run's network as one file, by default in half precision.

    A finished run's last network is taken, or its best one where that comes from the last stage
    too: a network that was best before colours were learned has none. An unfinished run gives its
    best.

    Args:
        run: Folder of a run, or a network's file.
        out: File to write, .safetensors.
        half: Store kernels and matrices as float16, for half the size.
        most_mib: Refuse to write more than this, MiB.
        hand_model: Hand the network was trained for; by default the open hand.
    """
    hand = HandModel.load(hand_model)
    source = chosen_network(run)
    network = read_network(source, hand)
    about = {**read_header(source).about, "from": source.name}
    size = write_checked(out, network, hand, about, half=half, most_mib=most_mib)
    moved_mm = largest_difference_mm(network, read_network(out, hand), hand)
    Console(stderr=True, highlight=False).print(
        f"{out}: {source.name} of step {about.get('step', 'unknown')}, {size / MIB:.1f} MiB; joints "
        f"of {_COMPARED} made-up hands differ by at most {moved_mm:.3f} mm from the original's",
        soft_wrap=True,
    )


def chosen_network(run: Path) -> Path:
    """Return the file of a run's network that is worth keeping; a file is returned as it is.

    Raises:
        TrainingError: the folder holds no network.
        ModelFileError: one of its networks is damaged.
    """
    if run.is_file():
        return run
    folder = RunFolder(run)
    best, last = (path if path.is_file() else None for path in (folder.best, folder.network))
    if best is not None and last is not None:
        stages = [read_header(path).about.get("stage") for path in (best, last)]
        return best if stages[0] == stages[1] else last
    found = last or best
    if found is None:
        raise TrainingError(
            f"{run} holds no network; give the folder of a run that was measured at least once, or "
            "a .safetensors file"
        )
    return found


def write_checked(
    out: Path,
    network: S2HandNetwork,
    hand: HandModel,
    about: dict[str, str],
    *,
    half: bool = True,
    most_mib: float = MOST_MIB,
) -> int:
    """Write a network unless its file would be too large; return its bytes.

    Raises:
        TrainingError: it would be too large; the message says which part is.
        OutputError: the file cannot be written.
    """
    make_folder(out.parent)
    with whole_file(out) as partial:
        write_network(partial, network, hand, about, half=half)
        size = partial.stat().st_size
        if size > most_mib * MIB:
            raise _too_large(out, network, size, half=half, most_mib=most_mib)
    return size


def check_size(config: NetworkConfig, hand: HandModel, most_mib: float = MOST_MIB) -> None:
    """Refuse a network, before it is trained, that would be too large in half precision.

    Raises:
        TrainingError: its tensors alone are too large; the message says which part is.
    """
    network = S2HandNetwork(config.for_hand(hand))
    size = sum(_stored_bytes(value) for value in network.state_dict().values())
    if size > most_mib * MIB:
        raise _too_large(Path("the export"), network, size, half=True, most_mib=most_mib)


def _stored_bytes(value: Tensor) -> int:
    return value.numel() * (2 if value.ndim > 1 else value.element_size())


def _too_large(
    out: Path, network: S2HandNetwork, size: int, *, half: bool, most_mib: float
) -> TrainingError:
    parts: Counter[str] = Counter()
    for name, value in network.state_dict().items():
        parts[name.partition(".")[0]] += value.numel()
    heavy, count = parts.most_common(1)[0]
    advice = "choose a smaller --network.encoder" if half else "store it with --half"
    return TrainingError(
        f"{out} would have {size / MIB:.1f} MiB, more than {most_mib:g}; its {heavy} has "
        f"{count / parts.total():.0%} of the numbers: {advice}, or allow more with --most-mib"
    )


@torch.no_grad()
def largest_difference_mm(a: S2HandNetwork, b: S2HandNetwork, hand: HandModel) -> float:
    """Return how far apart, at most, two networks put a joint from the wrist, mm."""
    side = a.config.input_px
    hands = SyntheticHands(SyntheticConfig(side, seed=_COMPARED_SEED, count=_COMPARED))
    (batch,) = ordered_batches(hands, batch=_COMPARED, hw_px=side)
    first, second = (decode(n.eval()(batch.rgb, batch.K), hand).joints for n in (a, b))
    moved = (first - first[:, :1]) - (second - second[:, :1])
    return 1000 * float(moved.norm(dim=-1).max())
