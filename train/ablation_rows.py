"""What the rows of the paper's tables 4 and 5 change, everything else being equal (S2HAND, 4.4-4.5).

Every row trains the same network on the same pictures in the same order for the same number of
steps of its 3D branch: first alone, then, with a fresh optimiser and a quarter of the learning
rate, together with whatever the row adds. A row with a 2D branch trains that in between, which the
3D branch does not notice.
"""

import dataclasses
from dataclasses import dataclass
from typing import Final, Literal

from train.config import Intervals, TrainConfig, Validation
from train.stages import GEOMETRY, KEYPOINTS, PHOTOMETRY, Stage, Term

Table = Literal["4", "5"]
JOINT: Final = "joint"
"""Name of the stage in which a row's additions act."""
_ALONE, _BRANCH = 0.6, 0.3
"""Part of the steps before the joint stage; steps of the 2D branch alone, likewise."""


@dataclass(frozen=True)
class Budget:
    """What every row gets."""

    steps: int = 800
    """Of the 3D branch."""
    batch: int = 64
    lr: float = 1e-3
    images: str | None = None
    """Real pictures in words (`train.datasets`), half of every batch of table 4."""
    held_out: str = "synthetic,seed=900001,count=1024,noisy=yes"
    """What rows are measured on; its keypoints are those of figure 4."""

    def __post_init__(self) -> None:
        if self.steps < 10:
            raise ValueError(f"steps must be at least 10, found {self.steps}")


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    name: str
    words: str
    """As the table prints it."""
    config: TrainConfig


def rows(table: Table, base: TrainConfig, budget: Budget) -> tuple[Row, ...]:
    """Return the rows of a table, each on top of the one before in table 4."""
    return _losses(base, budget) if table == "4" else _labels(base, budget)


def _losses(base: TrainConfig, budget: Budget) -> tuple[Row, ...]:
    """Table 4: what each loss adds."""
    bare: tuple[Term, ...] = tuple(term for term in GEOMETRY if term != "orientation")
    branch: tuple[Term, ...] = (*GEOMETRY, *KEYPOINTS, "consistency")
    added: tuple[tuple[str, str, tuple[Term, ...], tuple[Term, ...]], ...] = (
        ("loc", "E_loc + E_regu", bare, bare),
        ("ori", "+ E_ori", GEOMETRY, GEOMETRY),
        ("branch", "+ E_2d, E_con", GEOMETRY, branch),
        ("photo", "+ E_photo", GEOMETRY, (*branch, *PHOTOMETRY)),
    )
    data = "synthetic,noisy=yes"
    words = (data,) if budget.images is None else (budget.images, data)
    return tuple(
        Row(name, text, _config(base, budget, words, _stages(budget, first, joint)))
        for name, text, first, joint in added
    )


def _labels(base: TrainConfig, budget: Budget) -> tuple[Row, ...]:
    """Table 5: what keypoints and confidences are worth; made-up hands alone have exact ones."""
    sets = (
        ("ssl", "detected, own confidence (SSL)", "synthetic,noisy=yes"),
        ("unsure", "detected, confidence 1", "synthetic,noisy=yes,confidence=no"),
        ("wsl", "exact, confidence 1 (WSL)", "synthetic"),
    )
    stages = _stages(budget, GEOMETRY, GEOMETRY)
    return tuple(
        Row(name, text, _config(base, budget, (data,), stages)) for name, text, data in sets
    )


def _stages(budget: Budget, first: tuple[Term, ...], joint: tuple[Term, ...]) -> tuple[Stage, ...]:
    warmup = max(1, budget.steps // 20)
    alone = Stage("3d", first, _ALONE, budget.lr, "cosine", warmup_steps=warmup)
    branch = Stage("2d", KEYPOINTS, _BRANCH, budget.lr, "cosine", warmup_steps=warmup)
    last = Stage(JOINT, joint, 1 - _ALONE, budget.lr / 4, "cosine", warmup_steps=warmup)
    return (alone, branch, last) if last.keypoints else (alone, last)


def _config(
    base: TrainConfig, budget: Budget, data: tuple[str, ...], stages: tuple[Stage, ...]
) -> TrainConfig:
    # One epoch is the whole budget, so that stages count in parts of it.
    return dataclasses.replace(
        base,
        data=data,
        shares=(),
        stages=stages,
        batch=budget.batch,
        epoch_samples=budget.steps * budget.batch,
        validation=Validation(budget.held_out, batch=budget.batch),
        every=Intervals(
            log=20,
            pictures=budget.steps,
            validate=max(1, budget.steps // 4),
            checkpoint=max(1, budget.steps // 8),
        ),
    )
