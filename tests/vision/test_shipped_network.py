import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tracker.geometry.camera import project
from tracker.geometry.hand_model import HandModel
from tracker.geometry.metrics import pa_mpjpe_mm
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.network import S2HandNetwork, decode
from tracker.vision.network_files import read_header, read_network
from train.datasets.mixing import ordered_batches
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.validate import mean_hand_joints

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
FILE = WEIGHTS / "network.safetensors"
HELD_OUT = SyntheticConfig(size_px=128, seed=900_001, count=48)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module")
def network(hand: HandModel) -> S2HandNetwork:
    return read_network(FILE, hand)


def test_the_file_is_the_one_of_the_manifest_and_small():
    entry = json.loads((WEIGHTS / "manifest.json").read_text())[FILE.name]
    data = FILE.read_bytes()
    assert (entry["bytes"], entry["ships"]) == (len(data), True)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert len(data) <= 16 * 2**20


def test_it_says_what_it_was_trained_for(hand):
    header = read_header(FILE)
    assert (header.model_id, header.sha256) == (hand.model_id, hand.sha256)
    assert header.config.joint_maps


@torch.no_grad()
def test_it_reconstructs_hands_it_never_saw(network, hand):
    batch = next(ordered_batches(SyntheticHands(HELD_OUT), batch=48, hw_px=128))
    joints = decode(network(batch.rgb, batch.K), hand).joints
    truth = batch.xyz.double().numpy()
    mean = np.broadcast_to(mean_hand_joints(hand).astype(float), truth.shape)
    error = pa_mpjpe_mm(joints.double().numpy(), truth)
    assert error < 0.85 * pa_mpjpe_mm(mean, truth)
    apart = (project(joints, batch.K) - batch.uv_true).norm(dim=-1) / 128
    assert apart.median() < 0.08


def test_the_tracker_takes_it_without_being_told():
    assert HandTracker().mode == "fused"
    assert HandTracker(HandTrackerConfig(mode="landmarks")).mode == "landmarks"
