"""How likely a pose is: principal poses of real-life hands, each with its own deviation.

Beyond the paper, whose only hold on the fingers is E_J, limits of joints. A picture's 2D joints leave
bends towards and away from the camera open, and limits alone let all fingers use that freedom; the
usual cure (Romero et al. 2017 and what came after) is this squared distance to the mean pose. The
samples are the open hand's own (`weights/README.md` says where they come from), and serve every
hand of MANO's layout.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tracker.geometry.hand_files import HandArrays, read_hand_file


@dataclass(frozen=True)
class PosePrior:
    """A normal distribution over finger poses, in the space of its first principal poses."""

    mean: Float[Tensor, " 45"]
    """Axis-angle, the flat hand at zero."""
    whitening: Float[Tensor, "45 n"]
    """From a pose's difference to the mean to coefficients of deviation one."""

    @classmethod
    def of_open_hand(cls, components: int = 30) -> "PosePrior":
        """Return the prior of the open hand's pose samples."""
        return cls.of_samples(read_hand_file(), components)

    @classmethod
    def of_samples(cls, arrays: HandArrays, components: int) -> "PosePrior":
        """Return the prior of a hand file's pose samples.

        Raises:
            ValueError: the file has none.
        """
        if len(arrays.hands_coeffs) < 2:
            raise ValueError(f"{arrays.model_id} has no pose samples; use the open hand's")
        deviation = arrays.hands_coeffs[:, :components].std(0)
        middle = arrays.hands_mean + arrays.hands_coeffs.mean(0) @ arrays.hands_components
        # Principal poses are orthonormal, so their transpose takes coefficients out of a pose.
        whitening = arrays.hands_components[:components].T / deviation
        return cls(_float(middle), _float(whitening))

    def to(self, device: torch.device) -> "PosePrior":
        """Move to a device."""
        return PosePrior(self.mean.to(device), self.whitening.to(device))

    def loss(self, hand_pose: Float[Tensor, "b 15 3"]) -> Float[Tensor, ""]:
        """Return the mean squared coefficient: 1 for poses drawn from the prior, 0 for the mean."""
        # The prior is kept in float32, whatever the poses are in.
        mean, whitening = self.mean.to(hand_pose), self.whitening.to(hand_pose)
        return ((hand_pose.flatten(1) - mean) @ whitening).square().mean()


def _float(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
