"""Training on the processor: one step at the paper's size, its parts, its memory, its pictures.

`non_encoder_share` is what a joint step spends outside the encoder: heads, hand model, rasteriser,
every loss, their backward passes and the optimiser. The 2D branch is another network, larger than
the encoder, and only trains; it is measured apart.
"""

import dataclasses
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks import training_parts
from benchmarks.metric import Metric, alternating_ms
from benchmarks.synthetic import drawing_speed
from tracker.geometry.hand_model import HandModel
from train.batch import TrainBatch
from train.config import TrainConfig
from train.keypoint_network import KeypointNetwork
from train.presets import PRESETS
from train.sources import training_stream
from train.stages import JOINT, Stage, Term
from train.trainer import Trainer

_BATCH: Final = 32
_FEW: Final = 2
"""Pictures for the 2D branch, which is too slow here for a whole batch."""
_RSS_GOAL_GB: Final = 5.0
_STEPS_FOR_RSS: Final = 2
_OF_THE_2D_BRANCH: Final[frozenset[Term]] = frozenset({"keypoints", "consistency"})


def run(quick: bool) -> list[Metric]:
    """Time the parts, then the whole step; ratios say how many times faster we are."""
    steps, drawing = _step(2 if quick else 7), drawing_speed(224, 3 if quick else 20)
    return [*training_parts.run(quick), *steps, peak_memory(), drawing, _supply(steps, drawing)]


def joint_config() -> TrainConfig:
    """Return the paper's last stage without its 2D branch: EfficientNet-b0 at 224 pixels."""
    terms: tuple[Term, ...] = tuple(term for term in JOINT if term not in _OF_THE_2D_BRANCH)
    stage = Stage("joint", terms, 1000.0, lr=2.5e-4)
    paper = PRESETS["paper"]
    return dataclasses.replace(
        paper, stages=(stage,), batch=_BATCH, epoch_samples=_BATCH, workers=0, device="cpu"
    )


def a_step(config: TrainConfig) -> tuple[Trainer, TrainBatch, Callable[[], object]]:
    """Return a trainer, a batch, and a function that trains on it once."""
    trainer = Trainer(config, HandModel.load())
    with training_stream(config, 0) as stream:
        batch = next(stream)
    return trainer, batch, lambda: trainer.advance(batch)


def _step(rounds: int) -> list[Metric]:
    trainer, batch, step = a_step(joint_config())
    encoder = trainer.networks.hand.encoder

    def encode() -> None:
        encoder.zero_grad()
        torch.stack([part.mean() for part in encoder(batch.rgb)]).sum().backward()

    encoder_ms, step_ms = (float(np.median(t)) for t in alternating_ms([encode, step], rounds))
    branch_ms = _keypoint_branch_ms(batch)
    where = f"{_BATCH} images of {batch.rgb.shape[-1]} px"
    return [
        Metric(
            "training_step_ms",
            step_ms,
            "ms",
            reference=f"EfficientNet-b0 alone, forward and backward, {where}, ms",
            reference_value=encoder_ms,
        ),
        Metric("training_images_per_s", _BATCH * 1e3 / step_ms, "1/s", better="higher"),
        Metric(
            "non_encoder_share",
            1 - encoder_ms / step_ms,
            "",
            reference="goal, of the step without the 2D branch",
            reference_value=0.25,
        ),
        Metric(
            "keypoint_branch_ms_per_image",
            branch_ms,
            "ms",
            reference="the rest of the joint step, ms per image",
            reference_value=step_ms / _BATCH,
        ),
    ]


def _keypoint_branch_ms(batch: TrainBatch) -> float:
    """Return the published 2D branch's time for a picture, forward and backward."""
    branch = KeypointNetwork().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    pictures = batch.rgb[:_FEW]
    (times,) = alternating_ms([lambda: branch(pictures).sum().backward()], 2)
    return float(np.median(times)) / _FEW


def _supply(steps: list[Metric], drawing: Metric) -> Metric:
    """Return how many times faster one core makes pictures than all cores train on them."""
    trained_per_s = next(m.value for m in steps if m.key == "training_images_per_s")
    return Metric(
        "synthetic_images_per_trained_image",
        drawing.value / trained_per_s,
        "",
        reference="goal",
        reference_value=15.0,
        better="higher",
    )


def peak_memory() -> Metric:
    """Return the memory of a process that does nothing but a few steps."""
    program = "from benchmarks.training import print_peak_memory; print_peak_memory()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return Metric(
        "training_rss_gb",
        float(done.stdout.split()[-1]),
        "GB",
        reference=f"goal, {_BATCH} images of 224 px",
        reference_value=_RSS_GOAL_GB,
    )


def print_peak_memory() -> None:
    """Train a few steps and print this process's peak memory in GB (10^9 bytes)."""
    step = a_step(joint_config())[2]
    for _ in range(_STEPS_FOR_RSS):
        step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)
