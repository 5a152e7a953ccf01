"""An evaluation's numbers with everything that must be said beside them: tables and a JSON file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tracker.whole_file import write_json
from train.evaluate_measures import ALIGNMENTS

PAPER_COLUMNS: Final = {
    "AUC_J": "auc_j",
    "MPJPE": "mpjpe_mm",
    "AUC_V": "auc_v",
    "MPVPE": "mpvpe_mm",
    "F5": "f5",
    "F15": "f15",
}
"""The columns of the paper's tables; errors are in mm here, in cm there."""


@dataclass(frozen=True)
class Evaluation:
    """Numbers, and all that must be said beside them."""

    data: str
    weights: str | None
    weights_sha256: str | None
    hand: str
    joints: str
    """How the predicted joints are read from the hand."""
    crop: str
    """What part of each picture the network saw."""
    surface: str
    samples: int
    """Pictures measured."""
    broken: Mapping[str, str]
    """Samples left out, and why."""
    numbers: Mapping[str, Mapping[str, float]]
    """For `network` and `mean-hand`, the measures of `evaluate_measures` by name."""


def report(console: Console, evaluation: Evaluation, about: Mapping[str, str]) -> None:
    """Print the paper's table, then one with the other alignments and pixels."""
    console.print(paper_table(evaluation))
    console.print(other_table(evaluation))
    notes = {
        "network": evaluation.weights or "none",
        **({"trained": ", ".join(f"{k} {v}" for k, v in about.items())} if about else {}),
        "hand": evaluation.hand,
        "joints": evaluation.joints,
        "surface": evaluation.surface,
        "crop": evaluation.crop,
        "broken": f"{len(evaluation.broken)} samples left out",
    }
    for name, text in notes.items():
        console.print(f"{name:8} {text}", markup=False, highlight=False, soft_wrap=True)
    for problem in evaluation.broken.values():
        console.print(f"broken: {problem}", markup=False, highlight=False, soft_wrap=True)


def paper_table(evaluation: Evaluation) -> Table:
    """Return the paper's columns, everything aligned as the official programs do."""
    title = f"{evaluation.data}, {evaluation.samples} pictures, Procrustes-aligned, errors in mm"
    sheet = Table("", *PAPER_COLUMNS, title=title)
    for name, numbers in evaluation.numbers.items():
        sheet.add_row(name, *(_cell(numbers, f"official_{key}") for key in PAPER_COLUMNS.values()))
    return sheet


def other_table(evaluation: Evaluation) -> Table:
    """Return the same measures after each other alignment, and distances in the picture."""
    sheet = Table("", "alignment", *PAPER_COLUMNS, title="Other alignments, errors in mm")
    for name, numbers in evaluation.numbers.items():
        for alignment in ALIGNMENTS[1:]:
            cells = [_cell(numbers, f"{alignment}_{key}") for key in PAPER_COLUMNS.values()]
            if any(cells):
                sheet.add_row(name, alignment, *cells)
        if "uv_px" in numbers:
            shares = "  ".join(
                f"{key.removeprefix('uv_within_')} {value:.1%}"
                for key, value in numbers.items()
                if key.startswith("uv_within")
            )
            sheet.caption = f"2D, {name}: mean {numbers['uv_px']:.2f} px of 224; within {shares}"
    return sheet


def _cell(numbers: Mapping[str, float], key: str) -> str:
    if key not in numbers:
        return ""
    return f"{numbers[key]:.2f}" if key.endswith("_mm") else f"{numbers[key]:.3f}"


def write_evaluation(out: Path, evaluation: Evaluation) -> None:
    """Write everything as JSON; what lay there before stays until the file is whole.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(out, asdict(evaluation))
