"""From a posed hand to the 26 joints of OpenXR, with orientations and radii.

MANO turns bones from the flat hand onwards, but says nothing about how a joint's own axes lie in
it. So each joint gets axes in the hand at rest once, following OpenXR (+Z back along the bone, +Y
out of the back of the hand or the nail), and is then carried by the bone it belongs to:
`R_joint = openxr_from_camera * R_bone * C_joint`. Nothing is fitted to the bent finger, so no joint
can flip or twist. Five joints that MANO lacks (the palm and four metacarpals) keep a constant place
in the palm.

Positions and orientations are right-handed, y up, -z forward, metres, from the camera. A left hand
is the exact mirror of a right one.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from tracker.geometry.hand_model import KEYPOINTS_FROM_MANO, HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skeleton import MANO_PARENTS, OPENXR_JOINTS
from tracker.stream.openxr_kernel import HandConstants, openxr_joints
from tracker.stream.openxr_skeleton import (
    DISTALS,
    DRIVERS,
    FAR,
    INDEX_MCP,
    IS_THUMB,
    LITTLE_MCP,
    METACARPALS,
    MIDDLE_MCP,
    MIDDLE_METACARPAL,
    MIDDLE_PROXIMAL,
    MODELLED,
    NEAR,
    PALM,
    SOURCE,
    TIPS,
    WRIST,
)

CAMERA_TO_OPENXR: Final = np.array([1.0, -1.0, -1.0])
"""x, y, z of the OpenCV camera frame times these are OpenXR's: half a turn about x."""

# The constants below were fitted to the resting hand of the WebXR input profiles (generic-hand) and
# three recorded poses of a headset; they are lengths relative to wrist-to-middle-MCP, and degrees.
_METACARPAL_PLACES: Final = np.array(
    [[-0.14, -0.10, -0.38], [-0.015, -0.07, -0.345], [0.14, -0.04, -0.335], [0.26, -0.06, -0.36]]
)
"""Towards the little finger, out of the back of the hand, towards the arm; from the wrist."""
_THUMB_NAIL: Final = np.array([-0.85, 0.35, 0.5])
"""Where the thumb's back looks in the resting hand, same axes."""
_ROLL_WRIST, _ROLL_METACARPALS, _ROLL_FINGERS = (
    6.7,
    (6.0, 2.0, -1.0, -17.0),
    (10.0, 5.0, -2.0, -10.0),
)
_ROLLS: Final = np.radians(
    [_ROLL_WRIST] * 2
    + [0.0] * 4
    + [
        roll
        for metacarpal, finger in zip(_ROLL_METACARPALS, _ROLL_FINGERS, strict=True)
        for roll in (metacarpal, *[finger] * 4)
    ]
)

_TIP_RADIUS: Final = {"thumb": 0.90, "index": 0.87, "middle": 0.87, "ring": 0.86, "little": 0.84}
"""Radius of a tip relative to the joint before it, as in the recorded headset poses."""

# MANO's tree in three levels, so that forward kinematics is three stacked products.
_BASES: Final = np.array([1, 4, 7, 10, 13])


@dataclass(frozen=True)
class OpenXrJoints:
    """The 26 joints of one hand, in the order of `skeleton.OPENXR_JOINTS`."""

    positions: Float[np.ndarray, "26 3"]
    orientations: Float[np.ndarray, "26 4"]
    """Unit quaternions x, y, z, w with w >= 0."""
    radii: Float[np.ndarray, " 26"]
    """From the joint to the skin, metres."""


