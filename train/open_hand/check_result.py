"""One result of a check, and the two ways to state one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import SupportsFloat


@dataclass(frozen=True)
class CheckResult:
    """One measured fact of a model and whether it is as it must be."""

    name: str
    passed: bool
    measured: str
    wanted: str


Results = Iterator[CheckResult]


def within(
    name: str, value: SupportsFloat, low: float | int, high: float | int, unit: str = ""
) -> CheckResult:
    """State that a value must lie between two bounds, both allowed."""
    number = float(value)
    wanted = f"{low:g} .. {high:g}{unit}"
    return CheckResult(name, low <= number <= high, f"{number:.4g}{unit}", wanted)


def equal(name: str, value: object, wanted: object) -> CheckResult:
    """State that a value must equal another."""
    return CheckResult(name, value == wanted, str(value), str(wanted))
