"""`python -m train evaluate`: the paper's table for a network, on any labelled data set."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from rich.console import Console
from rich.progress import Progress

from tracker.geometry.hand_model import HandModel
from tracker.vision.network_files import read_header
from train.dataset_joints import MANO, RULE_IN_WORDS, JointRule, rule_for
from train.datasets import open_dataset
from train.datasets.mixing import ordered_batches
from train.datasets.sample import Dataset, DatasetError
from train.errors import TrainingError
from train.evaluate_crops import BoxRegions, Crop, crop_in_words
from train.evaluate_measures import Arrays, measured, summary
from train.evaluate_report import Evaluation, report, write_evaluation
from train.predictor import (
    DeviceName,
    MeanHandPredictor,
    NetworkPredictor,
    Predictor,
    pick_device,
)
from train.progress import counting_progress
from train.sources import completed_words

Baseline = Literal["mean-hand"]
_SYNTHETIC_PX: Final = 224
_MANO_SETS: Final = ("freihand", "ho3d")


def evaluate(
    *,
    data: str,
    weights: Path | None = None,
    baseline: Baseline | None = None,
    out: Path | None = None,
    hand_model: Path | None = None,
    crop: Crop = "keypoints",
    joints: Literal["auto", "own", "freihand", "ho3d"] = "auto",
    batch: int = 32,
    device: DeviceName = "auto",
) -> None:
    """Print AUC, MPJPE, MPVPE and F-scores of a network on labelled pictures, aligned and not.

    Args:
        data: Data set in words, e.g. "freihand:DIR,split=evaluation" or "synthetic,seed=5,count=512".
        weights: Network that a run exported.
        baseline: Measure the mean hand too, which needs no picture; alone, if no weights are given.
        out: JSON file to write.
        hand_model: Hand file the network was trained for; by default the open hand.
        crop: Where the hand is: around the data set's keypoints, or in the box it gives.
        joints: Which points of the hand are its joints; auto takes the data set's for MANO hands.
        batch: Pictures at a time.
        device: Where to compute.
    """
    hand = HandModel.load(hand_model)
    subject = _subject(hand, _kind(data), joints, weights, baseline, pick_device(device))
    words = completed_words(_with_surface(data), subject.side, hand_model)
    evaluation = _evaluation(subject, _labelled_set(words, crop), data, crop, weights, batch)
    report(Console(), evaluation, {} if weights is None else read_header(weights).about)
    if out is not None:
        write_evaluation(out, evaluation)


@dataclass(frozen=True)
class _Subject:
    """What is measured, and how its hands are to be read."""

    hand: HandModel
    rule: JointRule
    one_mesh: bool
    """The truth's vertices are those of this hand."""
    predictors: Mapping[str, Predictor]
    side: int
    """Of the crops, pixels."""


def _subject(
    hand: HandModel,
    kind: str,
    joints: Literal["auto", "own", "freihand", "ho3d"],
    weights: Path | None,
    baseline: Baseline | None,
    device: torch.device,
) -> _Subject:
    rule: JointRule = rule_for(kind, hand) if joints == "auto" else joints
    predictors: dict[str, Predictor] = {}
    side = _SYNTHETIC_PX
    if weights is not None:
        network = NetworkPredictor.read(weights, hand, rule, device)
        predictors["network"], side = network, network.network.config.input_px
    if baseline is not None:
        predictors[baseline] = MeanHandPredictor(hand, rule)
    if not predictors:
        raise TrainingError("there is nothing to measure; give --weights, or --baseline mean-hand")
    one_mesh = kind not in _MANO_SETS or hand.model_id == MANO
    return _Subject(hand, rule, one_mesh, predictors, side)


def _evaluation(
    subject: _Subject, dataset: Dataset, data: str, crop: Crop, weights: Path | None, batch: int
) -> Evaluation:
    with counting_progress(Console(stderr=True)) as progress:
        numbers, broken, count = measure(
            subject.predictors,
            dataset,
            subject.side,
            batch=batch,
            one_mesh=subject.one_mesh,
            progress=progress,
        )
    return Evaluation(
        data=data,
        weights=None if weights is None else str(weights),
        weights_sha256=None
        if weights is None
        else hashlib.sha256(weights.read_bytes()).hexdigest(),
        hand=subject.hand.model_id,
        joints=RULE_IN_WORDS[subject.rule],
        crop=crop_in_words(data, crop),
        surface=_surface_in_words(one_mesh=subject.one_mesh),
        samples=count,
        broken=broken,
        numbers=numbers,
    )


def _kind(data: str) -> str:
    return data.partition(":")[0].partition(",")[0]


def measure(
    predictors: Mapping[str, Predictor],
    dataset: Dataset,
    side: int,
    *,
    batch: int = 32,
    one_mesh: bool = True,
    progress: Progress | None = None,
) -> tuple[dict[str, dict[str, float]], dict[str, str], int]:
    """Measure predictors on every sample of a data set.

    Args:
        predictors: by name.
        dataset: a finite one.
        side: of the crops, pixels.
        batch: samples at a time.
        one_mesh: see `evaluate_measures.measured`.
        progress: is told of every sample.

    Returns:
        Each predictor's numbers by name, what is wrong with the samples left out, and how many
        were measured.

    Raises:
        DatasetError: every sample is broken.
    """
    broken: dict[str, str] = {}
    parts: dict[str, list[Arrays]] = {name: [] for name in predictors}
    task = None if progress is None else progress.add_task(dataset.name, total=len(dataset))
    for made in ordered_batches(dataset, batch=batch, hw_px=side, broken=broken):
        for name, predictor in predictors.items():
            parts[name].append(measured(predictor(made), made, one_mesh=one_mesh))
        if progress is not None and task is not None:
            progress.advance(task, len(made))
    if len(broken) == len(dataset):
        reason = next(iter(broken.values()), "it has no samples")
        raise DatasetError(f"nothing of {dataset.name} can be measured: {reason}")
    return (
        {name: summary(found) for name, found in parts.items()},
        broken,
        len(dataset) - len(broken),
    )


def _labelled_set(words: str, crop: Crop) -> Dataset:
    dataset = open_dataset(words)
    if len(dataset) > 2**31:
        raise DatasetError(f"data {words!r} has no end; add a count, as in count=512")
    return BoxRegions(dataset) if crop == "box" else dataset


def _with_surface(data: str) -> str:
    """Ask FreiHAND for the annotated surfaces where they lie beside its joints."""
    first, *options = data.split(",")
    kind, _, folder = first.partition(":")
    split = next((o.partition("=")[2] for o in options if o.startswith("split=")), "training")
    asked = any(option.startswith("with_vertices=") for option in options)
    if kind != "freihand" or asked or not (Path(folder) / f"{split}_verts.json").is_file():
        return data
    return f"{data},with_vertices=yes"


def _surface_in_words(*, one_mesh: bool) -> str:
    if one_mesh:
        return "vertex by vertex"
    return (
        "the truth is another mesh than the hand's: no vertex errors, and F-scores after the "
        "joints' alignment"
    )
