"""The orientation recipe against the resting hand of the WebXR input profiles, which an artist made.

The numbers below are the 25 resting joints of `generic-hand` in `@webxr-input-profiles/assets` 1.0.20
(MIT, Copyright (c) 2019 Amazon): place in metres and quaternion x, y, z, w, in WebXR's order, in
the pose that the skin is bound in. Some constants of the recipe were fitted to this very hand: the
test shows that they were carried over rightly, not how the recipe fares with a hand it never saw.
"""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skeleton import JOINTS, MANO_JOINTS, OPENXR_FROM_HANDLOOM, OPENXR_JOINTS
from tracker.stream.openxr import CAMERA_TO_OPENXR, OpenXrHand
from tracker.vision.records import Side

MEAN_DEGREES, MAX_DEGREES, BONE_DEGREES = 5.0, 13.0, 0.1
METACARPAL_M = 0.007
_TIPS = tuple(name for name in JOINTS if name.endswith("_tip"))

GENERIC_HAND: dict[Side, str] = {
    "right": """
         0.03913  0.05578  0.00916 -0.50000 -0.50000 -0.50000  0.50000
         0.01997  0.01982 -0.01887 -0.46433  0.15826 -0.20937  0.84588
         0.00482 -0.00344 -0.03580 -0.41827  0.03519 -0.25594  0.87081
        -0.00459 -0.02735 -0.05776 -0.34497  0.10875 -0.20858  0.90866
        -0.00979 -0.03590 -0.06874 -0.34349  0.11417 -0.21483  0.90710
         0.03206  0.02656 -0.00101 -0.48021 -0.45486 -0.52195  0.53858
         0.03181 -0.03277 -0.01439 -0.54258 -0.46370 -0.50293  0.48750
         0.02858 -0.07798 -0.01286 -0.53727 -0.48696 -0.50762  0.46533
         0.02636 -0.10214 -0.01153 -0.50760 -0.54229 -0.46313  0.48351
         0.02697 -0.11364 -0.01027 -0.51251 -0.54771 -0.45804  0.47703
         0.03307  0.02667  0.00573 -0.46226 -0.51364 -0.54178  0.47851
         0.03658 -0.03587  0.00743 -0.54521 -0.50150 -0.50516  0.44278
         0.03210 -0.08234  0.01180 -0.54774 -0.51861 -0.49601  0.43011
         0.02933 -0.10958  0.01484 -0.48415 -0.57865 -0.46407  0.46411
         0.03036 -0.12163  0.01646 -0.48041 -0.57643 -0.46897  0.46583
         0.03307  0.02878  0.01725 -0.47072 -0.58544 -0.53068  0.39250
         0.03260 -0.02892  0.02662 -0.55450 -0.55379 -0.48807  0.38423
         0.02824 -0.07054  0.03592 -0.54599 -0.57863 -0.49128  0.35457
         0.02496 -0.09611  0.04235 -0.51224 -0.57657 -0.50312  0.38993
         0.02418 -0.10780  0.04468 -0.51067 -0.57727 -0.50577  0.38752
         0.02971  0.02170  0.03216 -0.45937 -0.64297 -0.53477  0.29932
         0.02543 -0.01812  0.04421 -0.51803 -0.58073 -0.52452  0.34537
         0.02101 -0.05163  0.05152 -0.51596 -0.62642 -0.49964  0.30289
         0.01815 -0.07063  0.05811 -0.48438 -0.62121 -0.50960  0.34609
         0.01736 -0.08213  0.06109 -0.49811 -0.63159 -0.49632  0.32656
    """,
    "left": """
        -0.03732  0.05599  0.00811 -0.50000  0.50000  0.50000  0.50000
        -0.01817  0.02003 -0.01991 -0.47032 -0.12823  0.24130  0.83912
        -0.00302 -0.00323 -0.03684 -0.41890 -0.03017  0.25514  0.87093
         0.00639 -0.02714 -0.05880 -0.34194 -0.10818  0.21152  0.90919
         0.01159 -0.03569 -0.06978 -0.34498 -0.11295  0.20810  0.90826
        -0.03184  0.01958 -0.00138 -0.45327  0.44360  0.56703  0.52559
        -0.03001 -0.03601 -0.01544 -0.54442  0.47228  0.49547  0.48484
        -0.02677 -0.07777 -0.01391 -0.53823  0.48920  0.50524  0.46447
        -0.02456 -0.10193 -0.01258 -0.51379  0.54005  0.46105  0.48146
        -0.02517 -0.11343 -0.01131 -0.50765  0.54166  0.46251  0.48475
        -0.03162  0.02688  0.00485 -0.47577  0.51791  0.53628  0.46671
        -0.03478 -0.03566  0.00639 -0.54223  0.50007  0.50593  0.44715
        -0.03030 -0.08213  0.01075 -0.53943  0.51032  0.50582  0.43902
        -0.02753 -0.10937  0.01380 -0.49285  0.58605  0.45496  0.45459
        -0.02856 -0.12142  0.01542 -0.48377  0.57991  0.46603  0.46096
        -0.03162  0.02900  0.01638 -0.49027  0.59935  0.51892  0.36212
        -0.03079 -0.02871  0.02558 -0.55335  0.55795  0.48623  0.38220
        -0.02644 -0.07033  0.03488 -0.54134  0.57646  0.49676  0.35760
        -0.02316 -0.09590  0.04131 -0.51574  0.58017  0.50235  0.38087
        -0.02238 -0.10759  0.04364 -0.51145  0.57378  0.50382  0.39415
        -0.02790  0.02191  0.03111 -0.47277  0.63867  0.53365  0.28949
        -0.02363 -0.01791  0.04317 -0.52398  0.58759  0.51634  0.33702
        -0.01921 -0.05142  0.05048 -0.51808  0.62743  0.49794  0.29997
        -0.01635 -0.07042  0.05707 -0.48204  0.62157  0.51048  0.34741
        -0.01556 -0.08192  0.06004 -0.47842  0.61937  0.51512  0.34949
    """,
}


