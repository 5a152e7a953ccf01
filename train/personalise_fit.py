"""The learning itself: a person's hands beside made-up ones, until the time is over.

First shape and skin alone, while the network rests; then what says where the joints are, from what
is seen in 2D; at last light and skin, from the colours. Every step for the joints also shows made-up
hands with their exact truth to the network's own shape and size layers, so that it does not forget
hands in general, and the normalisation keeps the statistics it was trained with. Joints are learned
in few passes over the clip, however much time there is: more of them teach the clip by heart, at
the cost of everybody else's hands. Colours do no such harm and get the rest of the time.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from tracker.geometry.hand_model import HandModel
from tracker.geometry.losses import LossWeights
from tracker.geometry.topology import edge_faces
from tracker.vision.network import S2HandNetwork
from train.augment import Augmentation
from train.batch import TrainBatch
from train.config import TrainConfig
from train.crop_view import RoiJitter
from train.datasets.mixing import BatchStream, StreamConfig
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.errors import NotFiniteError
from train.objective import Objective, Prediction
from train.personalise_clip import PersonClip
from train.personalise_network import shape_parameters, skin_parameter
from train.stages import Term

_WARM: Final = 0.04
"""Share of a group's learning over which its rate rises."""
_REPLAY_SEED: Final = 700_000
"""Far from the seeds that made-up hands are measured with."""
_CLIP_TERMS: Final[tuple[Term, ...]] = (
    *("location", "orientation", "shape", "scale", "joint_limits", "pose", "truth"),
    *("heat", "seen"),
)
_REPLAY_TERMS: Final[tuple[Term, ...]] = ("location", "orientation", "truth", "heat", "seen")
_SKIN_TERMS: Final[tuple[Term, ...]] = ("pixel", "ssim", "mean_color")


@dataclass(frozen=True)
class Phase:
    """A part of the learning."""

    name: str
    end: float
    """Share of the whole when it is over."""
    joints: bool
    """Whether the layers learn that say where the joints are."""
    skin: bool
    """Whether colours are compared."""
    light: bool = False
    """Whether the layers learn that say the light."""


PHASES: Final = (
    Phase("shape and skin", 0.15, joints=False, skin=True),
    Phase("joints", 0.5, joints=True, skin=False),
    Phase("light and skin", 1.0, joints=False, skin=True, light=True),
)


@dataclass(frozen=True)
class FitConfig:
    """How a network is adapted."""

    batch: int = 10
    """The person's hands in a step, in changed colours, for the joints."""
    colored: int = 8
    """The person's hands in a step, in their own colours."""
    replay: int = 10
    """Made-up hands in a step."""
    passes: int = 6
    """How often each of the person's hands is shown for the joints, at most. Longer learning brings
    the clip's own joints little and costs other people's hands more with every pass."""
    lr: float = 3e-4
    """Of the network's heads; its encoder rests. Steps take half the time so, and what the encoder
    sees stays good for other people's hands."""
    shape_lr: float = 1e-2
    skin_lr: float = 4e-2
    clip: float = 5.0
    """Largest norm of the gradient."""
    even_skin: float = 5e-4
    """Weight of neighbouring vertices that leave the first colours by different amounts: what is
    never seen follows what is."""
    one_tint: float = 1e-2
    """Weight of vertices whose tint, apart from its brightness, leaves the first one by another amount
    than the whole skin does. Where the mesh reaches over the hand's outline it is the background that
    is seen, and a back that the clip never shows would take its colour from there."""
    seed: int = 0
    weights: LossWeights = field(
        default_factory=lambda: LossWeights(
            location=3e-2,
            shape=1e-3,
            pixel=2e-2,
            pose=3e-3,
            heat=0.05,
            seen=2e-3,
            mean_color=2e-3,
            truth=4.0,
        )
    )
    """Those of the network that ships, but for three. What is seen, the joints in the picture, counts
    fifteen times as much: with less, the guesses about depth and pose bend the network for everybody
    else. The tracker's fit, which is no truth, counts less, and the shape is the mean hand's unless
    the clip says otherwise: the fits of a whole clip do."""
    replay_truth: float = 10.0