class OpenXrHand:
    """Turn the hands of one model, of one side, into OpenXR joints.

    Example:
        >>> to_openxr = OpenXrHand(HandModel.load(side="left"))
        >>> joints = to_openxr(hand.params, hand.joints)
    """

    def __init__(self, model: HandModel) -> None:
        self._sign = 1.0 if model.side == "right" else -1.0
        self._mirror = np.array([self._sign, 1.0, 1.0])
        template = model.v_template.double().cpu().numpy()
        shapes = np.concatenate(
            [template[..., None], model.shapedirs.double().cpu().numpy()], axis=-1
        )
        regressor = model.J_regressor.double().cpu().numpy()
        joints = np.einsum("jv,vck->jck", regressor, shapes)
        keypoints = np.concatenate([joints, shapes[list(model.tip_ids)]])
        self._keypoints = keypoints[list(KEYPOINTS_FROM_MANO)]
        """(21, 3, 11) resting joints, then their change for each unit of `betas`."""
        mean = self.rest(np.zeros(10))[0]
        weights = model.lbs_weights.double().cpu().numpy()
        self._radii = _skin_radii(mean, template, weights)
        self.palm_length = float(_palm_length(mean))
        """From the wrist to the middle finger's MCP in the mean hand, metres."""
        rolls = self._sign * _ROLLS
        self._constants = HandConstants(
            keypoints=np.ascontiguousarray(self._keypoints),
            metacarpals=_METACARPAL_PLACES * self._mirror,
            thumb_nail=_THUMB_NAIL * self._mirror,
            rolls=np.stack([np.cos(rolls), np.sin(rolls)], axis=1),
            radii=self._radii,
            palm_length=self.palm_length,
            sign=self._sign,
        )
        flat = HandParams(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3), 1.0)
        self(flat, self._keypoints[..., 0])  # compiles now, not while hands are streamed

    def rest(
        self, betas: Float[np.ndarray, " 10"]
    ) -> tuple[Float[np.ndarray, "26 3"], Float[np.ndarray, "26 3 3"]]:
        """Return places and axes (in columns) of the joints of the flat hand, in the model's frame."""
        keypoints = self._keypoints @ np.concatenate([[1.0], betas])
        places = np.empty((26, 3))
        places[MODELLED] = keypoints[SOURCE]
        across = self._sign * (keypoints[LITTLE_MCP] - keypoints[INDEX_MCP])
        palm = _axes(keypoints[0] - keypoints[MIDDLE_MCP], across)
        length = np.linalg.norm(keypoints[0] - keypoints[MIDDLE_MCP])
        places[METACARPALS] = places[WRIST] + length * (_METACARPAL_PLACES * self._mirror) @ palm.T
        places[PALM] = _palm_center(places)
        back = places[NEAR] - places[FAR]
        nail = palm @ (_THUMB_NAIL * self._mirror)
        # Both give the joint's X: the thumb's is at right angles to its nail's direction.
        sideways = np.where(IS_THUMB[:, None], _cross(nail, back), across)
        return places, _rolled(_axes(back, sideways), self._sign * _ROLLS)

    def __call__(self, params: HandParams, joints: Float[np.ndarray, "21 3"]) -> OpenXrJoints:
        """Return the OpenXR joints of a hand, as `reference` does, some twenty times faster.

        Args:
            params: the hand's parameters, of this side's model.
            joints: its 21 joints in metres, in the camera frame, as skinned with `params`.
        """
        positions, orientations, radii = np.empty((26, 3)), np.empty((26, 4)), np.empty(26)
        given = (params.global_orient, params.hand_pose, params.betas)
        orient, pose, betas = (np.ascontiguousarray(values, np.float64) for values in given)
        places = np.ascontiguousarray(joints, np.float64)
        openxr_joints(
            *(self._constants, orient, pose, betas, float(params.scale), places),
            *(positions, orientations, radii),
        )
        return OpenXrJoints(positions, orientations, radii)

    def reference(self, params: HandParams, joints: Float[np.ndarray, "21 3"]) -> OpenXrJoints:
        """Return the same in plain numpy; see `__call__`."""
        rest, axes = self.rest(params.betas)
        turns = _bone_rotations(params)
        places = np.empty((26, 3))
        places[MODELLED] = joints[SOURCE]
        offsets = rest[METACARPALS] - rest[WRIST]
        places[METACARPALS] = places[WRIST] + params.scale * offsets @ turns[0].T
        places[PALM] = _palm_center(places)
        frames = turns[DRIVERS] @ axes
        _point_along_bones(frames, places)
        size = params.scale * _palm_length(rest) / self.palm_length
        return OpenXrJoints(
            positions=places * CAMERA_TO_OPENXR,
            orientations=_quaternions(frames * CAMERA_TO_OPENXR[:, None]),
            radii=self._radii * size,
        )


def _palm_length(places: np.ndarray) -> float:
    return float(np.linalg.norm(places[MIDDLE_PROXIMAL] - places[WRIST]))


