"""OpenXR joints: axes along the bones, mirror images, places and radii, on two kinds of hand model."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.joint_limits import joint_frames
from tracker.geometry.skeleton import MANO_JOINTS, OPENXR_JOINTS
from tracker.stream.openxr import OpenXrHand
from tracker.stream.openxr_skeleton import EMULATED_MASK, PARENTS

J = OPENXR_JOINTS.index
BONES = [(j, j + 1) for j in range(2, 25) if not OPENXR_JOINTS[j].endswith("tip")]
TIPS = [j for j, name in enumerate(OPENXR_JOINTS) if name.endswith("tip")]
MIRROR = np.array([-1.0, 1.0, 1.0])
POSES = 30


def random_params(rng: np.random.Generator) -> HandParams:
    return HandParams(
        global_orient=rng.normal(size=3) * 1.5,
        hand_pose=rng.normal(size=(15, 3)) * 0.5,
        betas=rng.normal(size=10),
        transl=rng.normal(size=3) * 0.2 + [0.0, 0.0, 0.5],
        scale=float(rng.uniform(0.8, 1.3)),
    )


def skinned_joints(model: HandModel, params: HandParams) -> np.ndarray:
    """The 21 joints by the differentiable model in float64."""
    row = lambda values: torch.tensor(values, dtype=torch.float64)[None]  # noqa: E731
    shaped = model.to(dtype=torch.float64).with_shape(row(params.betas))
    scale = torch.tensor([params.scale], dtype=torch.float64)
    posed = shaped.with_pose(
        row(params.global_orient), row(params.hand_pose), row(params.transl), scale
    )
    return posed.skin().joints[0].numpy()


@pytest.fixture(scope="module", params=["open hand", "made-up MANO"])
def model(request, small_mano) -> HandModel:
    return HandModel.load() if request.param == "open hand" else small_mano


@pytest.fixture(scope="module")
def small_mano() -> HandModel:
    """A made-up model of MANO's form, whose pose correctives move the fingertips as MANO's do."""
    right = HandModel.load()
    noise = torch.Generator().manual_seed(0)
    posedirs = 0.0005 * torch.randn(right.posedirs.shape, generator=noise)
    shapedirs = right.shapedirs + 0.0002 * torch.randn(right.shapedirs.shape, generator=noise)
    return HandModel(**{**vars(right), "posedirs": posedirs, "shapedirs": shapedirs})


@pytest.fixture(scope="module")
def posed(model):
    """(parameters, 21 joints, OpenXR joints) of random poses."""
    rng, to_openxr = np.random.default_rng(0), OpenXrHand(model)
    cases = [random_params(rng) for _ in range(POSES)]
    joints = [skinned_joints(model, params) for params in cases]
    return [(p, j, to_openxr(p, j)) for p, j in zip(cases, joints, strict=True)]


def test_the_compiled_twin_agrees_with_the_reference(model, posed):
    for side in (model, model.mirrored()):
        to_openxr = OpenXrHand(side)
        for params, joints, _ in posed:
            fast, plain = to_openxr(params, joints), to_openxr.reference(params, joints)
            for name, values in vars(plain).items():
                np.testing.assert_allclose(getattr(fast, name), values, atol=1e-9, err_msg=name)


def test_z_points_back_along_every_bone(posed):
    for _, _, hand in posed:
        z = Rotation.from_quat(hand.orientations).as_matrix()[:, :, 2]
        for joint, child in BONES:
            bone = hand.positions[joint] - hand.positions[child]
            sine = np.linalg.norm(np.cross(bone / np.linalg.norm(bone), z[joint]))
            assert np.degrees(sine) < 1e-4, OPENXR_JOINTS[joint]
            assert bone @ z[joint] > 0


def test_left_is_the_exact_mirror_of_right(model, posed):
    to_left = OpenXrHand(model.mirrored())
    for params, joints, right in posed:
        left = to_left(params.mirrored(), joints * MIRROR)
        np.testing.assert_array_equal(left.positions, right.positions * MIRROR)
        np.testing.assert_array_equal(left.orientations, right.orientations * [1, -1, -1, 1])
        np.testing.assert_array_equal(left.radii, right.radii)


def test_quaternions_are_unit_with_positive_w(posed):
    for _, _, hand in posed:
        np.testing.assert_allclose(np.linalg.norm(hand.orientations, axis=1), 1, atol=1e-12)
        assert (hand.orientations[:, 3] >= 0).all()


def test_quaternions_are_those_of_the_rotated_rest_axes(model, posed):
    """Joints before the last bones: R = S G C, with G from a plain walk up the tree."""
    to_openxr = OpenXrHand(model)
    for params, _, hand in posed[:5]:
        _, rest_axes = to_openxr.rest(params.betas)
        local = Rotation.from_rotvec(params.hand_pose)
        wrist = Rotation.from_rotvec(params.global_orient)
        expected = {
            "wrist": wrist,
            "index_metacarpal": wrist,
            "index_intermediate": wrist * local[0] * local[1],
            "little_proximal": wrist * local[6],
            "ring_proximal": wrist * local[9],
            "thumb_proximal": wrist * local[12] * local[13],
        }
        for name, turn in expected.items():
            matrix = np.diag([1.0, -1, -1]) @ turn.as_matrix() @ rest_axes[J(name)]
            found = Rotation.from_quat(hand.orientations[J(name)]).as_matrix()
            np.testing.assert_allclose(found, matrix, atol=1e-9, err_msg=name)


def test_modelled_joints_keep_their_places(posed):
    for _, joints, hand in posed[:5]:
        for name, source in {
            "wrist": 0,
            "thumb_metacarpal": 1,
            "index_tip": 8,
            "little_tip": 20,
        }.items():
            np.testing.assert_array_equal(hand.positions[J(name)], joints[source] * [1, -1, -1])


def test_emulated_joints_are_carried_by_the_wrist(model, posed):
    to_openxr = OpenXrHand(model)
    carried = [J("wrist"), *(J(f"{f}_metacarpal") for f in ("index", "middle", "ring", "little"))]
    carried += [J("index_proximal"), J("little_proximal")]
    for params, _, hand in posed[:5]:
        palm = (hand.positions[J("middle_metacarpal")] + hand.positions[J("middle_proximal")]) / 2
        np.testing.assert_allclose(hand.positions[0], palm, atol=1e-12)
        rest = params.scale * to_openxr.rest(params.betas)[0][carried]
        found = hand.positions[carried]
        np.testing.assert_allclose(
            (found - found[0]) @ (found - found[0]).T,
            (rest - rest[0]) @ (rest - rest[0]).T,
            atol=1e-9,
        )
    assert EMULATED_MASK == 2164801


def test_tips_copy_the_joint_before(posed):
    for _, _, hand in posed[:5]:
        np.testing.assert_array_equal(
            hand.orientations[TIPS], hand.orientations[[t - 1 for t in TIPS]]
        )


def test_parents_form_one_tree_with_the_wrist_on_top():
    assert PARENTS[J("wrist")] == -1
    assert PARENTS[J("palm")] == J("wrist")
    assert PARENTS[J("ring_metacarpal")] == J("wrist") == PARENTS[J("thumb_metacarpal")]
    assert PARENTS[J("ring_tip")] == J("ring_distal")
    for joint in range(26):
        steps = 0
        while joint != 1:
            joint, steps = PARENTS[joint], steps + 1
            assert steps < 6


def test_the_flat_hand_looks_as_openxr_says():
    """Palm down, fingers away: Y up out of every nail but the thumb's, X to the person's right."""
    right = HandModel.load()
    # The open hand lies with fingers along -x and its back towards +y; OpenXR's fingers go to -z.
    for model, sideways in ((right, 1.0), (right.mirrored(), -1.0)):
        axes = OpenXrHand(model).rest(np.zeros(10))[1]
        fingers = axes[[0, 1, *range(6, 26)]]
        assert (fingers[:, 1, 1] > np.cos(np.radians(25))).all()  # Y is up
        assert (fingers[:, 0, 2] * sideways > 0.9).all()  # Z is back, towards the arm
        assert (fingers[:, 2, 0] * -sideways > 0.85).all()  # X is right, for both hands


def test_nails_look_where_the_joints_backs_do():
    """The joint limits know, from anatomy, where the back of each finger's bones is."""
    right = HandModel.load()
    for model in (right, right.mirrored()):
        axes = OpenXrHand(model).rest(np.zeros(10))[1]
        for name, (_, back, _) in zip(MANO_JOINTS[1:], joint_frames(model).numpy(), strict=True):
            finger, _, part = name.partition("_")
            thumb = finger == "thumb"
            names = (
                ("metacarpal", "proximal", "distal")
                if thumb
                else ("proximal", "intermediate", "distal")
            )
            place = names[
                ("cmc", "mcp", "ip").index(part) if thumb else ("mcp", "pip", "dip").index(part)
            ]
            nail = axes[J(f"{'little' if finger == 'pinky' else finger}_{place}")][:, 1]
            assert np.degrees(np.arccos(nail @ back)) < (6 if thumb else 14), name


def test_radii_reach_to_the_skin(model):
    to_openxr = OpenXrHand(model)
    params = HandParams(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3), 1.0)
    joints = skinned_joints(model, params)
    radii = to_openxr(params, joints).radii
    assert ((radii > 0.004) & (radii < 0.025)).all()
    vertices = model.v_template.numpy()
    middle = joints[10]
    assert np.linalg.norm(vertices - middle, axis=1).min() == pytest.approx(
        radii[J("middle_intermediate")], abs=1e-6
    )
    large = HandParams(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3), 1.5)
    np.testing.assert_allclose(to_openxr(large, joints * 1.5).radii, radii * 1.5, rtol=1e-12)