def pace_of(seconds: float, steps: int | None) -> Callable[[int], float]:
    """Return what share is done after so many steps: of the steps, or of the time from now on."""
    if steps is not None:
        return lambda step: step / steps
    began_s = time.monotonic()
    return lambda step: (time.monotonic() - began_s) / seconds


class PersonTrainer:
    """Adapts a network and what stays with the person, one step at a time.

    Args:
        network: the one to adapt, which is changed.
        twin: the same with the person in it, from `with_person`.
        hand: right hand model.
        clip: hands to learn from.
        config: how.
        hand_file: file of the hand model; None is the open hand.
    """

    def __init__(
        self,
        network: S2HandNetwork,
        twin: S2HandNetwork,
        hand: HandModel,
        clip: PersonClip,
        config: FitConfig,
        hand_file: Path | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.twin, self._network = config, twin, network.eval()
        self.steps = 0
        self.objective = objective_for(network, hand, config.weights)
        self._seeing = network.config.joint_maps
        self._skin = skin_parameter(twin)
        self._first_skin = None if self._skin is None else self._skin.detach().clone()
        self._edges = torch.from_numpy(edge_faces(hand.faces.cpu().numpy())[:, :2].astype(np.int64))
        network.encoder.requires_grad_(False)
        self._person, self._joints, self._light = self._optimisers()
        self._phase = _Progress(math.ceil(config.passes * len(clip) / config.batch))
        self._streams = _streams(network.config.input_px, clip, config, hand_file)

    def close(self) -> None:
        """Stop the threads that make batches."""
        for stream in self._streams:
            stream.close()

    def step(self, share: float) -> tuple[Phase, float]:
        """Learn from one batch, `share` of the whole being done; return the phase and the loss.

        Raises:
            NotFiniteError: the loss or its gradient is not finite.
        """
        phase, within = self._phase.at(share)
        layers = [(self._joints, phase.joints), (self._light, phase.light)]
        for optimiser, learns in layers:
            for parameter in _learned(optimiser):
                parameter.requires_grad_(learns)
        rates = {self._person: _rate(share)} | {o: _rate(within) for o, learns in layers if learns}
        losses: list[Tensor] = []
        if phase.skin:
            losses.append(self._own_loss(next(self._streams[0]), colors=True))
        if phase.joints:
            losses.append(self._own_loss(next(self._streams[1]), colors=False))
            losses.append(self._replay_loss(next(self._streams[2])))
        loss = torch.stack(losses).sum()
        for optimiser in rates:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_([p for o in rates for p in _learned(o)], self.config.clip)
        if not bool((loss.detach() + norm).isfinite()):
            raise NotFiniteError(
                f"the loss is not finite at step {self.steps}; try another clip or another --seed"
            )
        for optimiser, rate in rates.items():
            for group in optimiser.param_groups:
                group["lr"] = group["most"] * rate
            optimiser.step()
        self.steps += 1
        return phase, float(loss.detach())

    def _optimisers(self) -> tuple[torch.optim.Adam, torch.optim.Adam, torch.optim.Adam]:
        """Return what moves the person's shape and skin, the joints' layers, and the light's."""
        config, network = self.config, self._network
        skin = [] if self._skin is None else [self._skin]
        person = [
            {"params": shape_parameters(self.twin), "most": config.shape_lr},
            {"params": skin, "most": config.skin_lr},
        ]
        seeing = [] if network.joints is None else list(network.joints.parameters())
        joints = [{"params": [*seeing, *network.geometry.parameters()], "most": config.lr}]
        # A network without colours has nothing to learn there; Adam takes an empty group.
        light = [{"params": list(network.appearance.parameters()), "most": config.lr}]
        return torch.optim.Adam(person), torch.optim.Adam(joints), torch.optim.Adam(light)

    def _own_loss(self, batch: TrainBatch, *, colors: bool) -> Float[Tensor, ""]:
        """Return the loss of the person's hands."""
        draw = colors and self._skin is not None
        terms = self._seen(_CLIP_TERMS) + (_SKIN_TERMS if draw else ())
        hand = self.objective.predict(self.twin, batch, draw=draw)
        found = self.objective.terms(Prediction(hand, None), batch, terms)
        loss = self.config.weights.total(found)
        if draw:
            loss = loss + self._unevenness()
        return loss

    def _replay_loss(self, batch: TrainBatch) -> Float[Tensor, ""]:
        hand = self.objective.predict(self._network, batch)
        found = self.objective.terms(Prediction(hand, None), batch, self._seen(_REPLAY_TERMS))
        truth = found.pop("truth")
        return self.config.weights.total(found) + self.config.replay_truth * truth

    def _seen(self, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        """Return the terms that this network has."""
        return terms if self._seeing else tuple(t for t in terms if t not in ("heat", "seen"))

    def _unevenness(self) -> Float[Tensor, ""]:
        """Return how differently the vertices' colours have changed, weighted."""
        assert self._skin is not None
        assert self._first_skin is not None
        change = (self._skin - self._first_skin).unflatten(0, (-1, 3))
        apart = change[self._edges[:, 0]] - change[self._edges[:, 1]]
        tint = change - change.mean(1, keepdim=True)
        config = self.config
        return config.even_skin * apart.square().mean() + config.one_tint * tint.var(0).mean()


class _Progress:
    """Which phase it is, and how much of it is done.

    Args:
        most_steps: of a phase for the joints; it ends then, whatever its share.
    """

    def __init__(self, most_steps: int) -> None:
        self._most_steps = most_steps
        self._index, self._began, self._steps = 0, 0.0, 0

    def at(self, share: float) -> tuple[Phase, float]:
        """Count a step when `share` of the whole is done; return its phase, and its place within."""
        while self._index < len(PHASES) - 1 and self._done(share) >= 1:
            self._index, self._began, self._steps = self._index + 1, share, 0
        within = min(self._done(share), 1.0)
        self._steps += 1
        return PHASES[self._index], within

    def _done(self, share: float) -> float:
        phase = PHASES[self._index]
        done = (share - self._began) / (phase.end - self._began) if share < phase.end else 1.0
        return max(done, self._steps / self._most_steps) if phase.joints else done


def _learned(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [p for group in optimiser.param_groups for p in group["params"]]


def _rate(within: float) -> float:
    """Return the part of its rate that a group has: rising at its beginning, then a cosine to nothing."""
    return min(1.0, 0.05 + within / _WARM) * (0.01 + 0.99 * (1 + math.cos(math.pi * within)) / 2)


def objective_for(network: S2HandNetwork, hand: HandModel, weights: LossWeights) -> Objective:
    """Return the losses' home for a network."""
    return Objective(
        TrainConfig(
            network=network.config,
            weights=weights if network.config.joint_maps else replace(weights, heat=0.0, seen=0.0),
            limits="anatomical",
        ),
        hand,
    )


def _streams(
    input_px: int, clip: PersonClip, config: FitConfig, hand_file: Path | None
) -> tuple[BatchStream, BatchStream, BatchStream]:
    """Return batches of the person's hands, in their own colours and in others, and of made-up ones."""
    own = Augmentation(
        RoiJitter(), brightness=0.0, contrast=0.0, tint=0.0, saturation=0.0, blur=0.0, noise=0.0
    )
    made_up = SyntheticHands(
        SyntheticConfig(size_px=input_px, seed=_REPLAY_SEED + config.seed, hand_model=hand_file)
    )
    colors, shapes, replay = (
        BatchStream(
            dataset,
            batch=batch,
            seed=config.seed + number,
            config=StreamConfig(input_px, augmentation),
        )
        for number, (dataset, batch, augmentation) in enumerate(
            (
                (clip, config.colored, own),
                (clip, config.batch, Augmentation()),
                (made_up, config.replay, None),
            )
        )
    )
    return colors, shapes, replay
