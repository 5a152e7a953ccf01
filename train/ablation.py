"""`python -m train ablation`: the paper's tables 4 and 5 and its figure 4, on data that anyone has."""

import json
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from tracker.geometry.hand_model import HandModel
from tracker.whole_file import write_json
from train.ablation_rows import JOINT, Budget, Row, rows
from train.ablation_rows import Table as TableNumber
from train.checkpoints import read_checkpoint
from train.config import TrainConfig
from train.distributed import Processes, process_group
from train.evaluate import measure
from train.evaluate_report import PAPER_COLUMNS
from train.keypoint_curves import draw_curves, keypoint_errors, shares_within
from train.loop import fit
from train.predictor import MeanHandPredictor, NetworkPredictor, pick_device
from train.presets import PRESETS, Preset
from train.run_folder import RunFolder
from train.sources import validation_set
from train.trainer import Trainer

_BUDGET: Final = Budget()
_TITLES: Final = {"4": "Table 4: losses", "5": "Table 5: keypoints"}
Result = dict[str, Any]
"""A row's numbers by measure, those of the mean hand on the same pictures, and the keypoints' curves
where it has a 2D branch."""


def ablation(
    *,
    out: Path,
    tables: Literal["4", "5", "both"] = "both",
    preset: Preset = "cpu",
    config: Path | None = None,
    budget: Budget = _BUDGET,
) -> int:
    """Train a network for every row of the paper's ablations, measure them, print the tables.

    A row that is done is not done again, and one that was interrupted goes on where it stopped:
    call it again with the same --out. It runs on several processes as `fit` does.

    Args:
        out: Folder of all runs and results.
        tables: Which; 4 is about losses (and draws figure 4), 5 about keypoints.
        preset: Network and everything that the rows do not change.
        config: The same, from the config.json of a run.
        budget: What every row gets.
    """
    base = PRESETS[preset] if config is None else TrainConfig.from_json(config.read_text("utf-8"))
    numbers: tuple[TableNumber, ...] = ("4", "5") if tables == "both" else (tables,)
    console = Console(stderr=True, highlight=False)
    with process_group(base.device) as processes:
        for number in numbers:
            results: dict[str, Result] = {}
            for row in rows(number, base, budget):
                found = _result(row, out / f"{number}-{row.name}", processes, console)
                if found is None:
                    return 130
                results[row.words] = found
            if processes.first:
                _report(number, out, results, budget)
    return 0


def _result(row: Row, path: Path, processes: Processes, console: Console) -> Result | None:
    """Return what is known of a row, after training it if need be; None if it was interrupted."""
    file = path / "result.json"
    if not processes.any(not file.exists()):
        return json.loads(file.read_text("utf-8"))
    if processes.first:
        console.print(f"[bold]{row.words}[/]")
    before = _joint_begins(row.config)
    curves: Result = {}
    if before is not None:
        if not _fitted(row, path, processes, console, before):
            return None
        if processes.first:
            curves |= _curves(row, path, "before")
    if not _fitted(row, path, processes, console, None):
        return None
    result: Result = {}
    if processes.first:
        curves |= _curves(row, path, "after") if before is not None else {}
        result = {**_measured(row, path), "curves": curves}
        write_json(file, result)
    return result


def _joint_begins(config: TrainConfig) -> int | None:
    """Return the step at which 2D and 3D branch meet; None without a 2D branch."""
    if not config.stages[-1].keypoints:
        return None
    assert config.stages[-1].name == JOINT
    return config.timetable().ends[-2]


def _fitted(
    row: Row, path: Path, processes: Processes, console: Console, until: int | None
) -> bool:
    """Train a row to a step, or its end; tell whether it got there."""
    folder = RunFolder(path)
    known = not processes.any(not folder.config.exists())
    if known:
        folder, config = RunFolder.resume(path)
        _check_same(config, row.config, path)
    else:
        processes.first_does(lambda: RunFolder.start(path, row.config))
    result = fit(folder, row.config, resume=known, until=until, console=console)
    return result.finished or (until is not None and result.step >= until)


def _check_same(found: TrainConfig, wanted: TrainConfig, path: Path) -> None:
    if found != wanted:
        raise ValueError(
            f"{path} holds a run under another configuration; choose another --out, or give the "
            "same options as before"
        )


def _measured(row: Row, path: Path) -> dict[str, dict[str, float]]:
    """Return the numbers of a row's last network, and of the mean hand, on what it never saw."""
    hand = HandModel.load(row.config.hand_model)
    device = pick_device(row.config.device)
    predictors = {
        "numbers": NetworkPredictor.read(path / "network.safetensors", hand, "own", device),
        "mean hand": MeanHandPredictor(hand),
    }
    side = row.config.network.input_px
    return measure(predictors, validation_set(row.config), side, batch=64)[0]


def _curves(row: Row, path: Path, when: str) -> dict[str, dict[str, Any]]:
    """Return shares of joints by distance for each source of keypoints, at a row's checkpoint."""
    hand = HandModel.load(row.config.hand_model)
    trainer = Trainer(row.config, hand, pick_device(row.config.device))
    trainer.load_state(read_checkpoint(path / "checkpoint.pt")["trainer"])
    errors = keypoint_errors(trainer, validation_set(row.config), row.config.batch)
    return {
        name if name == "detected" else f"{name}, {when}": {
            "mean_px": float(found.mean()),
            "median_px": float(np.median(found)),
            "within_px": shares_within(found),
        }
        for name, found in errors.items()
    }


def _report(number: TableNumber, out: Path, results: dict[str, Result], budget: Budget) -> None:
    """Print a table, and write it and what was drawn."""
    words = f"{budget.steps} steps of {budget.batch}; {budget.held_out}; errors in mm"
    sheet = Table("", *PAPER_COLUMNS, "2D px", title=f"{_TITLES[number]} ({words})")
    found = {name: {k: r[k] for k in ("numbers", "curves")} for name, r in results.items()}
    last = list(results.values())[-1]
    table = {"mean hand": {"numbers": last["mean hand"]}, **found}
    for name, row in table.items():
        numbers = row["numbers"]
        keys = (*(f"official_{key}" for key in PAPER_COLUMNS.values()), "uv_px")
        sheet.add_row(name, *(f"{numbers[key]:.3f}" if key in numbers else "" for key in keys))
    Console().print(sheet)
    write_json(out / f"table{number}.json", table)
    if last["curves"]:
        draw_curves(
            out / "figure4.png",
            {name: curve["within_px"] for name, curve in last["curves"].items()},
            {name: curve["mean_px"] for name, curve in last["curves"].items()},
            "Keypoints of held-out made-up hands",
        )
