"""What travels: one frame of hands, as a server sends it and a client receives it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from tracker.stream.frames import AXES, Axes
from tracker.stream.operator_frame import operator_points

Side = Literal["left", "right"]
State = Literal["tracked", "predicted", "lost"]


@dataclass(frozen=True)
class StreamHand:
    """One hand; parts that were not asked for, or are not known in this frame, are None."""

    id: int
    """Stays with the hand from frame to frame; never changes side, never used again."""
    side: Side
    """The person's own hand."""
    state: State
    """`lost` comes once, with the last pose."""
    score: float
    """Confidence in [0, 1]."""
    side_score: float | None
    """Confidence in the side in [0, 1]; None where the tracker gives none."""
    scale: float
    """Size factor on the hand model's own metres."""
    emulated: int
    """Bit j is set when joint j is not measured but a constant place in the hand."""
    axes: Axes = "openxr"
    """The frame that the geometry below is in."""
    joints: Float[np.ndarray, "26 8"] | None = None
    """x, y, z, quaternion x, y, z, w and radius of OpenXR's 26 joints."""
    kp3d: Float[np.ndarray, "21 3"] | None = None
    """The 21 joints of MediaPipe's order."""
    kp2d: Float[np.ndarray, "21 2"] | None = None
    """The same in pixels of the camera image, (0, 0) at its top-left corner."""
    mano: Float[np.ndarray, " 61"] | None = None
    """`global_orient` (3), `hand_pose` (45), `betas` (10), `transl` (3); always in the OpenCV frame."""
    verts: Float[np.ndarray, "V 3"] | None = None
    vel: Float[np.ndarray, "26 6"] | None = None
    """Linear (units/s) and angular velocity (rad/s) of the 26 joints."""
    pinch: Float[np.ndarray, " 4"] | None = None
    """0 (open) to 1 (touching) between thumb and index, middle, ring, little."""

    @property
    def positions(self) -> Float[np.ndarray, "26 3"]:
        """Places of the 26 joints."""
        return self._joints[:, :3]

    @property
    def orientations(self) -> Float[np.ndarray, "26 4"]:
        """Quaternions x, y, z, w of the 26 joints."""
        return self._joints[:, 3:7]

    @property
    def radii(self) -> Float[np.ndarray, " 26"]:
        """Distances from the 26 joints to the skin."""
        return self._joints[:, 7]

    @property
    def _joints(self) -> np.ndarray:
        if self.joints is None:
            raise ValueError("this hand has no joints; subscribe to the part 'joints'")
        return self.joints

    def operator_points(self) -> Float[np.ndarray, "21 3"]:
        """Return the 21 joints as retargeting of robot hands wants them (see `operator_frame`).

        Raises:
            ValueError: the hand has no `kp3d`.
        """
        if self.kp3d is None:
            raise ValueError("this hand has no 3D keypoints; subscribe to the part 'kp3d'")
        return operator_points(AXES[self.axes].metric_right_handed(self.kp3d), self.side)


@dataclass(frozen=True)
class StreamFrame:
    """All hands of one moment."""

    seq: int
    """One more with every published frame of a session, so gaps can be counted."""
    frame: int
    """The camera's frame number."""
    t_capture_ns: int
    """When the picture was taken, on the server's monotonic clock."""
    t_publish_ns: int
    """When its hands were handed to the stream, same clock."""
    hands: tuple[StreamHand, ...]
    session: int = 0
    """Changes when the server starts anew; then nothing learnt before holds."""

    def hand(self, side: Side) -> StreamHand | None:
        """Return the best scored hand of a side that is in view, or None."""
        seen = [hand for hand in self.hands if hand.side == side and hand.state != "lost"]
        return max(seen, key=lambda hand: hand.score, default=None)

    @property
    def left(self) -> StreamHand | None:
        """The left hand, if one is in view."""
        return self.hand("left")

    @property
    def right(self) -> StreamHand | None:
        """The right hand, if one is in view."""
        return self.hand("right")
