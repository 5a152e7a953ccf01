"""What every open hand must satisfy, by name.

The command line refuses to write a file that fails one, and the tests run the same functions on the shipped file.
"""

from collections.abc import Callable

from train.open_hand.check_result import CheckResult, Results
from train.open_hand.model import OpenHand
from train.open_hand.pose_checks import (
    check_collisions,
    check_correctives,
    check_mirror,
    check_pose_space,
    check_posing,
)
from train.open_hand.rest_checks import (
    check_convention,
    check_masks,
    check_regressor,
    check_shapes,
    check_topology,
    check_weights,
)

CHECKS: dict[str, Callable[[OpenHand], Results]] = {
    "topology": check_topology,
    "weights": check_weights,
    "regressor": check_regressor,
    "shapes": check_shapes,
    "convention": check_convention,
    "posing": check_posing,
    "collisions": check_collisions,
    "mirror": check_mirror,
    "pose space": check_pose_space,
    "correctives": check_correctives,
    "masks": check_masks,
}
"""All checks by name, in the order they are run."""


def run_checks(hand: OpenHand) -> dict[str, list[CheckResult]]:
    """Run all checks and return their results by name."""
    return {name: list(check(hand)) for name, check in CHECKS.items()}
