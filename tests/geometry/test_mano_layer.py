"""The manopth-compatible call against the formula written out in numpy, option by option."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tracker.errors import HandModelError
from tracker.geometry.mano_layer import ManoLayer, balanced_rotation, nearest_rotation
from tracker.geometry.skeleton import JOINTS

PARENTS = (None, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
ORDER = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
TIPS = {"right": (745, 317, 444, 556, 673), "left": (745, 317, 445, 556, 673)}


def hand_in_mm(hand, turns, betas, tips) -> tuple[np.ndarray, np.ndarray]:
    """One hand from 16 rotation matrices and a shape, vertex by vertex."""
    rest = hand["v_template"] + np.einsum("vck,k->vc", hand["shapedirs"], betas)
    joints = hand["J_regressor"] @ rest
    feature = np.concatenate([(turn - np.eye(3)).reshape(9) for turn in turns[1:]])
    world = []
    for turn, joint, parent in zip(turns, joints, PARENTS, strict=True):
        if parent is None:
            world.append((turn, joint))
        else:
            parent_turn, parent_place = world[parent]
            place = parent_place + parent_turn @ (joint - joints[parent])
            world.append((parent_turn @ turn, place))
    vertices = []
    for vertex, directions, weights in zip(rest, hand["posedirs"], hand["weights"], strict=True):
        point = vertex + directions @ feature
        moved = [
            turn @ (point - joint) + place
            for (turn, place), joint in zip(world, joints, strict=True)
        ]
        vertices.append(sum(w * m for w, m in zip(weights, moved, strict=True)))
    places = [place for _, place in world] + [vertices[tip] for tip in tips]
    return np.array(vertices) * 1000, np.array([places[i] for i in ORDER]) * 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory, hand, mano_pickle, make_left, make_pickle):
    """A made-up `mano_root`; the left file has the published error in its shape directions."""
    root = tmp_path_factory.mktemp("mano")
    (root / "MANO_RIGHT.pkl").write_bytes(mano_pickle)
    faulty = make_left(hand) | {"shapedirs": make_left(hand)["shapedirs"] * [[-1.0], [1.0], [1.0]]}
    (root / "MANO_LEFT.pkl").write_bytes(make_pickle(faulty))
    return root


@pytest.fixture(scope="module")
def layer(folder) -> ManoLayer:
    return ManoLayer(mano_root=folder, use_pca=False, ncomps=45)


def assert_hand(found, expected) -> None:
    for tensor, array in zip(found, expected, strict=True):
        np.testing.assert_allclose(tensor.detach().numpy(), array, atol=2e-3)  # micrometres


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("flat_hand_mean", [True, False])
@pytest.mark.parametrize(("use_pca", "ncomps"), [(True, 6), (True, 45), (False, 45)])
def test_it_is_the_formula(folder, hand, make_left, rng, side, flat_hand_mean, use_pca, ncomps):
    layer = ManoLayer(
        flat_hand_mean=flat_hand_mean, ncomps=ncomps, side=side, mano_root=folder, use_pca=use_pca
    )
    data = hand if side == "right" else make_left(hand)
    coefficients, betas = rng.normal(size=(2, 3 + ncomps)), rng.normal(size=(2, 10))
    vertices, joints = layer(torch.tensor(coefficients).float(), torch.tensor(betas).float())
    assert vertices.shape == (2, 778, 3)
    for b in range(2):
        pose = coefficients[b, 3:]
        pose = pose @ data["hands_components"][:ncomps] if use_pca else pose
        pose = pose if flat_hand_mean else pose + data["hands_mean"]
        axis_angles = np.concatenate([coefficients[b, :3], pose]).reshape(16, 3)
        turns = Rotation.from_rotvec(axis_angles).as_matrix()
        assert_hand((vertices[b], joints[b]), hand_in_mm(data, turns, betas[b], TIPS[side]))


def test_defaults_are_manopths_and_the_open_hand():
    layer = ManoLayer()
    assert (layer.ncomps, layer.side, layer.center_idx) == (6, "right", None)
    vertices, joints = layer(torch.zeros(1, 9))
    torch.testing.assert_close(vertices[0] / 1000, layer.th_v_template)
    assert joints.shape == (1, 21, 3)
    assert layer.th_faces.shape == (1538, 3)


def test_positional_arguments_are_in_manopths_order(folder):
    layer = ManoLayer(9, False, 12, "left", str(folder), True, "axisang", "axisang", False)
    _, joints = layer(torch.zeros(1, 15), torch.zeros(1, 10), torch.zeros(1, 3))
    assert (joints[0, 9] == 0).all()
    assert layer.side == "left"


@pytest.mark.parametrize("center_idx", [0, 9])
def test_centring_gives_way_to_a_translation(folder, center_idx, rng):
    plain = ManoLayer(mano_root=folder)
    centred = ManoLayer(center_idx, mano_root=folder)
    coefficients = torch.tensor(rng.normal(size=(2, 9))).float()
    transl = torch.tensor([[0.1, 0.2, 0.7], [0.0, 0.0, 0.0]])
    vertices, joints = plain(coefficients)
    for zero in (None, torch.zeros(1), torch.zeros(2, 3)):
        found = centred(coefficients, None, zero)
        offset = joints[:, center_idx, None]
        torch.testing.assert_close(found[0], vertices - offset, rtol=0, atol=1e-4)
        torch.testing.assert_close(found[1], joints - offset, rtol=0, atol=1e-4)
    found = centred(coefficients, torch.zeros(1), transl)
    torch.testing.assert_close(found[0], vertices + 1000 * transl[:, None], rtol=0, atol=1e-3)
    torch.testing.assert_close(found[1], joints + 1000 * transl[:, None], rtol=0, atol=1e-3)


def test_the_palm_can_stand_in_for_the_wrist(folder, rng):
    coefficients = torch.tensor(rng.normal(size=(2, 9))).float()
    official, ours = ManoLayer(mano_root=folder), ManoLayer()
    vertices, joints = official(coefficients)
    palm = official(coefficients, root_palm=torch.tensor([1]))[1]
    torch.testing.assert_close(palm[:, 0], (vertices[:, 95] + vertices[:, 22]) / 2)
    torch.testing.assert_close(palm[:, 1:], joints[:, 1:])
    joints = ours(coefficients)[1]
    palm = ours(coefficients, root_palm=True)[1]
    middle = (joints[:, 0] + joints[:, JOINTS.index("middle_mcp")]) / 2
    torch.testing.assert_close(palm[:, 0], middle)
    centred = ManoLayer(0)(coefficients, root_palm=True)
    torch.testing.assert_close(centred[1][:, 0], torch.zeros(2, 3))


def test_shapes_can_be_shared(layer, rng):
    coefficients = torch.tensor(rng.normal(size=(3, 48))).float()
    betas = torch.tensor(rng.normal(size=(3, 10))).float()
    shared = layer(coefficients, betas, share_betas=torch.tensor([1]))[0]
    mean = layer(coefficients, betas.mean(0, keepdim=True).expand(3, 10))[0]
    torch.testing.assert_close(shared, mean)
    assert not torch.allclose(shared, layer(coefficients, betas)[0])


def test_matrices_are_taken_and_made_rotations(folder, layer, rng):
    axis_angles = rng.normal(size=(2, 16, 3))
    turns = torch.tensor(Rotation.from_rotvec(axis_angles.reshape(-1, 3)).as_matrix()).float()
    turns = turns.reshape(2, 16, 3, 3)
    by_matrix = ManoLayer(mano_root=folder, joint_rot_mode="rotmat", use_pca=False)
    expected = layer(torch.tensor(axis_angles).reshape(2, 48).float())
    for scale in (1.0, 1.7):  # the nearest rotation does not depend on scale
        found = by_matrix(turns * scale)
        torch.testing.assert_close(found[0], expected[0], rtol=0, atol=2e-3)
        torch.testing.assert_close(found[1], expected[1], rtol=0, atol=2e-3)


@pytest.mark.parametrize("robust_rot", [False, True])
def test_six_numbers_turn_the_hand(folder, rng, robust_rot):
    layer = ManoLayer(mano_root=folder, root_rot_mode="rot6d", robust_rot=robust_rot)
    plain = ManoLayer(mano_root=folder)
    coefficients = torch.tensor(rng.normal(size=(2, 9))).float()
    turns = torch.tensor(Rotation.from_rotvec(coefficients[:, :3].numpy()).as_matrix()).float()
    rot6d = torch.cat([turns[..., 0] * 3, turns[..., 1] * 0.5, coefficients[:, 3:]], -1)
    torch.testing.assert_close(layer(rot6d)[0], plain(coefficients)[0], rtol=0, atol=2e-3)


def test_the_nearest_rotation_is_nearest_and_never_a_reflection(rng):
    matrices = torch.tensor(rng.normal(size=(20, 3, 3)))
    nearest = nearest_rotation(matrices)
    torch.testing.assert_close(torch.det(nearest), torch.ones(20, dtype=torch.float64))
    others = torch.tensor(Rotation.random(500, rng=rng).as_matrix())
    distance = (nearest - matrices).flatten(1).norm(dim=1)
    other_distance = (others[:, None] - matrices).flatten(2).norm(dim=2)
    assert (other_distance >= distance - 1e-12).all()


def test_the_balanced_rotation_favours_neither_column(rng):
    rot6d = torch.tensor(rng.normal(size=(20, 6)))
    rotation = balanced_rotation(rot6d)
    identity = torch.eye(3, dtype=torch.float64).expand(20, 3, 3)
    torch.testing.assert_close(rotation.mT @ rotation, identity)
    torch.testing.assert_close(torch.det(rotation), torch.ones(20, dtype=torch.float64))
    cosines = [
        torch.cosine_similarity(rotation[..., i], rot6d[:, 3 * i : 3 * i + 3]) for i in range(2)
    ]
    torch.testing.assert_close(cosines[0], cosines[1])
    assert (cosines[0] > 0.7).all()


def test_gradients_flow_to_everything_at_zero(layer):
    inputs = [torch.zeros(1, n, requires_grad=True) for n in (48, 10)]
    transl = torch.full((1, 3), 0.1, requires_grad=True)
    vertices, joints = layer(*inputs, transl)
    (vertices.square().sum() + joints.square().sum()).backward()
    for value in (*inputs, transl):
        assert value.grad is not None
        assert value.grad.isfinite().all()
        assert (value.grad != 0).any()


def test_the_layer_moves_and_casts_like_a_module(folder):
    layer = ManoLayer(mano_root=folder).double()
    vertices, _ = layer(torch.zeros(1, 9, dtype=torch.float64))
    assert vertices.dtype == torch.float64
    assert layer.th_faces.dtype == torch.int64
    meta = ManoLayer(mano_root=folder).to("meta")
    assert meta(torch.zeros(1, 9, device="meta"), None)[0].device.type == "meta"


def test_checkpoints_hold_no_hand_data(layer):
    assert not layer.state_dict()
    assert not list(layer.parameters())


@pytest.mark.parametrize(
    ("options", "shape", "needed"),
    [
        ({"ncomps": 6}, (2, 10), r"\(B, 9\), found \(2, 10\)"),
        ({"use_pca": False}, (2, 9), r"\(B, 48\)"),
        ({"root_rot_mode": "rot6d"}, (2, 9), r"\(B, 12\)"),
        ({"joint_rot_mode": "rotmat"}, (2, 48), r"\(B, 16, 3, 3\)"),
    ],
)
def test_wrong_sizes_are_refused_with_the_right_one(options, shape, needed):
    with pytest.raises(ValueError, match=needed):
        ManoLayer(**options)(torch.zeros(shape))


def test_wrong_options_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="either mano_root or hand_model"):
        ManoLayer(mano_root=folder, hand_model=folder / "MANO_RIGHT.pkl")
    with pytest.raises(ValueError, match="between 1 and 45, found 46"):
        ManoLayer(ncomps=46)
    with pytest.raises(HandModelError, match=r"MANO_LEFT\.pkl' was asked for, but No such file"):
        ManoLayer(mano_root=tmp_path, side="left")
