"""How much of what was learned is kept, so that other people's hands come out as well as before.

A network that learns from one person forgets a little of all others. Weights between those before
and after have most of what was learned long before they have most of what was forgotten (WiSE-FT,
Wortsman et al. 2022, Robust fine-tuning of zero-shot models). How far to go is read from made-up
hands: no picture of another person is needed, and none that the network is judged by is looked at.
"""

import copy
from bisect import bisect_right
from pathlib import Path
from typing import Final

import torch

from tracker.vision.network import S2HandNetwork
from train.datasets.mixing import ordered_batches
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.objective import Objective
from train.personalise_network import raw_size, shape_parameters
from train.validate import validate

MOST_FORGOTTEN: Final = 0.0
"""By how much of itself the error on made-up hands may rise."""
_HANDS: Final = 192
_SEED: Final = 800_001
"""Neither the hands that were learned from nor those that the result is reported on."""
_BATCH: Final = 32
_STEPS: Final = 10
_LAYERS: Final = ("joints.", "geometry.")
"""What says where the hand is. Light and colours can do no harm to that, and stay as learned."""
_PERSON: Final = ("geometry.betas.", "geometry.scale.")


def share_to_keep(
    objective: Objective,
    before: S2HandNetwork,
    twin: S2HandNetwork,
    hand_file: Path | None = None,
) -> float:
    """Return the largest share of what was learned that leaves made-up hands no worse than before.

    Args:
        objective: the losses' home.
        before: the network as it was.
        twin: the person's, from `with_person`, after learning.
        hand_file: file of the hand model; None is the open hand.

    Returns:
        0 to 1 in tenths, for `between`.
    """
    side = before.config.input_px
    others = SyntheticHands(SyntheticConfig(side, _SEED, _HANDS, hand_model=hand_file))
    made = list(ordered_batches(others, batch=_BATCH, hw_px=side))

    def error_mm(network: S2HandNetwork) -> float:
        return validate(objective, network, made)["pa_mpjpe_mm"]

    most_mm = (1 + MOST_FORGOTTEN) * error_mm(before)
    # More is forgotten the further it goes, so a few looks find the place.
    good = bisect_right(
        range(1, _STEPS + 1), most_mm, key=lambda n: error_mm(between(before, twin, n / _STEPS))
    )
    return good / _STEPS


@torch.no_grad()
def between(before: S2HandNetwork, twin: S2HandNetwork, share: float) -> S2HandNetwork:
    """Return a network that is so far on the way from `before` to the person's; neither is changed.

    The person's shape and size start from the mean hand's on this way: they were learned together
    with layers that are now moved back.
    """
    mixed = copy.deepcopy(twin)
    start = before.state_dict()
    for name, value in mixed.state_dict().items():
        if name.startswith(_LAYERS) and not name.startswith(_PERSON) and value.is_floating_point():
            value.copy_(torch.lerp(start[name], value, share))
    betas, size = shape_parameters(mixed)
    betas.mul_(share)
    size.lerp_(torch.full_like(size, raw_size(1.0, paper=twin.config.paper)), 1 - share)
    return mixed
