"""Losses between frames: what they forgive, what they cost, and the triples they need."""

import dataclasses
import math
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from tracker.geometry.hand_model import HandModel
from tracker.geometry.losses import LossWeights
from tracker.geometry.rotations import matrix_from_axis_angle
from tracker.vision.network import NetworkConfig, S2HandNetwork
from train.batch import TrainBatch
from train.config import TrainConfig
from train.datasets import open_dataset
from train.datasets.keypoint_files import HandLabel, write_labels
from train.datasets.sample import DatasetError
from train.errors import TrainingError
from train.objective import Objective
from train.presets import PRESETS
from train.sources import training_stream
from train.temporal import (
    LARGEST_GAP,
    TEMPORAL,
    evenly_spaced,
    joint_turns,
    motion_loss,
    steady_shape_loss,
    steady_texture_loss,
)

ALL = torch.ones(1, dtype=torch.bool)


def turns_of(*degrees_about_z: float) -> Tensor:
    axis_angle = torch.zeros(len(degrees_about_z), 1, 3).double()
    axis_angle[:, 0, 2] = torch.tensor(degrees_about_z).double().deg2rad()
    return matrix_from_axis_angle(axis_angle)


@pytest.mark.parametrize(
    ("angles", "away"),
    [
        ((10, 10, 10), 0),
        ((-40, 10, 60), 0),  # even turns cost nothing
        ((170, -170, -150), 0),  # nor where quaternions change their sign
        ((0, 30, 0), 30),
        ((0, 0, 40), 20),
        ((0, 180, 0), 180),
    ],
)
def test_motion_is_the_angle_from_the_middle(angles, away):
    loss = motion_loss(turns_of(*angles), ALL)
    assert float(loss) == pytest.approx(math.sin(math.radians(away) / 2) ** 2, abs=1e-12)


def test_the_middle_is_that_of_slerp():
    turns = Rotation.random(30, random_state=1)
    matrices = torch.from_numpy(turns.as_matrix()).view(3, 10, 3, 3)
    before, now, after = (Rotation.from_matrix(m.numpy()) for m in matrices)
    pairs = [Rotation.concatenate([a, b]) for a, b in zip(before, after, strict=True)]
    middle = Rotation.concatenate([Slerp([0, 1], pair)(0.5) for pair in pairs])
    expected = np.sin((middle.inv() * now).magnitude() / 2) ** 2
    assert float(motion_loss(matrices, ALL)) == pytest.approx(expected.mean())


