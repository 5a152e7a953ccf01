"""How far an engine's hands are from PyTorch's float32 ones, in millimetres of the surface."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float

from tracker.geometry.hand_model import HandModel
from tracker.vision.engines.answers import NetworkAnswer, NetworkEngine, Pictures
from tracker.vision.network import decode

MAX_MM: Final = 0.5
MEAN_MM: Final = 0.1
"""How far an engine in float32 may be off: a tenth of what separates published methods.

Half precision cannot keep it: of a hundred hands in photographs the turn of one is so uncertain that
float16 moves it by centimetres, as half a grey level of noise does, and the mean is 0.2 mm."""


@dataclass(frozen=True)
class Parity:
    """Distance between the vertices of two engines' hands over many crops."""

    max_mm: float
    mean_mm: float
    rooted_max_mm: float
    """The same with the wrists put together: without the place, which one camera sees worst."""

    @property
    def holds(self) -> bool:
        """Whether the engine is as good as the reference."""
        return self.max_mm <= MAX_MM and self.mean_mm <= MEAN_MM


def parity(
    engine: NetworkEngine,
    reference: NetworkEngine,
    hand: HandModel,
    crops: Pictures,
    K: Float[np.ndarray, "b 3 3"],
) -> Parity:
    """Return how far `engine` is from `reference` on these crops, taken two at a time."""
    pairs = range(0, len(crops), 2)
    found = [
        [_surface(who(crops[k : k + 2], K[k : k + 2]), hand) for k in pairs]
        for who in (engine, reference)
    ]
    (ours, our_wrists), (theirs, their_wrists) = (
        tuple(np.concatenate(part) for part in zip(*side, strict=True)) for side in found
    )
    apart = 1e3 * np.linalg.norm(ours - theirs, axis=-1)
    rooted = (ours - our_wrists) - (theirs - their_wrists)
    rooted_mm = 1e3 * np.linalg.norm(rooted, axis=-1)
    return Parity(float(apart.max()), float(apart.mean()), float(rooted_mm.max()))


@torch.no_grad()
def _surface(answer: NetworkAnswer, hand: HandModel) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and wrists, metres, each with room to subtract the other."""
    mesh = decode(answer.output(), hand)
    return mesh.vertices.double().numpy(), mesh.joints[:, :1].double().numpy()
