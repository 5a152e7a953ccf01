"""The closed forms in numpy say the same as PyTorch's, which are the reference."""

import numpy as np
import pytest
import torch

from tracker.geometry.hand_model import HandModel
from tracker.vision.engines.closed_forms import ClosedForms
from tracker.vision.engines.program import raw_output
from tracker.vision.network import NetworkConfig, S2HandNetwork

SIZES = ((30,), (10,), (1,), (6,), (3,), (778, 3), (11,))
"""Of the outputs, for one hand."""


def test_they_are_pytorchs_for_any_numbers_and_cameras():
    torch.manual_seed(5)
    config = NetworkConfig("mobilenetv4_conv_small", 128).for_hand(HandModel.load())
    network = S2HandNetwork(config).eval()
    raw = [2 * torch.randn(7, *size) for size in SIZES]
    raw[6][0, 0], raw[6][1, 8:] = 60.0, 0.0  # a strong light, and one without direction
    K = torch.tensor([[300.0, 4, 60], [0, 280, 90], [0, 0, 1]]).repeat(7, 1, 1)
    K[:, 0, 2] += torch.linspace(-300, 300, 7)
    placed = network.placed(raw_output(raw)[0], K)
    found = ClosedForms(config)([part.numpy() for part in raw], K.numpy())
    for ours, theirs in zip(found, placed[:7], strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=2e-5, atol=2e-5)


def test_the_published_parameterisation_is_left_to_pytorch():
    assert not ClosedForms.know(NetworkConfig.published())
    with pytest.raises(ValueError, match="published"):
        ClosedForms(NetworkConfig.published())
