"""Keypoints as a detector would give them: off, unsure, and now and then on the wrong finger."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from tracker.geometry.skeleton import FINGERS, JOINTS, TIPS

_FLOOR: Final = 0.02
_HALF_SURE: Final = 0.055
"""Error, in hand sizes, that leaves half of the confidence."""
_TIP_FACTOR: Final = 1.5


@dataclass(frozen=True)
class KeypointNoise:
    """How wrong a detector is; errors are in sizes of the hand (half of the tracker's region)."""

    sigma: float = 0.022
    """Deviation of a joint in plain sight, on average over pictures."""
    hidden: float = 3.0
    """By how much it is larger for a joint behind something."""
    outliers: float = 0.03
    """Part of the joints that land on another finger or nowhere."""
    blindness: float = 0.5
    """How badly the detector knows its own errors: deviation of the logarithm of what it believes."""
    confident: bool = False
    """The detector says nothing of its errors: every confidence is 1."""

    def __post_init__(self) -> None:
        if not (0 <= self.sigma < 1 and self.hidden >= 1 and 0 <= self.outliers < 1):
            raise ValueError(
                "keypoint noise needs 0 <= sigma < 1, hidden >= 1 and 0 <= outliers < 1, found "
                f"{self.sigma}, {self.hidden}, {self.outliers}"
            )

    def __call__(
        self,
        uv: Float[np.ndarray, "21 2"],
        hidden: Bool[np.ndarray, " 21"],
        size_px: float,
        rng: np.random.Generator,
    ) -> tuple[Float[np.ndarray, "21 2"], Float[np.ndarray, " 21"]]:
        """Return what is detected of the exact joints, and the detector's confidence in each."""
        spread = self.sigma * np.exp(0.45 * rng.standard_normal() + 0.25 * rng.standard_normal(21))
        spread = spread * np.where(hidden, self.hidden, 1.0)
        spread[list(TIPS)] *= _TIP_FACTOR
        # A picture that is hard for one joint is hard for its neighbours: part of the error is shared.
        shared = 0.4 * spread.mean() * rng.standard_normal(2)
        seen = uv + size_px * (shared + 0.9 * spread[:, None] * rng.standard_normal((21, 2)))
        believed = spread * np.exp(self.blindness * rng.standard_normal(21))
        wrong = rng.random(21) < self.outliers * np.where(hidden, 2.0, 1.0)
        if wrong.any():
            seen[wrong] = _elsewhere(uv, wrong, size_px, rng)
            believed[wrong] = _HALF_SURE * np.exp(0.7 * rng.standard_normal(int(wrong.sum())))
        confidence = 1 / (1 + (believed / _HALF_SURE) ** 2)
        return seen, np.ones(21) if self.confident else np.clip(confidence, _FLOOR, 1.0)


def _elsewhere(
    uv: np.ndarray, wrong: np.ndarray, size_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Return where outliers land: on the same joint of a finger beside, or anywhere near."""
    joints = np.flatnonzero(wrong)
    fingers = np.maximum(joints - 1, 0) // 4
    beside = np.where(
        fingers == 0, 1, np.where(fingers == len(FINGERS) - 1, fingers - 1, fingers + 1)
    )
    twins = np.minimum(1 + 4 * beside + np.maximum(joints - 1, 0) % 4, len(JOINTS) - 1)
    anywhere = uv.mean(0) + size_px * rng.uniform(-0.7, 0.7, (len(joints), 2))
    confused = (rng.random(len(joints)) < 0.6) & (joints > 0)
    return np.where(
        confused[:, None],
        uv[twins] + 0.02 * size_px * rng.standard_normal((len(joints), 2)),
        anywhere,
    )
