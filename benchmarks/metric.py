"""One measured number, and how it compares with a reference measured in the same run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Metric:
    """A benchmark's answer to one question."""

    key: str
    """Stable name, e.g. `fit_warm_p95_ms`."""
    value: float
    unit: str
    reference: str = ""
    """What it is compared with, in words."""
    reference_value: float | None = None
    ratio: float | None = None
    """`value` in terms of the reference; each benchmark says in which direction."""
    better: Literal["higher", "lower"] = "lower"


def alternating_ms(
    candidates: Sequence[Callable[[], object]], rounds: int, repeats: int = 1
) -> list[Float[np.ndarray, " rounds"]]:
    """Time the candidates in turn, A B A B, so that a busy moment hits all of them alike.

    Each runs once untimed first. A round times `repeats` calls and reports their mean (ms).
    """
    for candidate in candidates:
        candidate()
    times_ms = np.empty((len(candidates), rounds))
    for i in range(rounds):
        for k, candidate in enumerate(candidates):
            start = perf_counter()
            for _ in range(repeats):
                candidate()
            times_ms[k, i] = (perf_counter() - start) * 1e3 / repeats
    return list(times_ms)
