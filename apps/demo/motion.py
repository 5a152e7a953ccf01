"""What the hands do in the demo: keys in time, and smooth curves through them.

Both hands are written down as right hands; the left one is the mirror image (x -> -x).
"""

from typing import Final, Literal

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

from apps.demo.poses import hand_pose, pose_angles
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skeleton import FINGERS, MANO_JOINTS

Side = Literal["left", "right"]

DURATION_S: Final = 10.0
BETAS: Final = np.array([0.5, -0.7, 0.6, 0.5, -0.4, 0.3, -0.5, 0.4, 0.2, -0.3])
"""The shape of the one person both hands belong to."""

Key = tuple[float, str, float, float, float, float, float, float]
"""Time (s), pose, turn about the forearm, tilt to the camera, lean to the side (degrees, 0 is palm to
the camera and fingers up), and the place of the wrist in the camera frame (m)."""

KEYS: Final[dict[Side, tuple[Key, ...]]] = {
    "right": (
        (0.00, "open", 2, 6, -17, -0.150, 0.100, 0.56),
        (0.35, "open", -2, 4, 15, -0.120, 0.098, 0.56),
        (0.75, "open", 2, 6, -16, -0.150, 0.100, 0.55),
        (1.15, "open", -4, 4, 13, -0.122, 0.098, 0.55),
        (1.55, "open", -6, 6, -8, -0.140, 0.100, 0.55),
        (2.10, "unpinch", -48, 12, 4, -0.130, 0.100, 0.53),
        (2.60, "pinch", -52, 14, 8, -0.125, 0.096, 0.52),
        (2.95, "pinch", -54, 14, 8, -0.125, 0.096, 0.52),
        (3.35, "unpinch", -50, 12, 6, -0.128, 0.098, 0.52),
        (3.75, "okay", -40, 10, 4, -0.130, 0.098, 0.52),
        (4.15, "okay", -36, 8, 0, -0.130, 0.100, 0.52),
        (4.75, "point", -28, 6, -8, -0.135, 0.104, 0.52),
        (5.25, "point", -22, 8, 12, -0.110, 0.104, 0.50),
        (5.90, "spread", -10, 4, 0, -0.070, 0.098, 0.45),
        (6.25, "spread", -10, 4, 2, -0.060, 0.096, 0.44),
        (6.90, "relaxed", -150, 8, -4, -0.110, 0.104, 0.52),
        (7.30, "relaxed", -120, 10, -10, -0.200, 0.130, 0.55),
        (7.75, "relaxed", -70, 10, -20, -0.520, 0.220, 0.58),
        (8.15, "relaxed", -40, 10, -10, -0.520, 0.220, 0.58),
        (8.65, "open", -8, 6, -4, -0.150, 0.102, 0.56),
        (9.15, "victory", -4, 4, -6, -0.140, 0.104, 0.54),
        (9.60, "victory", -6, 4, 8, -0.128, 0.102, 0.54),
        (10.0, "victory", -6, 4, 0, -0.134, 0.102, 0.54),
    ),
    "left": (
        (0.00, "relaxed", -40, 10, -5, -0.200, 0.460, 0.60),
        (1.50, "relaxed", -40, 10, -5, -0.200, 0.460, 0.60),
        (2.15, "open", -12, 6, -3, -0.140, 0.104, 0.58),
        (2.60, "spread", -8, 4, 2, -0.132, 0.100, 0.57),
        (3.10, "fist", -12, 6, 4, -0.134, 0.092, 0.56),
        (3.40, "fist", -14, 6, 4, -0.134, 0.092, 0.56),
        (3.90, "spread", -10, 4, 0, -0.136, 0.100, 0.56),
        (4.25, "spread", -10, 4, 0, -0.136, 0.100, 0.56),
        (4.80, "victory", -6, 4, -8, -0.142, 0.102, 0.56),
        (5.30, "victory", -8, 6, 6, -0.150, 0.104, 0.57),
        (5.95, "relaxed", -35, 10, -4, -0.220, 0.460, 0.60),
        (6.55, "relaxed", -35, 10, -4, -0.220, 0.460, 0.60),
        (7.20, "open", -8, 6, 2, -0.110, 0.104, 0.56),
        (7.60, "relaxed", -30, 10, 6, -0.100, 0.100, 0.54),
        (8.05, "point", -25, 8, 4, -0.110, 0.102, 0.54),
        (8.50, "point", -20, 6, -6, -0.125, 0.104, 0.55),
        (9.05, "open", -6, 6, -10, -0.140, 0.104, 0.56),
        (9.40, "open", -4, 6, 10, -0.125, 0.102, 0.56),
        (9.75, "open", -6, 6, -8, -0.140, 0.104, 0.56),
        (10.0, "open", -6, 6, 0, -0.132, 0.104, 0.56),
    ),
}

