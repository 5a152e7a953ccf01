import dataclasses

import pytest
import torch
from torch import Tensor

from tracker.geometry.hand_model import HandModel
from tracker.geometry.losses import LossWeights
from train.batch import TrainBatch
from train.datasets.mixing import ordered_batches
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.objective import Objective, spread
from train.presets import PRESETS
from train.stages import GEOMETRY, JOINT, KEYPOINTS, Stage
from train.temporal import TEMPORAL
from train.trainer import Trainer

WEIGHTS = LossWeights(mean_color=1e-3, laplacian=0.1, pose=1e-2, heat=0.05, seen=1e-3, truth=1.0)
CONFIG = dataclasses.replace(
    PRESETS["smoke"],
    network=dataclasses.replace(PRESETS["smoke"].network, joint_maps=True),
    weights=WEIGHTS,
    batch=2,
)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module")
def batch() -> TrainBatch:
    hands = SyntheticHands(SyntheticConfig(size_px=128, seed=5, count=2))
    return next(ordered_batches(hands, batch=2, hw_px=128))


@pytest.fixture(scope="module")
def trainer(hand: HandModel) -> Trainer:
    return Trainer(CONFIG, hand)


def gradient(trainer: Trainer, terms: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Gradients by parameter, of those that get one."""
    trainer.networks.zero_grad()
    terms[name].backward(retain_graph=True)
    named = trainer.networks.named_parameters()
    return {k: p.grad for k, p in named if p.grad is not None and bool(p.grad.any())}


def test_every_term_reaches_what_it_is_about(trainer, batch):
    _, terms = trainer.objective(trainer.networks, batch, Stage("all", JOINT, 1.0))
    assert set(terms) == set(JOINT) - set(TEMPORAL)  # their own tests have clips
    for name, value in terms.items():
        assert value.isfinite(), name
        assert value > 0 or name in {"texture", "joint_limits"}, name
    for name in ("location", "orientation", "scale", "shape", "laplacian", "pose", "truth"):
        reached = gradient(trainer, terms, name)
        assert any(k.startswith("hand.geometry") for k in reached), name
        assert not any(k.startswith(("hand.appearance", "branch")) for k in reached), name
    for name in ("pixel", "ssim", "mean_color"):
        reached = gradient(trainer, terms, name)
        assert any(k.startswith("hand.appearance") for k in reached), name
        assert any(k.startswith("hand.geometry") for k in reached), name
    for name in ("heat", "seen"):
        reached = gradient(trainer, terms, name)
        assert any(k.startswith("hand.joints") for k in reached), name
        assert all(k.startswith(("hand.joints", "hand.encoder")) for k in reached), name
    assert all(k.startswith("branch") for k in gradient(trainer, terms, "keypoints"))
    both = gradient(trainer, terms, "consistency")
    assert {k.partition(".")[0] for k in both} == {"hand", "branch"}


def test_terms_without_weight_are_left_out(hand):
    config = dataclasses.replace(CONFIG, weights=LossWeights(orientation=0.0))
    objective = Objective(config, hand)
    assert "orientation" not in objective.wanted(Stage("3d", GEOMETRY, 1.0))
    assert "mean_color" not in objective.wanted(Stage("all", JOINT, 1.0))


def test_only_the_branches_of_a_stage_run(trainer, batch):
    prediction, _ = trainer.objective(trainer.networks, batch, Stage("3d", GEOMETRY, 1.0))
    assert prediction.uv_branch is None
    assert prediction.hand is not None
    assert prediction.hand.rendered is None
    prediction, _ = trainer.objective(trainer.networks, batch, Stage("2d", KEYPOINTS, 1.0))
    assert prediction.hand is None


def test_the_exact_joints_have_no_location_loss_and_pixels_are_of_224(trainer, batch):
    prediction, _ = trainer.objective(trainer.networks, batch, Stage("3d", GEOMETRY, 1.0))
    assert prediction.hand is not None
    uv = prediction.hand.uv.detach()
    found = dataclasses.replace(batch, uv=uv, confidence=torch.ones(2, 21))
    terms = trainer.objective.terms(prediction, found, ("location", "orientation"))
    assert max(terms.values()) < 1e-6
    # Far from the target the penalty is the distance less 2.5 pixels.
    shifted = dataclasses.replace(found, uv=uv + torch.tensor([40.0, 0]))
    terms = trainer.objective.terms(prediction, shifted, ("location", "orientation"))
    assert terms["location"].item() == pytest.approx(40 * 224 / 128 - 2.5, rel=1e-4)
    assert terms["orientation"] < 1e-6


def test_without_confidence_nothing_is_learned_from_a_picture(trainer, batch):
    blind = dataclasses.replace(batch, confidence=torch.zeros(2, 21))
    _, terms = trainer.objective(trainer.networks, blind, Stage("all", JOINT, 1.0))
    for name in ("location", "orientation", "keypoints", "pixel", "ssim", "mean_color", "texture"):
        assert terms[name] == 0, name


def test_the_published_limits_are_a_choice(hand, trainer, batch):
    paper = Objective(dataclasses.replace(CONFIG, limits="paper"), hand)
    prediction, _ = trainer.objective(trainer.networks, batch, Stage("3d", GEOMETRY, 1.0))
    ours = trainer.objective.terms(prediction, batch, ("joint_limits",))["joint_limits"]
    published = paper.terms(prediction, batch, ("joint_limits",))["joint_limits"]
    assert published > ours + 1e-3


def test_spread_tells_hands_that_shrank():
    target = torch.randn(3, 21, 2)
    assert float(spread(0.1 * target + 7, target)) == pytest.approx(0.1, rel=1e-4)
