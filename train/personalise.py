"""`python -m train personalise clip.mp4`: a network for one person, from a video without labels."""

import math
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tracker.vision.model_files import shipped_network
from train.errors import TrainingError
from train.personalise_fit import FitConfig
from train.personalise_run import (
    NETWORK_NAME,
    NUMBERS_NAME,
    SHEET_NAME,
    Outcome,
    PersonaliseConfig,
    run,
)


def personalise(
    clip: Path,
    /,
    *,
    out: Path | None = None,
    minutes: float = 5.0,
    network: Path | None = None,
    hand_model: Path | None = None,
    fov: float | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> int:
    """Make a network for one person from a video of their hands; nobody has to label anything.

    Film one person's hands for 10 to 60 seconds: near, in the light you will use, fingers moving,
    palm and back turned to the camera. The network learns this hand's shape and colours, and where
    its joints are in such pictures. Every fifth block of the video is kept aside to measure on.

    Written are personal.safetensors, which every program takes with --network, before_after.png and
    numbers.json. A network that is no better on what was kept aside is not written. Ctrl-C ends the
    learning and keeps what was learned. Of that, the network gets as much as leaves made-up hands of
    other people no worse (WiSE-FT, Wortsman et al. 2022); numbers.json says how much.

    Args:
        clip: Video of one person's hands, one hand or both.
        out: Folder for the results; by default the clip's name with -personal, here.
        minutes: How long it may take, about; one is enough to see whether it helps.
        network: Network to start from; by default the one that ships with Handloom.
        hand_model: Hand file the network was trained for; by default the open hand.
        fov: Angle across the longer side of the video in degrees, if you know it; else 60.
        steps: Learn for exactly so many steps instead of minutes: the same result on every run of one machine.
        seed: Of everything random.
    """
    console = Console(stderr=True, highlight=False)
    config = PersonaliseConfig(
        clip=clip,
        out=Path(f"{clip.stem}-personal") if out is None else out,
        network=_start(network),
        minutes=minutes,
        steps=steps,
        hand_model=hand_model,
        fov_deg=fov,
        fit=FitConfig(seed=seed),
    )
    try:
        outcome = run(config, console)
    except KeyboardInterrupt:
        console.print("interrupted; nothing was learned yet, and no network was written")
        return 130
    return report(config, outcome, console)


def report(config: PersonaliseConfig, outcome: Outcome, console: Console) -> int:
    """Print the numbers and what to do next; return the exit status."""
    if outcome.clip.others:
        console.print(outcome.clip.others, markup=False)
    console.print(_table(outcome))
    files = f"{config.out / SHEET_NAME} and {config.out / NUMBERS_NAME}"
    if not outcome.better:
        console.print(
            f"the network is no better on the pictures kept aside, so it was not written; see {files}. "
            "Give it more --minutes, or a longer and clearer clip",
            markup=False,
            soft_wrap=True,
        )
        return 1
    if outcome.stopped:
        console.print(f"stopped after {outcome.steps} steps; what was learned is kept")
    network = config.out / NETWORK_NAME
    hand = "" if config.hand_model is None else f" --hand-model {config.hand_model}"
    console.print(
        f"look at {files}, then use it:\n"
        f"  python -m apps.webcam --mode fused --network {network}{hand}\n"
        f"  python -m apps.video_to_mesh CLIP --mode fused --network {network}{hand}",
        markup=False,
        soft_wrap=True,
    )
    return 0


def _table(outcome: Outcome) -> Table:
    title = (
        f"{outcome.measured_on} hands kept aside; learned from {outcome.learned_from} others, "
        f"{outcome.share:.0%} of it kept"
    )
    table = Table("", "before", "after", "change", title=title)
    before, after = outcome.before, outcome.after
    rows = [
        ("joints, % of the hand's box", before.reprojection_percent, after.reprojection_percent, 2),
        ("colours inside the hand, L1", before.texture_l1, after.texture_l1, 4),
        ("same pixels for both", before.texture_l1_common, after.texture_l1_common, 4),
        ("made-up hands of others, PA mm", *outcome.others_mm, 2),
    ]
    for name, a, b, digits in rows:
        if math.isfinite(a + b):
            table.add_row(name, f"{a:.{digits}f}", f"{b:.{digits}f}", f"{100 * (b / a - 1):+.0f} %")
    return table


def _start(network: Path | None) -> Path:
    """Return the network to start from.

    Raises:
        TrainingError: none was named, and none ships here.
    """
    start = network or shipped_network()
    if start is None:
        raise TrainingError("no trained network ships here; name one with --network")
    return start