def test_gradients(rng):
    draw = lambda *shape: torch.from_numpy(rng.normal(size=shape)).requires_grad_()  # noqa: E731
    some = torch.tensor([True, False])
    vectors = draw(6, 2, 3)
    motion = lambda v: motion_loss(matrix_from_axis_angle(v), some)  # noqa: E731
    assert torch.autograd.gradcheck(motion, (vectors,))
    still = torch.zeros(6, 2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(motion, (still,))
    shape = lambda b, s: steady_shape_loss(b, s.exp(), some)  # noqa: E731
    assert torch.autograd.gradcheck(shape, (draw(6, 10), draw(6)))
    assert torch.autograd.gradcheck(lambda c: steady_texture_loss(c, some), (draw(6, 5, 3),))


def test_triples_that_are_none_do_not_count():
    whole = torch.tensor([False, True])
    turns = torch.cat([turns_of(0, 90, 0), turns_of(0, 30, 0), turns_of(5)])
    assert float(motion_loss(turns, whole)) == pytest.approx(math.sin(math.radians(15)) ** 2)
    assert float(motion_loss(turns, torch.tensor([False, False]))) == 0
    assert float(motion_loss(turns[:2], torch.zeros(0, dtype=torch.bool))) == 0


def test_one_hand_keeps_shape_and_colour():
    betas = torch.zeros(3, 10)
    betas[:, 0] = torch.tensor([0.0, 3.0, 0.0])  # mean 1, squares 1 4 1
    ones = torch.ones(3)
    assert float(steady_shape_loss(betas, ones, ALL)) == pytest.approx(2)
    scale = torch.tensor([1.0, math.e**3, 1.0])
    assert float(steady_shape_loss(torch.zeros(3, 10), scale, ALL)) == pytest.approx(2)
    texture = torch.zeros(3, 4, 3)
    texture[1, 0, 0] = 3
    assert float(steady_texture_loss(texture, ALL)) == pytest.approx(2 / 12)
    assert float(steady_texture_loss(texture[1:2].expand(3, -1, -1), ALL)) == 0


def test_neighbours_are_evenly_spaced_frames_of_one_hand():
    near = [("a:right", 4), ("a:right", 6), ("a:right", 8)]
    assert evenly_spaced(near)
    assert not evenly_spaced([*near[:2], ("a:left", 8)])
    assert not evenly_spaced([*near[:2], ("a:right", 9)])
    assert not evenly_spaced([*near[:2], None])
    assert not evenly_spaced(near[:2])
    assert not evenly_spaced(near[::-1])
    assert not evenly_spaced([("a:right", LARGEST_GAP * 2 * i) for i in range(3)])


def test_the_roll_of_a_crop_is_no_motion(rng):
    """One still hand in crops that are rolled differently: turns in the clip's camera agree."""
    hand = HandModel.load()
    with torch.no_grad():
        output = S2HandNetwork(SMALL.network.for_hand(hand)).eval()(torch.rand(3, 3, 128, 128))
    orient = output.global_orient[:1].expand(3, 3, 3)
    rolls = matrix_from_axis_angle(torch.tensor([[0, 0, 0.2], [0, 0, -0.3], [0, 0, 0.1]]))
    seen = output._replace(global_orient=rolls @ orient, pose=output.pose[:1].expand(3, -1))
    assert float(motion_loss(joint_turns(seen, hand, rolls), ALL)) < 1e-6
    unrolled = torch.eye(3).expand(3, 3, 3)
    assert float(motion_loss(joint_turns(seen, hand, unrolled), ALL)) > 1e-3


SMALL = dataclasses.replace(
    PRESETS["smoke"],
    network=NetworkConfig(encoder="mobilenetv4_conv_small", input_px=128),
    batch=6,
    workers=0,
    weights=LossWeights(motion=1.0, steady_shape=0.5, steady_texture=0.5),
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips with labels: ten frames in a row, and one with gaps; a left hand with a hole."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    labels = []
    frames = {
        ("a.mp4", "right"): range(10),
        ("a.mp4", "left"): (0, 1, 3, 4, 5),
        ("b.mp4", "right"): (0, 9),
    }
    for name in ("a.mp4", "b.mp4"):
        with av.open(str(root / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height = 160, 120
            for _ in range(10):
                pixels = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
    for (name, side), numbers in frames.items():
        for number in numbers:
            uv = rng.uniform(40, 80, (21, 2))
            labels.append(HandLabel(f"{name}#{number}", side, uv, np.ones(21)))
    write_labels(root / "labels.npz", labels)
    return root


def test_every_frame_is_in_the_middle_of_one_triple(clips):
    data = open_dataset(f"videos:{clips},triples=yes")
    moments = [data[i].clip for i in range(len(data))]
    assert len(moments) == 3 * (8 + 1)
    middles = []
    for i in range(0, len(moments), 3):
        assert evenly_spaced(moments[i : i + 3])
        middles.append(moments[i + 1])
    expected = {("a.mp4:right", i) for i in range(1, 9)} | {("a.mp4:left", 4)}
    assert set(middles) == expected
    assert data[4].source.endswith(f"#{moments[4][1]}")
    with pytest.raises(IndexError, match="asked for 27"):
        data[27]


def filmed(clips: Path, **changes: object) -> TrainConfig:
    words = (f"videos:{clips},triples=yes", "synthetic")
    return dataclasses.replace(SMALL, data=words, **changes)


def test_batches_keep_triples_together_and_the_losses_see_them(clips):
    config = filmed(clips)
    with training_stream(config, 0) as stream:
        batches: list[TrainBatch] = list(islice(stream, 4))
    kinds = [
        [moment is not None for moment in batch.clip[i : i + 3]]
        for batch in batches
        for i in (0, 3)
    ]
    assert all(kind in ([True] * 3, [False] * 3) for kind in kinds)
    assert [True] * 3 in kinds
    assert [False] * 3 in kinds
    batch = next(b for b in batches if b.clip[0] is not None)
    hand = HandModel.load()
    objective = Objective(config, hand)
    stage = config.stages[2]
    assert set(TEMPORAL) <= set(objective.wanted(stage))
    network = S2HandNetwork(config.network.for_hand(hand)).train()
    prediction = objective.predict(network, batch)
    makers = objective._temporal_terms(prediction.output, batch)
    terms = {name: float(make().detach()) for name, make in makers.items()}
    assert set(terms) == set(TEMPORAL)
    assert all(value > 0 for value in terms.values())


def test_losses_without_neighbours_are_refused(clips, tmp_path):
    with pytest.raises(TrainingError, match=r"weight of motion .*triples=yes"):
        training_stream(SMALL, 0)
    with pytest.raises(TrainingError, match=r"4 samples .* runs of 3"):
        training_stream(filmed(clips, batch=4), 0)
    uv = np.random.default_rng(0).uniform(40, 80, (21, 2))
    write_labels(tmp_path / "labels.npz", [HandLabel("a.mp4#2", "right", uv, np.ones(21))])
    (tmp_path / "a.mp4").write_bytes((clips / "a.mp4").read_bytes())
    with pytest.raises(DatasetError, match="no three neighbouring frames"):
        open_dataset(f"videos:{tmp_path},triples=yes")


def test_they_are_off_by_default():
    assert all(getattr(LossWeights(), term) == 0 for term in TEMPORAL)
    plain = dataclasses.replace(SMALL, weights=LossWeights())
    for stage in plain.stages:
        assert not set(TEMPORAL) & set(Objective(plain, HandModel.load()).wanted(stage))
