"""The parameters of one placed hand as plain numpy: what the tracker carries and files store."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float


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