_FINGER_LAG_S: Final = {"thumb": 0.0, "index": 0.0, "middle": 0.015, "ring": 0.03, "pinky": 0.045}
"""Fingers do not start all at once: those far from the index follow it."""
_TREMBLE: Final = np.array([0.012] * 3 + [0.0012] * 3)  # rad and m
_TREMBLE_HZ: Final = (0.45, 0.8, 1.3)
_FINGERS_UP: Final = Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
"""Turns the right hand at rest (fingers -x, back +y) to fingers up, palm to the camera."""


class HandMotion:
    """Where one hand is at any time of the demo.

    Args:
        model: the right hand.
        side: whose motion.
        rng: draws the small restlessness on top of the keys.
    """

    def __init__(self, model: HandModel, side: Side, rng: np.random.Generator) -> None:
        keys = KEYS[side]
        times = np.array([key[0] for key in keys])
        places = np.array([key[2:] for key in keys])
        places[:, :3] = np.radians(places[:, :3])
        self._model, self._side = model, side
        self._place = PchipInterpolator(times, places)
        self._angles = PchipInterpolator(times, [pose_angles(key[1]) for key in keys])
        self._phases = rng.uniform(0, 2 * np.pi, (len(_TREMBLE_HZ), 6))
        self._finger_phases = rng.uniform(0, 2 * np.pi, 15)
        betas = model.v_template.new_tensor(BETAS)[None]
        self._wrist = model.with_shape(betas).joints[0, 0].double().numpy()

    def at(self, time_s: float) -> HandParams:
        """Return the hand at a time, as parameters of its own side's model."""
        turn, tilt, lean, *wrist = self._place(time_s) + self._tremble(time_s)
        orient = Rotation.from_euler("yxz", [turn, tilt, lean]) * _FINGERS_UP
        hand = HandParams(
            global_orient=orient.as_rotvec(),
            hand_pose=hand_pose(self._model, self._finger_angles(time_s)),
            betas=BETAS,
            transl=np.array(wrist) - self._wrist,
            scale=1.0,
        )
        return hand if self._side == "right" else hand.mirrored()

    def _tremble(self, time_s: float) -> Float[np.ndarray, " 6"]:
        waves = np.sin(2 * np.pi * np.array(_TREMBLE_HZ)[:, None] * time_s + self._phases)
        return _TREMBLE * waves.mean(0)

    def _finger_angles(self, time_s: float) -> Float[np.ndarray, "15 3"]:
        angles = np.empty((15, 3))
        for finger in FINGERS:
            mine = [i for i, name in enumerate(MANO_JOINTS[1:]) if name.startswith(finger)]
            lagged = np.clip(time_s - _FINGER_LAG_S[finger], 0, DURATION_S)
            angles[mine] = self._angles(lagged)[mine]
        angles[:, 0] += np.radians(0.8) * np.sin(2 * np.pi * 0.7 * time_s + self._finger_phases)
        return angles