@pytest.fixture(scope="module", params=["right", "left"])
def side(request: pytest.FixtureRequest) -> Side:
    return request.param


@pytest.fixture(scope="module")
def drawn(side: Side) -> tuple[np.ndarray, np.ndarray]:
    """Places (26, 3) and rotations (26, 3, 3) of the artist's joints; the palm, which it lacks, is NaN."""
    rows = np.array(GENERIC_HAND[side].split(), float).reshape(25, 7)
    places, turns = np.full((26, 3), np.nan), np.full((26, 3, 3), np.nan)
    places[1:], turns[1:] = rows[:, :3], Rotation.from_quat(rows[:, 3:]).as_matrix()
    return places, turns


@pytest.fixture(scope="module")
def ours(side: Side, drawn: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same from the places of its 21 measured joints alone, by the recipe."""
    keypoints = np.empty((21, 3))
    known = OPENXR_FROM_HANDLOOM >= 0
    keypoints[OPENXR_FROM_HANDLOOM[known]] = drawn[0][known]
    at_rest = HandParams(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3), 1.0)
    joints = OpenXrHand(skeleton_model(keypoints, side))(at_rest, keypoints)
    turns = Rotation.from_quat(joints.orientations).as_matrix()
    return joints.positions * CAMERA_TO_OPENXR, turns * CAMERA_TO_OPENXR[:, None]


def skeleton_model(keypoints: np.ndarray, side: Side) -> HandModel:
    """A hand model whose only vertices are the 21 joints."""
    order = [JOINTS.index(name) for name in (*MANO_JOINTS, *_TIPS)]
    one_each = torch.eye(21)
    return HandModel(
        v_template=torch.tensor(keypoints[order], dtype=torch.float32),
        shapedirs=torch.zeros(21, 3, 10),
        posedirs=torch.zeros(21, 3, 135),
        J_regressor=one_each[:16],
        lbs_weights=one_each[:, :16],
        faces=torch.zeros(1, 3, dtype=torch.int64),
        hands_components=torch.eye(45),
        hands_mean=torch.zeros(45),
        tip_ids=tuple(range(16, 21)),
        side=side,
        model_id="skeleton",
        sha256="",
    )


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between rotations."""
    cosines = (np.einsum("jik,jik->j", a, b) - 1) / 2
    return np.degrees(np.arccos(cosines.clip(-1, 1)))


def test_orientations_are_the_artists_within_a_few_degrees(drawn, ours):
    apart = angles(drawn[1][1:], ours[1][1:])
    worst = OPENXR_JOINTS[1 + int(apart.argmax())]
    assert apart.mean() < MEAN_DEGREES, f"mean {apart.mean():.2f}"
    assert apart.max() < MAX_DEGREES, f"{worst}: {apart.max():.2f}"


def test_z_lies_along_every_bone(ours):
    places, turns = ours
    bones = [j for j in range(2, 26) if not OPENXR_JOINTS[j].endswith("_tip")]
    back = places[bones] - places[[j + 1 for j in bones]]
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    cosines = np.einsum("ji,ji->j", turns[bones][..., 2], back)
    assert np.degrees(np.arccos(cosines.clip(-1, 1))).max() < BONE_DEGREES


def test_the_joints_that_the_model_lacks_are_where_the_artist_put_them(drawn, ours):
    metacarpals = [
        OPENXR_JOINTS.index(f"{f}_metacarpal") for f in ("index", "middle", "ring", "little")
    ]
    apart = np.linalg.norm(drawn[0][metacarpals] - ours[0][metacarpals], axis=1)
    assert apart.max() < METACARPAL_M


def test_a_twisted_thumb_would_be_noticed(drawn, ours):
    """Quarter turns about a bone keep +Z, and are what other trackers get wrong."""
    thumb = slice(2, 6)
    twisted = ours[1].copy()
    twisted[thumb] = twisted[thumb] @ Rotation.from_euler("z", 90, degrees=True).as_matrix()
    assert angles(drawn[1][1:], twisted[1:]).max() > 5 * MAX_DEGREES
