"""What stays with a person, as layers of a network: shape, size and skin are said once for all pictures.

The network's last layers for shape, size and colours get zero weights, so that their biases alone
speak: the same hand in every picture (the constancy of S2HAND(V), Tu et al. 2023, exactly and not
as a loss). What comes out is an ordinary network of the same make, for every engine and every mode
of the tracker, whose file needs no place of its own for a person.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tracker.vision.network import S2HandNetwork
from tracker.vision.network_heads import AppearanceHead
from tracker.vision.network_placement import MOST_LOG_SIZE, hand_size


@dataclass(frozen=True)
class PersonStart:
    """What is known of a person before anything is learned."""

    betas: Float[Tensor, " 10"]
    size: Float[Tensor, " 1"]
    """As the network's own size layer would say it, see `raw_size`."""
    texture: Float[Tensor, "V 3"]
    """Difference from the mean skin, before it is squashed."""


def with_person(network: S2HandNetwork, start: PersonStart) -> S2HandNetwork:
    """Return a network that shares `network`'s layers, but for those that say what stays with a person."""
    twin = S2HandNetwork(network.config)
    twin.encoder, twin.joints = network.encoder, network.joints
    for name in ("trunk", "pose", "rotation", "transl"):
        setattr(twin.geometry, name, getattr(network.geometry, name))
    _say(twin.geometry.betas, start.betas)
    _say(twin.geometry.scale, start.size)
    if isinstance(twin.appearance, AppearanceHead):
        assert isinstance(network.appearance, AppearanceHead)
        twin.appearance.trunk = network.appearance.trunk
        twin.appearance.light = network.appearance.light
        _say(twin.appearance.texture, start.texture.flatten())
    return twin.eval()


def shape_parameters(twin: S2HandNetwork) -> list[nn.Parameter]:
    """Return what says the person's shape and size."""
    return [_last(twin.geometry.betas).bias, _last(twin.geometry.scale).bias]


def skin_parameter(twin: S2HandNetwork) -> nn.Parameter | None:
    """Return what says the person's colours; None where the network has none."""
    head = twin.appearance
    return _last(head.texture).bias if isinstance(head, AppearanceHead) else None


def raw_size(scale: float, *, paper: bool) -> float:
    """Return what the size layer has to say for a scale of the hand (`network_placement.hand_size`)."""
    if paper:
        return scale
    share = math.log(scale) / MOST_LOG_SIZE
    return MOST_LOG_SIZE * math.atanh(min(max(share, -0.95), 0.95))


@torch.no_grad()
def said_shape(twin: S2HandNetwork) -> tuple[list[float], float]:
    """Return the person's shape and the factor on the hand model's metres."""
    betas, size = shape_parameters(twin)
    scale = size.abs() if twin.config.paper else hand_size(size)
    return betas.tolist(), float(scale[0])


def _last(layers: nn.Sequential) -> nn.Linear:
    layer = layers[-1]
    assert isinstance(layer, nn.Linear)
    return layer


def _say(layers: nn.Sequential, words: Tensor) -> None:
    """Make the layers say the same whatever they are given; only that can be learned."""
    bias = _last(layers).bias
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.requires_grad_(False).zero_()
        bias.copy_(words)
    bias.requires_grad_(True)
