"""Does it learn, and does it not collapse?"""

import dataclasses

import pytest
import torch

from tracker.geometry.hand_model import HandModel
from train.batch import TrainBatch
from train.config import TrainConfig
from train.datasets.mixing import ordered_batches
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.objective import spread
from train.presets import PRESETS
from train.stages import GEOMETRY, Stage
from train.trainer import Trainer

STEPS = 30
OVERFIT = dataclasses.replace(
    PRESETS["smoke"],
    stages=(Stage("3d", GEOMETRY, 100.0, lr=1e-3, warmup_steps=3),),
    ema=0.0,
    epoch_samples=4,
)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module")
def batch() -> TrainBatch:
    hands = SyntheticHands(SyntheticConfig(size_px=128, seed=5, count=4))
    return next(ordered_batches(hands, batch=4, hw_px=128))


def course(config: TrainConfig, hand: HandModel, batch: TrainBatch) -> tuple[list[float], float]:
    """Mean joint error (pixels of the crop) at each step, and the smallest spread on the way."""
    trainer, errors, smallest = Trainer(config, hand), [], 1.0
    for _ in range(STEPS):
        prediction, numbers = trainer.advance(batch)
        assert prediction.hand is not None
        uv = prediction.hand.uv.detach()
        errors.append(float((uv - batch.uv).norm(dim=-1).mean()))
        smallest = min(smallest, float(numbers["spread"]))
    return errors, smallest


def test_four_pictures_are_learned_and_no_hand_shrinks(hand, batch):
    errors, smallest = course(OVERFIT, hand, batch)
    assert errors[-1] < 0.5 * errors[0]
    assert smallest > 0.5


@pytest.mark.parametrize("published", [False, True])
def test_the_first_step_does_not_pull_on_the_size(hand, batch, published):
    """The published training from scratch collapses through this gradient, of |s|."""
    network = dataclasses.replace(OVERFIT.network, paper=published)
    trainer = Trainer(dataclasses.replace(OVERFIT, network=network), hand)
    prediction, terms = trainer.objective(trainer.networks, batch, trainer.stage)
    assert prediction.hand is not None
    seen = {name: terms[name] for name in ("location", "orientation")}
    loss = trainer.config.weights.total(seen)
    (pull,) = torch.autograd.grad(loss, prediction.hand.output.scale)
    if published:
        assert pull.abs().max() > 1e-3
    else:
        assert pull.abs().max() < 1e-6


def test_a_collapse_would_be_seen(hand, batch):
    """Hands pulled to one point: what `spread` is there for."""
    middle = batch.uv.mean(1, keepdim=True).expand_as(batch.uv)
    assert spread(middle + 0.01 * batch.uv, batch.uv) < 0.1


def test_two_trainers_of_one_seed_do_the_same(hand, batch):
    first, second = (Trainer(OVERFIT, hand) for _ in range(2))
    first.advance(batch)
    second.advance(batch)
    for a, b in zip(first.networks.parameters(), second.networks.parameters(), strict=True):
        assert torch.equal(a, b)
    other = Trainer(dataclasses.replace(OVERFIT, seed=1), hand)
    pairs = zip(first.networks.parameters(), other.networks.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)
