"""A trained network as something that answers batches, and the mean hand that it has to beat."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from tracker.geometry.camera import project
from tracker.geometry.hand_model import HandMesh, HandModel
from tracker.vision.network import S2HandNetwork, decode
from tracker.vision.network_files import read_network
from train.batch import TrainBatch
from train.dataset_joints import JointRule, joints_by_rule
from train.errors import TrainingError

DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Predicted:
    """Hands of a batch, float64, metres in the camera frame of each crop."""

    joints: Float[np.ndarray, "b 21 3"]
    vertices: Float[np.ndarray, "b V 3"]
    uv: Float[np.ndarray, "b 21 2"] | None
    """Joints in pixels of the crop; None where the hands have no place."""


Predictor = Callable[[TrainBatch], Predicted]
"""Whatever answers a batch with hands."""


class NetworkPredictor:
    """A network with the hand it was trained for.

    Args:
        network: of right hands.
        hand: the right hand model it was trained for.
        rule: how joints are read from the surface.
        device: where to compute.
    """

    def __init__(
        self,
        network: S2HandNetwork,
        hand: HandModel,
        rule: JointRule = "own",
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.hand = hand.to(self.device)
        self.rule: JointRule = rule
        self.network = network.to(self.device).eval()
        # PyTorch's own annotations do not know this call.
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @classmethod
    def read(
        cls, weights: Path, hand: HandModel, rule: JointRule, device: torch.device
    ) -> "NetworkPredictor":
        """Read a network's file.

        Raises:
            ModelFileError: it is missing, damaged, or of another hand.
        """
        return cls(read_network(weights, hand), hand, rule, device)

    @torch.no_grad()
    def __call__(self, batch: TrainBatch) -> Predicted:
        """Reconstruct the hands of a batch."""
        batch = batch.to(self.device)
        mesh = decode(self.network(batch.rgb, batch.K), self.hand)
        joints = joints_by_rule(mesh, self.hand, self.rule)
        return Predicted(_array(joints), _array(mesh.vertices), _array(project(joints, batch.K)))


class MeanHandPredictor:
    """The mean hand in its mean pose for every picture: what needs no eyes."""

    def __init__(self, hand: HandModel, rule: JointRule = "own") -> None:
        mesh = mean_hand(hand)
        self._joints = _array(joints_by_rule(mesh, hand, rule))
        self._vertices = _array(mesh.vertices)

    def __call__(self, batch: TrainBatch) -> Predicted:
        """Return as many mean hands as the batch has pictures."""
        count = (len(batch), 1, 1)
        return Predicted(np.tile(self._joints, count), np.tile(self._vertices, count), None)


def mean_hand(hand: HandModel) -> HandMesh:
    """Return the mean hand in its mean pose, one of a batch."""
    zero = hand.v_template.new_zeros(1, 10)
    pose = hand.pose_from_pca(zero[:, :1])
    return hand.with_shape(zero).with_pose(zero[:, :3], pose).skin()


def pick_device(wanted: DeviceName) -> torch.device:
    """Return the device of that name; `auto` takes a GPU where there is one.

    Raises:
        TrainingError: a GPU was asked for, and there is none.
    """
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise TrainingError(
            "device 'cuda' was asked for, but PyTorch sees no NVIDIA GPU; use --device cpu or auto"
        )
    return torch.device("cuda" if found and wanted != "cpu" else "cpu")


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.double().cpu().numpy()
