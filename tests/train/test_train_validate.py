import dataclasses

import numpy as np
import pytest
import torch

from tracker.geometry.hand_model import HandMesh, HandModel
from train.batch import TrainBatch
from train.datasets.mixing import ordered_batches
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.objective import HandPrediction, Objective
from train.panels import panel
from train.presets import PRESETS
from train.trainer import Trainer
from train.validate import mean_hand_joints, validate


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(PRESETS["smoke"], HandModel.load())


@pytest.fixture(scope="module")
def batches() -> list[TrainBatch]:
    hands = SyntheticHands(SyntheticConfig(size_px=128, seed=5, count=5))
    return list(ordered_batches(hands, batch=3, hw_px=128))


class Knowing(Objective):
    """The network answers with the truth, twice too large and off by some pixels."""

    off_px: float

    def predict(self, network, batch, *, draw=False) -> HandPrediction:
        found = super().predict(network, batch)
        assert batch.vertices is not None
        mesh = HandMesh(2 * batch.vertices, 2 * batch.xyz, found.mesh.faces)
        uv = batch.uv_true + torch.tensor([self.off_px, 0.0])
        return HandPrediction(found.output, mesh, uv, None)


def test_a_network_that_knows_has_no_aligned_error(trainer, batches):
    knowing = Knowing(trainer.config, trainer.hand)
    knowing.off_px = 2.0
    numbers = validate(knowing, trainer.networks.hand, batches)
    assert numbers["pa_mpjpe_mm"] < 1e-2
    assert numbers["pa_mpvpe_mm"] < 1e-2
    assert numbers["gain_percent"] > 99.9
    assert numbers["mpjpe_mm"] > 30  # the size is wrong, which only this number sees
    assert numbers["uv_px"] == pytest.approx(2 * 224 / 128, rel=1e-4)


def test_unknown_truth_is_left_out(trainer, batches):
    full = validate(trainer.objective, trainer.networks.hand, batches[:1])
    blank = dataclasses.replace(
        batches[1],
        xyz=torch.full_like(batches[1].xyz, torch.nan),
        uv_true=torch.full_like(batches[1].uv, torch.nan),
        vertices=None,
    )
    mixed = validate(trainer.objective, trainer.networks.hand, [batches[0], blank])
    assert mixed["pa_mpjpe_mm"] == full["pa_mpjpe_mm"]
    assert mixed["pa_mpvpe_mm"] == full["pa_mpvpe_mm"]
    assert np.isfinite(mixed["uv_px"])
    only = validate(trainer.objective, trainer.networks.hand, [blank])
    assert set(only) == {"uv_px"}


def test_measuring_changes_nothing(trainer, batches):
    before = {k: v.clone() for k, v in trainer.networks.state_dict().items()}
    learning = trainer.networks.hand.training
    first = validate(trainer.objective, trainer.networks.hand, batches)
    assert first == validate(trainer.objective, trainer.networks.hand, batches)
    assert trainer.networks.hand.training == learning
    for name, value in trainer.networks.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_mean_hand_is_a_hand(trainer):
    joints = mean_hand_joints(trainer.hand)
    assert joints.shape == (21, 3)
    assert 0.07 < np.linalg.norm(joints[9] - joints[0]) < 0.12


def test_a_panel_shows_crop_render_and_colours(trainer, batches):
    sheet = panel(trainer.objective, trainer.networks.hand, batches[0])
    assert sheet.shape == (3 * 128, 4 * 128, 3)
    crop = sheet[:128, :128].astype(int)
    rgb = (batches[0].rgb[0].permute(1, 2, 0) * 255).round().numpy().astype(int)
    drawn = (np.abs(crop - rgb).max(-1) > 8).mean()
    assert 0.01 < drawn < 0.3
    for column in (2, 3):  # a hand alone, before black
        lit = (sheet[:128, 128 * column : 128 * (column + 1)] > 0).any(-1).mean()
        assert 0.05 < lit < 0.6
