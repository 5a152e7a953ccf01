"""Whose hands, which blocks, and what stays with a person."""

import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tracker.geometry.hand_model import HandModel
from tracker.vision.network import NetworkConfig, S2HandNetwork
from tracker.vision.network_files import read_network, write_network
from train.personalise_clip import held_out_blocks
from train.personalise_mix import between
from train.personalise_network import (
    PersonStart,
    raw_size,
    said_shape,
    shape_parameters,
    skin_parameter,
    with_person,
)
from train.personalise_person import Sighting, choose_person

FRAMES = 100
BETAS = torch.linspace(-1, 1, 10)


def seen(track: int, side: str, frames: range) -> list[Sighting]:
    return [Sighting(track, side, frame) for frame in frames]


def test_both_hands_of_one_person_are_taken_also_when_they_come_back():
    found = [*seen(0, "right", range(60)), *seen(1, "left", range(20, FRAMES))]
    chosen = choose_person([*found, *seen(2, "right", range(70, FRAMES))])
    assert chosen.others == ""
    assert all(chosen.takes(track, 75) for track in (0, 1, 2))


def test_a_hand_seen_twice_for_a_moment_is_taken_once():
    chosen = choose_person([*seen(0, "right", range(FRAMES)), *seen(1, "right", range(3))])
    assert chosen.others == ""
    assert chosen.takes(0, 1)
    assert not chosen.takes(1, 1)


def test_of_several_people_the_hand_seen_most_is_taken_and_it_is_said():
    crowd = [*seen(0, "left", range(80)), *seen(1, "left", range(FRAMES))]
    chosen = choose_person([*crowd, *seen(2, "right", range(50))])
    assert [chosen.takes(track, 40) for track in (0, 1, 2)] == [False, True, False]
    assert "several people" in chosen.others
    assert "left hand" in chosen.others
    assert "2 others" in chosen.others


@pytest.mark.parametrize("length_s", [3.0, 60.0])
def test_whole_blocks_are_kept_aside_with_a_gap_around_them(length_s: float):
    times = np.linspace(5, 5 + length_s, 300)
    learning, aside = held_out_blocks(times.tolist())
    assert not set(learning) & set(aside)
    assert 0.15 < len(aside) / 300 < 0.25
    starts = sum(b - a > 1 for a, b in pairwise(aside)) + 1
    assert starts == (2 if length_s == 3.0 else 8)
    nearest = min(abs(times[a] - times[b]) for a in learning for b in aside)
    assert nearest > 2 * length_s / 300


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module", params=[False, True], ids=["ours", "published"])
def network(request: pytest.FixtureRequest, hand: HandModel) -> S2HandNetwork:
    torch.manual_seed(0)
    config = NetworkConfig(
        "mobilenetv4_conv_small", 128, joint_maps=not request.param, paper=request.param
    )
    return S2HandNetwork(config.for_hand(hand)).eval()


def twin_of(network: S2HandNetwork) -> S2HandNetwork:
    size = torch.tensor([raw_size(1.1, paper=network.config.paper)])
    return with_person(network, PersonStart(BETAS, size, torch.full((778, 3), 0.3)))


@torch.no_grad()
def test_every_picture_has_the_persons_hand_and_its_own_pose(network, rng):
    rgb = torch.from_numpy(rng.random((2, 3, 128, 128), np.float32))
    own, person = network(rgb), twin_of(network)(rgb)
    assert torch.equal(person.betas, BETAS.expand(2, 10))
    torch.testing.assert_close(person.scale, torch.full((2,), 1.1))
    assert torch.equal(person.texture[0], person.texture[1])
    assert torch.equal(person.pose, own.pose)
    assert torch.equal(person.light, own.light)


def test_only_what_stays_with_the_person_is_new_and_can_be_learned(network):
    twin = twin_of(network)
    shared = {id(p) for p in network.parameters()}
    new = [p for p in twin.parameters() if id(p) not in shared and p.requires_grad]
    assert {id(p) for p in new} == {
        id(p) for p in (*shape_parameters(twin), skin_parameter(twin)) if p is not None
    }
    assert said_shape(twin)[1] == pytest.approx(1.1, abs=1e-5)


@torch.no_grad()
def test_the_way_from_before_to_after(network, rng):
    learned = copy.deepcopy(network)
    for parameter in learned.parameters():
        parameter += 0.01
    for layers in (learned.geometry.trunk[1], learned.geometry.trunk[4]):
        layers.running_mean += 1
    twin = twin_of(learned)
    rgb = torch.from_numpy(rng.random((2, 3, 128, 128), np.float32))
    none, half, whole = (between(network, twin, share) for share in (0.0, 0.5, 1.0))
    assert torch.equal(whole(rgb).pose, twin(rgb).pose)
    assert not torch.equal(twin(rgb).pose, network(rgb).pose)
    none.encoder = network.encoder  # it rests when a network learns, so it is no part of the way
    assert torch.equal(none(rgb).pose, network(rgb).pose)
    for part in ("geometry.trunk.0.weight", "geometry.trunk.1.running_mean"):
        start, end = network.state_dict()[part], twin.state_dict()[part]
        torch.testing.assert_close(half.state_dict()[part], (start + end) / 2)
    assert torch.equal(half(rgb).betas, 0.5 * BETAS.expand(2, 10))
    assert none(rgb).scale.tolist() == pytest.approx([1, 1], abs=1e-6)
    assert torch.equal(half(rgb).texture, twin(rgb).texture)


@torch.no_grad()
def test_the_file_is_an_ordinary_network(network, hand, tmp_path: Path, rng):
    twin, file = twin_of(network), tmp_path / "me.safetensors"
    write_network(file, twin, hand, half=True)
    rgb = torch.from_numpy(rng.random((1, 3, 128, 128), np.float32))
    found, wanted = read_network(file, hand)(rgb), twin(rgb)
    assert torch.equal(found.betas, wanted.betas)
    assert torch.equal(found.texture, wanted.texture)
    torch.testing.assert_close(found.pose, wanted.pose, atol=2e-3, rtol=0.02)
