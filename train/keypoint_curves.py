"""Figure 4 of the paper: how many joints of three sources of 2D keypoints lie how near to the truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float

from tracker.whole_file import whole_file
from train.datasets.mixing import ordered_batches
from train.datasets.sample import Dataset
from train.objective import LOSS_PX
from train.trainer import Trainer

FARTHEST_PX: Final = 40
"""End of the curves, in pixels of a 224 pixel crop."""


@torch.no_grad()
def keypoint_errors(
    trainer: Trainer, dataset: Dataset, batch: int
) -> dict[str, Float[np.ndarray, " n"]]:
    """Return the distances of keypoints to the true ones, by source, in pixels of a 224 pixel crop.

    Args:
        trainer: with both branches.
        dataset: a finite one that knows the truth, and a detector's keypoints.
        batch: pictures at a time.
    """
    side = trainer.config.network.input_px
    found: dict[str, list[np.ndarray]] = {}
    trainer.networks.eval()
    for made in ordered_batches(dataset, batch=batch, hw_px=side):
        here = made.to(trainer.device)
        hand = trainer.objective.predict(trainer.best_hand_network, here)
        stacks = trainer.objective.predict_keypoints(trainer.networks, here)
        sources = {"detected": here.uv, "projected": hand.uv, "2D branch": stacks[-1].float()}
        for name, uv in sources.items():
            error = (uv - here.uv_true).norm(dim=-1) * (LOSS_PX / side)
            found.setdefault(name, []).append(error.cpu().numpy().ravel())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def shares_within(errors: Float[np.ndarray, " n"]) -> list[float]:
    """Return which part of the errors is at most 0, 1, 2 ... `FARTHEST_PX` pixels."""
    return [float((errors <= px).mean()) for px in range(FARTHEST_PX + 1)]


def draw_curves(
    path: Path, curves: Mapping[str, list[float]], means: Mapping[str, float], title: str
) -> None:
    """Draw a figure with one curve for each source.

    Raises:
        OutputError: it cannot be written.
    """
    # Matplotlib takes a second to import, and only this needs it.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name, shares in curves.items():
        style = "--" if "before" in name else "-"
        axes.plot(range(len(shares)), shares, style, label=f"{name} (mean {means[name]:.1f} px)")
    axes.set(
        xlabel="distance to the true joint, pixels of a 224 pixel crop",
        ylabel="joints within",
        xlim=(0, FARTHEST_PX),
        ylim=(0, 1),
        title=title,
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=150)
