"""The parameters of one placed hand as plain numpy: what the tracker carries and files store."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class HandShape:
    """What stays with a person: `betas` and `scale` of `HandParams`, the same for both hands.

    It is hashable, so that configurations that hold one are.
    """

    betas: tuple[float, ...]
    """Ten, in standard deviations; they mean something for one hand model only."""
    scale: float
    """Size factor on the model's own metres."""

    def __post_init__(self) -> None:
        if len(self.betas) != 10 or not all(abs(beta) <= 10 for beta in self.betas):
            raise ValueError(f"betas are ten numbers between -10 and 10, found {self.betas}")
        if not 0.25 <= self.scale <= 4:
            raise ValueError(f"scale must lie between 0.25 and 4, found {self.scale}")


@dataclass(frozen=True)
class HandParams:
    """One hand in the camera frame: `vertices = scale * model(...) + transl` (see `tracker.geometry`)."""

    global_orient: Float[np.ndarray, " 3"]
    """Axis-angle of the whole hand about its wrist joint, radians."""
    hand_pose: Float[np.ndarray, "15 3"]
    """Axis-angle of the finger joints in MANO's order, zero for the flat hand, radians."""
    betas: Float[np.ndarray, " 10"]
    """Shape in standard deviations."""
    transl: Float[np.ndarray, " 3"]
    """Translation in metres, added after scaling."""
    scale: float
    """Size factor on the model's own metres."""

    def mirrored(self) -> "HandParams":
        """Return the same hand seen in a mirror (x -> -x), as parameters of the other side's model."""
        flip = np.array([1.0, -1.0, -1.0])
        return replace(
            self,
            global_orient=self.global_orient * flip,
            hand_pose=self.hand_pose * flip,
            transl=self.transl * np.array([-1.0, 1.0, 1.0]),
        )
