"""What is trained when: stages, each with its loss terms and its learning rate (S2HAND, 3.5).

The paper trains the 3D branch and the 2D branch alone, then both with the consistency between them
and the photometric terms. A stage is no more than the terms it sums; which branches run, and
whether hands are drawn, follows from them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Term = Literal[
    "location",
    "orientation",
    "keypoints",
    "consistency",
    "pixel",
    "ssim",
    "shape",
    "texture",
    "scale",
    "joint_limits",
    "mean_color",
    "laplacian",
    "pose",
    "heat",
    "seen",
    "truth",
    "motion",
    "steady_shape",
    "steady_texture",
]
"""A field of `LossWeights`."""

GEOMETRY: Final[tuple[Term, ...]] = (
    "location",
    "orientation",
    "shape",
    "scale",
    "joint_limits",
    "laplacian",
    "pose",
    "heat",
    "seen",
    "truth",
    "motion",
    "steady_shape",
)
PHOTOMETRY: Final[tuple[Term, ...]] = ("pixel", "ssim", "texture", "mean_color", "steady_texture")
DRAWN: Final = frozenset({"pixel", "ssim", "mean_color"})
"""Terms that need a picture of the hand."""
KEYPOINTS: Final[tuple[Term, ...]] = ("keypoints",)
JOINT: Final[tuple[Term, ...]] = (*GEOMETRY, *PHOTOMETRY, *KEYPOINTS, "consistency")


@dataclass(frozen=True)
class Stage:
    """One part of the training, with an optimiser of its own."""

    name: str
    terms: tuple[Term, ...]
    """What is summed; a term of weight 0 is left out."""
    epochs: float
    lr: float = 1e-3
    """Of Adam, before any decay."""
    schedule: Literal["steps", "cosine"] = "steps"
    """`steps` is the paper's; `cosine` goes down to nearly nothing at the end of the stage."""
    decay: float = 0.5
    """Factor of the learning rate after each `decay_epochs`, for `steps`."""
    decay_epochs: float = 30.0
    warmup_steps: int = 0
    """Over which the learning rate rises from nearly nothing; the paper has none."""

    def __post_init__(self) -> None:
        if not self.terms:
            raise ValueError(f"stage {self.name} has no terms; name some of {', '.join(JOINT)}")
        if not (self.epochs > 0 and self.lr > 0 and self.decay_epochs > 0 and 0 < self.decay <= 1):
            raise ValueError(
                f"stage {self.name} needs epochs, lr and decay_epochs above 0 and decay in (0, 1], "
                f"found {self.epochs}, {self.lr}, {self.decay_epochs} and {self.decay}"
            )
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must not be negative, found {self.warmup_steps}")

    @property
    def hand(self) -> bool:
        """Whether the 3D branch is trained."""
        return any(term not in KEYPOINTS for term in self.terms)

    @property
    def keypoints(self) -> bool:
        """Whether the 2D branch is trained."""
        return "keypoints" in self.terms or "consistency" in self.terms


def paper_stages() -> tuple[Stage, ...]:
    """Return the paper's three: 90 epochs each for 3D and 2D (halving), 60 together (thirds)."""
    return (
        Stage("3d", GEOMETRY, 90.0),
        Stage("2d", KEYPOINTS, 90.0),
        Stage("joint", JOINT, 60.0, lr=2.5e-4, decay=1 / 3, decay_epochs=20.0),
    )


@dataclass(frozen=True)
class Timetable:
    """Where each stage begins and ends, in steps of the whole run."""

    stages: tuple[Stage, ...]
    ends: tuple[int, ...]
    """First step after each stage."""
    epoch_steps: int

    @classmethod
    def of(cls, stages: Sequence[Stage], epoch_steps: int) -> "Timetable":
        """Lay the stages one after the other; each has at least one step."""
        ends, end = [], 0
        for stage in stages:
            end += max(1, round(stage.epochs * epoch_steps))
            ends.append(end)
        return cls(tuple(stages), tuple(ends), epoch_steps)

    @property
    def steps(self) -> int:
        """How many steps the run has."""
        return self.ends[-1]

    def stage_at(self, step: int) -> int:
        """Return the index of the stage that a step belongs to; beyond the end, the last one."""
        return next((i for i, end in enumerate(self.ends) if step < end), len(self.stages) - 1)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        index = self.stage_at(step)
        stage, first = self.stages[index], self.ends[index - 1] if index else 0
        within, length = step - first, self.ends[index] - first
        if stage.schedule == "cosine":
            rate = stage.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * within / length)) / 2)
        else:
            # A tiny push keeps whole epochs whole in floating point.
            epoch = within / self.epoch_steps + 1e-9
            rate = stage.lr * stage.decay ** math.floor(epoch / stage.decay_epochs)
        return rate * min(1.0, (within + 1) / (stage.warmup_steps + 1))