def _palm_center(places: np.ndarray) -> np.ndarray:
    """OpenXR's palm: the middle of the middle finger's metacarpal bone."""
    return 0.5 * (places[MIDDLE_METACARPAL] + places[MIDDLE_PROXIMAL])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt(np.einsum("...i,...i->...", vectors, vectors))[..., None]


def _cross(
    a: Float[np.ndarray, "*#n 3"], b: Float[np.ndarray, "*#n 3"]
) -> Float[np.ndarray, "*#n 3"]:
    """Return `np.cross(a, b)`, without its checks: they cost more than the product of 26 rows."""
    return a[..., [1, 2, 0]] * b[..., [2, 0, 1]] - a[..., [2, 0, 1]] * b[..., [1, 2, 0]]


def _axes(back: np.ndarray, sideways: np.ndarray) -> np.ndarray:
    """Return axes in columns: Z along `back`, X as near to `sideways` as it can be."""
    z = _unit(back)
    x = _unit(sideways - np.einsum("...i,...i->...", sideways, z)[..., None] * z)
    return np.stack([x, _cross(z, x), z], axis=-1)


def _rolled(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Turn each joint's axes about its own Z."""
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    x, y = axes[..., 0], axes[..., 1]
    return np.stack([c * x + s * y, c * y - s * x, axes[..., 2]], axis=-1)


def _bone_rotations(params: HandParams) -> np.ndarray:
    """Rotations (16, 3, 3) of MANO's joints in the camera frame."""
    turns = Rotation.from_rotvec(
        np.concatenate([params.global_orient[None], params.hand_pose])
    ).as_matrix()
    turns[_BASES] = turns[0] @ turns[_BASES]
    turns[_BASES + 1] = turns[_BASES] @ turns[_BASES + 1]
    turns[_BASES + 2] = turns[_BASES + 1] @ turns[_BASES + 2]
    return turns


def _point_along_bones(frames: np.ndarray, places: np.ndarray) -> None:
    """Swing the last bones to their tips, in place.

    A tip is a point of the skin, which the pose correctives move a little against its bone. The
    shortest turn between the two directions keeps the nail where it is.
    """
    turned = frames[DISTALS]
    z = turned[..., 2]
    halfway = _unit(z + _unit(places[DISTALS] - places[TIPS]))
    # Two reflections, at the plane across z and at the one half-way, are the shortest turn.
    for normal in (z, halfway):
        along = np.einsum("fi,fij->fj", normal, turned)
        turned = turned - 2 * normal[..., None] * along[:, None]
    frames[DISTALS] = turned
    frames[TIPS] = turned


def _quaternions(matrices: np.ndarray) -> np.ndarray:
    """Return x, y, z, w with w >= 0 of rotations (n, 3, 3): the largest of four equal forms.

    scipy's conversion spends most of its time on mending matrices that are no rotations.
    """
    m = matrices
    xx, yy, zz = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    outer = np.empty((len(m), 4, 4))  # four times the quaternion's outer product with itself
    outer[:, 0, 0], outer[:, 1, 1] = 1 + xx - yy - zz, 1 - xx + yy - zz
    outer[:, 2, 2], outer[:, 3, 3] = 1 - xx - yy + zz, 1 + xx + yy + zz
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        outer[:, i, j] = outer[:, j, i] = m[:, i, j] + m[:, j, i]
        outer[:, k, 3] = outer[:, 3, k] = m[:, j, i] - m[:, i, j]
    best = outer[:, range(4), range(4)].argmax(axis=1)
    quaternions = _unit(outer[range(len(m)), best])
    return np.where(quaternions[:, 3:] < 0, -quaternions, quaternions)


def _skin_radii(places: np.ndarray, vertices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Distance from each resting joint to the nearest skin of the bones that meet there, metres.

    Tips lie on the skin, so theirs is a fixed part of the joint before them.
    """
    follows = weights.argmax(axis=1)
    radii = np.empty(26)
    for joint, name in enumerate(OPENXR_JOINTS):
        if joint in TIPS:
            radii[joint] = radii[joint - 1] * _TIP_RADIUS[name.partition("_")[0]]
        else:
            bones = (DRIVERS[joint], MANO_PARENTS[DRIVERS[joint]])
            skin = vertices[np.isin(follows, bones)]
            radii[joint] = np.linalg.norm(skin - places[joint], axis=1).min()
    return radii
