import dataclasses
import json

import pytest

from tracker.geometry.losses import LossWeights
from train.config import TrainConfig
from train.presets import PRESETS
from train.stages import JOINT, Stage, Timetable, paper_stages


@pytest.mark.parametrize("preset", PRESETS)
def test_a_configuration_survives_its_file(preset):
    config = PRESETS[preset]
    assert TrainConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"batch": "64"}, "TrainConfig.batch"),
        ({"batch": True}, "TrainConfig.batch"),
        ({"precision": "float16"}, "TrainConfig.precision"),
        ({"wheels": 4}, "wheels"),
        ({"shares": 1.0}, "TrainConfig.shares"),
        ({"network": {"encoder": "efficientnet_b0"}}, "TrainConfig.network"),
        ({"hand_model": 3}, "TrainConfig.hand_model"),
        ({"batch": 1}, "batch"),
        ({"shares": [1.0, 2.0]}, "share"),
        ({"ema": 1.0}, "ema"),
    ],
)
def test_a_damaged_configuration_is_refused_by_name(change, named):
    values = json.loads(PRESETS["smoke"].to_json()) | change
    with pytest.raises(ValueError, match=named):
        TrainConfig.from_json(json.dumps(values))


def test_the_terms_are_the_weights():
    assert set(JOINT) == {field.name for field in dataclasses.fields(LossWeights)}


def test_the_papers_timetable():
    """90, 90 and 60 epochs; halved every 30, then from 2.5e-4 a third every 20."""
    table = Timetable.of(paper_stages(), epoch_steps=508)
    assert table.steps == 240 * 508
    expected = {0: 1e-3, 29: 1e-3, 30: 5e-4, 60: 2.5e-4, 89: 2.5e-4, 90: 1e-3, 150: 2.5e-4}
    expected |= {180: 2.5e-4, 200: 2.5e-4 / 3, 220: 2.5e-4 / 9, 239: 2.5e-4 / 9}
    for epoch, rate in expected.items():
        assert table.learning_rate(epoch * 508) == pytest.approx(rate)
    assert [table.stage_at(epoch * 508) for epoch in (0, 89, 90, 179, 180, 239)] == [
        *(0, 0, 1, 1, 2, 2)
    ]
    assert table.learning_rate(30 * 508 - 1) == pytest.approx(1e-3)


def test_warm_up_and_cosine():
    stage = Stage("3d", ("location",), 10.0, lr=1.0, schedule="cosine", warmup_steps=4)
    table = Timetable.of([stage], epoch_steps=10)
    rates = [table.learning_rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[:4] == sorted(rates[:4])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[50] == pytest.approx(0.505)
    assert 0 < rates[99] < 0.02


def test_branches_follow_from_the_terms():
    branches = [(stage.hand, stage.keypoints) for stage in paper_stages()]
    assert branches == [(True, False), (False, True), (True, True)]
    with pytest.raises(ValueError, match="no terms"):
        Stage("empty", (), 1.0)
