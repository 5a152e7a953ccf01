"""From a clip to a network for the person in it: read, learn, measure, write."""

import copy
import dataclasses
import hashlib
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tracker.geometry.hand_model import HandModel
from tracker.stop_request import StopRequest
from tracker.vision.network import S2HandNetwork
from tracker.vision.network_files import read_network, write_network
from tracker.whole_file import make_folder, write_json
from train.datasets.mixing import ordered_batches
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.objective import Objective
from train.personalise_clip import PersonClip, ReadConfig, held_out_blocks, read_person
from train.personalise_fit import FitConfig, PersonTrainer, pace_of
from train.personalise_measure import Measured, change_percent, compare, measure_others
from train.personalise_mix import between, share_to_keep
from train.personalise_network import (
    PersonStart,
    raw_size,
    said_shape,
    with_person,
)
from train.personalise_sheet import write_sheet
from train.progress import counting_progress

NETWORK_NAME: Final = "personal.safetensors"
SHEET_NAME: Final = "before_after.png"
NUMBERS_NAME: Final = "numbers.json"
_OTHERS: Final = 96
"""Made-up hands of other people that both networks are measured on."""
_OTHERS_SEED: Final = 900_001
_LEAST_SHARE: Final = 0.5
"""Of the time, for the learning, however long the reading took."""
_MEASURING_S: Final = 25.0
_MOST_BETA: Final = 2.0
_MOST_LOG_SCALE: Final = 0.3
"""Bounds of the person's first shape and size: beyond, the tracker's fits have gone astray."""


