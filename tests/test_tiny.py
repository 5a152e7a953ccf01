"""The quickest proof of life: import, load the hand, one forward pass, one backward pass."""

import torch

from tracker.geometry.hand_model import HandModel


def test_a_hand_is_loaded_posed_and_skinned():
    hand_pose = torch.zeros(1, 15, 3, requires_grad=True)
    hand = HandModel.load().with_shape(torch.zeros(1, 10))
    mesh = hand.with_pose(torch.tensor([[0.3, 0.0, 0.0]]), hand_pose).skin()
    mesh.joints.square().sum().backward()

    assert mesh.vertices.shape == (1, 778, 3)
    assert mesh.joints.shape == (1, 21, 3)
    assert mesh.faces.shape == (1538, 3)
    wrist_to_middle_tip = (mesh.joints[0, 12] - mesh.joints[0, 0]).norm().item()
    assert 0.15 < wrist_to_middle_tip < 0.22  # a grown person's hand, in metres
    assert hand_pose.grad is not None
    assert hand_pose.grad.abs().max() > 0
