"""How steady against how quick: three settings of the smoothing, each a point of one curve.

`python -m benchmarks --only steadiness` prints the curve: all cutoffs turned together.
"""

from dataclasses import replace
from typing import Final, Literal

from tracker.vision.smoothing import OneEuroConfig, SmoothingConfig

Steadiness = Literal["steady", "balanced", "fast"]
FACTORS: Final[dict[Steadiness, float]] = {"steady": 0.5, "balanced": 1.0, "fast": 2.5}
"""What the cutoffs are multiplied with: lower is stiller at rest and later in motion."""


def smoothing_of(steadiness: Steadiness) -> SmoothingConfig:
    """Return the smoothing with this name."""
    return scaled(SmoothingConfig(), FACTORS[steadiness])


def scaled(config: SmoothingConfig, factor: float) -> SmoothingConfig:
    """Return the smoothing with every cutoff, at rest and in motion, multiplied.

    But for the shape of the hand, which does not change.
    """
    return replace(
        config,
        orientation=_scaled(config.orientation, factor),
        fingers=_scaled(config.fingers, factor),
        direction=_scaled(config.direction, factor),
        depth=_scaled(config.depth, factor),
    )


def _scaled(one: OneEuroConfig, factor: float) -> OneEuroConfig:
    return replace(one, min_cutoff_hz=factor * one.min_cutoff_hz, beta=factor * one.beta)