@dataclass(frozen=True)
class PersonaliseConfig:
    """What is asked for."""

    clip: Path
    out: Path
    """Folder for the results."""
    network: Path
    """The network to start from."""
    minutes: float = 5.0
    """For all of it, about."""
    steps: int | None = None
    """Learn for exactly so many steps instead."""
    hand_model: Path | None = None
    fov_deg: float | None = None
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        if not 0 < self.minutes <= 24 * 60:
            raise ValueError(f"--minutes must lie above 0, up to a day, found {self.minutes}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"--steps must be positive, found {self.steps}")
        if self.fov_deg is not None and not 5 <= self.fov_deg <= 160:
            raise ValueError(f"--fov must lie between 5 and 160 degrees, found {self.fov_deg}")


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    clip: PersonClip
    learned_from: int
    measured_on: int
    steps: int
    stopped: bool
    """Whether the user ended the learning early."""
    share: float
    """Of what was learned, how much is kept (`personalise_mix`)."""
    before: Measured
    after: Measured
    others_mm: tuple[float, float]
    """PA-MPJPE on made-up hands of others, before and after."""

    @property
    def better(self) -> bool:
        """Whether the network answers this person's unseen pictures better than before."""
        return self.after.reprojection_percent < self.before.reprojection_percent


def run(config: PersonaliseConfig, console: Console) -> Outcome:
    """Adapt a network to the person in a clip; write it, a contact sheet and the numbers.

    The network is only written if it is better on the pictures that were kept aside.

    Raises:
        HandloomError: the clip, the network or the folder cannot be used; in one line.
    """
    began_s = time.monotonic()
    hand = HandModel.load(None if config.hand_model is None else str(config.hand_model))
    before = read_network(config.network, hand)
    make_folder(config.out)  # now, so that a mistake is told before the work
    clip = _read(config, before.config.input_px, console)
    learning, aside = _parts(clip)
    network = copy.deepcopy(before)
    twin = with_person(network, person_start(before, learning))
    trainer = PersonTrainer(network, twin, hand, learning, config.fit, config.hand_model)
    spent_s, whole_s = time.monotonic() - began_s, 60 * config.minutes
    seconds = max(whole_s - spent_s - _MEASURING_S, _LEAST_SHARE * whole_s)
    stopped = _learn(trainer, seconds, config.steps, console)
    with console.status("measuring"):
        share = share_to_keep(trainer.objective, before, twin, config.hand_model)
        after = between(before, twin, share)
        ended = (trainer.steps, stopped, share)
        outcome = _measured(config, trainer.objective, (before, after), clip, ended)
        pair = (outcome.before, outcome.after)
        write_sheet(config.out / SHEET_NAME, trainer.objective, (before, after), aside, pair)
        _write(config, outcome, after, hand)
    return outcome


def _parts(clip: PersonClip) -> tuple[PersonClip, PersonClip]:
    """Return what is learned from, and what is kept aside."""
    learning, aside = held_out_blocks([hand.time_s for hand in clip.hands])
    return clip.part(learning), clip.part(aside)


def person_start(network: S2HandNetwork, clip: PersonClip) -> PersonStart:
    """Return shape and size as the tracker fitted them, and the network's own mean colours."""
    betas = np.median([hand.betas for hand in clip.hands], 0).clip(-_MOST_BETA, _MOST_BETA)
    log_scale = float(np.median(np.log([hand.scale for hand in clip.hands])))
    scale = math.exp(min(max(log_scale, -_MOST_LOG_SCALE), _MOST_LOG_SCALE))
    batches = ordered_batches(clip, batch=32, hw_px=network.config.input_px)
    with torch.no_grad():
        textures = [network.look(batch.rgb).appearance.texture for batch in batches]
    return PersonStart(
        torch.from_numpy(betas.astype(np.float32)),
        torch.tensor([raw_size(scale, paper=network.config.paper)]),
        torch.cat(textures).mean(0),
    )


def _read(config: PersonaliseConfig, input_px: int, console: Console) -> PersonClip:
    wanted = ReadConfig(input_px, config.fov_deg, config.hand_model)
    with counting_progress(console) as progress:
        task = progress.add_task("looking for hands", total=None)
        return read_person(
            config.clip,
            wanted,
            lambda done, total: progress.update(task, completed=done, total=total),
        )


def _learn(trainer: PersonTrainer, seconds: float, steps: int | None, console: Console) -> bool:
    """Take steps until the time is over; return whether the user ended it before."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console) as progress, StopRequest() as stop:
            task = progress.add_task("learning", total=1.0)
            share = pace_of(seconds, steps)
            while (done := share(trainer.steps)) < 1 and not stop.made:
                phase, loss = trainer.step(done)
                words = f"learning {phase.name}, step {trainer.steps}, loss {loss:.3f}"
                progress.update(task, completed=share(trainer.steps), description=words)
            return stop.made
    finally:
        trainer.close()


def _measured(
    config: PersonaliseConfig,
    objective: Objective,
    networks: tuple[S2HandNetwork, S2HandNetwork],
    clip: PersonClip,
    ended: tuple[int, bool, float],
) -> Outcome:
    side = networks[0].config.input_px
    others = SyntheticHands(
        SyntheticConfig(side, _OTHERS_SEED, _OTHERS, hand_model=config.hand_model)
    )
    learning, aside = _parts(clip)
    return Outcome(
        clip,
        *(len(learning), len(aside), *ended),
        *compare(objective, *networks, aside),
        measure_others(objective, *networks, others),
    )


def _write(
    config: PersonaliseConfig, outcome: Outcome, twin: S2HandNetwork, hand: HandModel
) -> None:
    """Write the numbers, and the network if it is better; one that is not takes no old one's place."""
    start = hashlib.sha256(config.network.read_bytes()).hexdigest()
    betas, scale = said_shape(twin)
    person: dict[str, Any] = {"betas": [round(b, 4) for b in betas], "scale": round(scale, 4)}
    numbers = {
        "clip": config.clip.name,
        "hands": {
            "sides": sorted({h.side for h in outcome.clip.hands}),
            "learned_from": outcome.learned_from,
            "measured_on": outcome.measured_on,
            "left_out": outcome.clip.others,
        },
        "started_from": {"file": config.network.name, "sha256": start},
        "steps": outcome.steps,
        "stopped_early": outcome.stopped,
        "share_kept": outcome.share,
        "seed": config.fit.seed,
        "person": person,
        "before": _finite(outcome.before),
        "after": _finite(outcome.after),
        "change_percent": dict(change_percent(outcome.before, outcome.after)),
        "others_pa_mpjpe_mm": dict(zip(("before", "after"), outcome.others_mm, strict=True)),
        "better": outcome.better,
    }
    write_json(config.out / NUMBERS_NAME, numbers)
    if outcome.better:
        about = {
            "made_by": "python -m train personalise",
            "clip": config.clip.name,
            "started_from": start,
            "steps": str(outcome.steps),
            "share_kept": f"{outcome.share:g}",
            "person": json.dumps(person),
        }
        write_network(config.out / NETWORK_NAME, twin, hand, about, half=True)


def _finite(measured: Measured) -> dict[str, float]:
    """Return the numbers there are; JSON has no NaN."""
    return {k: v for k, v in dataclasses.asdict(measured).items() if math.isfinite(v)}
