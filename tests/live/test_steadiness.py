"""Three settings of one curve: steadier is later."""

import numpy as np

from tracker.live.steadiness import smoothing_of
from tracker.vision.smoothing import OneEuro, SmoothingConfig


def lag_and_trembling(name: str, rng: np.random.Generator) -> tuple[float, float]:
    config = smoothing_of(name).direction  # type: ignore[arg-type]
    still, moving = OneEuro(config), OneEuro(config)
    rest = [still(rng.normal(0, 1e-3, (1, 2)), 1 / 30) for _ in range(200)]
    ramp = [moving(np.full((1, 2), 0.02 * n), 1 / 30)[0, 0] for n in range(60)]
    return 0.02 * 59 - ramp[-1], float(np.std(rest[50:]))


def test_steadier_trembles_less_and_lags_more(rng: np.random.Generator) -> None:
    lags, trembling = zip(
        *(lag_and_trembling(name, rng) for name in ("steady", "balanced", "fast")), strict=True
    )
    assert lags[0] > lags[1] > lags[2] > 0
    assert trembling[0] < trembling[1] < trembling[2]


def test_balanced_is_the_measured_default() -> None:
    assert smoothing_of("balanced") == SmoothingConfig()
