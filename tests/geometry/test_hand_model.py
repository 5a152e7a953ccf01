"""The four stages of a hand: the formula, its symmetries, mirroring and gradients."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import HandModelError
from tracker.geometry.hand_model import KEYPOINTS_FROM_MANO, HandMesh, HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.rotations import matrix_from_axis_angle
from tracker.geometry.skeleton import BONES, JOINTS, MANO_JOINTS, MANO_PARENTS

FLIP = torch.tensor([-1.0, 1.0, 1.0])
AXIS_FLIP = torch.tensor([1.0, -1.0, -1.0])

seeds = st.integers(0, 2**31 - 1)


@pytest.fixture(scope="module")
def small(small_hand) -> HandModel:
    """A made-up hand of 40 vertices in double precision."""
    return HandModel.from_arrays(small_hand).to(dtype=torch.float64)


@pytest.fixture(scope="module")
def open_hand() -> HandModel:
    return HandModel.load()


def random_params(seed: int, b: int = 2, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """betas, global_orient, hand_pose, transl, scale."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((b, 10), (b, 3), (b, 15, 3), (b, 3))
    tensors = [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]
    return [*tensors, torch.rand(b, generator=generator, dtype=dtype) + 0.5]


def pose(model: HandModel, betas, *placement: torch.Tensor) -> HandMesh:
    return model.with_shape(betas).with_pose(*placement).skin()


def loop_vertices(arrays, betas, turns, transl, scale) -> tuple[np.ndarray, np.ndarray]:
    """MANO's formula for one hand, a vertex at a time, with homogeneous 4x4 matrices."""
    rest = arrays.v_template + arrays.shapedirs @ betas
    joints = arrays.J_regressor @ rest
    chain = []
    for j, parent in enumerate(MANO_PARENTS):
        local = np.eye(4)
        local[:3, :3] = turns[j]
        local[:3, 3] = joints[j] - (joints[parent] if parent >= 0 else 0)
        chain.append(local if parent < 0 else chain[parent] @ local)
    feature = np.concatenate([(turns[j] - np.eye(3)).ravel() for j in range(1, 16)])
    vertices = []
    for v in range(len(rest)):
        point = np.append(rest[v] + arrays.posedirs[v] @ feature, 1)
        blended = np.zeros(3)
        for j in range(16):
            from_rest = np.eye(4)
            from_rest[:3, 3] = -joints[j]
            blended += arrays.weights[v, j] * (chain[j] @ from_rest @ point)[:3]
        vertices.append(blended)
    places = [*(m[:3, 3] for m in chain), *(vertices[tip] for tip in arrays.tip_ids)]
    ordered = np.array([places[i] for i in KEYPOINTS_FROM_MANO])
    return np.array(vertices) * scale + transl, ordered * scale + transl


class TestFormula:
    @given(seed=seeds)
    @settings(max_examples=8)
    def test_it_is_the_papers_formula(self, small_hand, seed):
        model = HandModel.from_arrays(small_hand).to(dtype=torch.float64)
        betas, orient, hand_pose, transl, scale = random_params(seed)
        mesh = pose(model, betas, orient, hand_pose, transl, scale)
        turns = matrix_from_axis_angle(torch.cat([orient[:, None], hand_pose], 1))
        for b in range(2):
            vertices, joints = loop_vertices(
                small_hand, betas[b].numpy(), turns[b].numpy(), transl[b].numpy(), scale[b].item()
            )
            # The model is kept in single precision.
            np.testing.assert_allclose(mesh.vertices[b].numpy(), vertices, atol=2e-6)
            np.testing.assert_allclose(mesh.joints[b].numpy(), joints, atol=2e-6)

    def test_the_flat_hand_is_the_template(self, open_hand):
        zero = torch.zeros(1, 10), torch.zeros(1, 3), torch.zeros(1, 15, 3)
        mesh = pose(open_hand, *zero)
        torch.testing.assert_close(mesh.vertices[0], open_hand.v_template, rtol=0, atol=1e-7)
        at_rest = open_hand.J_regressor @ open_hand.v_template
        kept = [JOINTS.index(name) for name in MANO_JOINTS]
        torch.testing.assert_close(mesh.joints[0, kept], at_rest, rtol=0, atol=1e-7)
        tips = open_hand.v_template[list(open_hand.tip_ids)]
        torch.testing.assert_close(mesh.joints[0, 4::4], tips, rtol=0, atol=1e-7)

    def test_the_open_hand_lies_as_the_conventions_say(self, open_hand):
        zero = torch.zeros(1, 10), torch.zeros(1, 3), torch.zeros(1, 15, 3)
        joints = pose(open_hand, *zero).joints[0]
        at = {name: joints[i] for i, name in enumerate(JOINTS)}
        for finger in ("index", "middle", "ring", "pinky"):
            along = at[f"{finger}_tip"] - at[f"{finger}_mcp"]
            assert along[0] < -0.8 * along.norm()
        assert at["thumb_tip"][2] == joints[:, 2].max()
        assert at["index_mcp"][2] > at["middle_mcp"][2] > at["ring_mcp"][2] > at["pinky_mcp"][2]
        length = (at["middle_tip"] - at["wrist"]).norm()
        assert 0.16 < length < 0.20

    def test_positive_turns_about_z_bend_fingers_to_the_palm(self, open_hand):
        bent = torch.zeros(1, 15, 3)
        bent[:, :12, 2] = 0.5
        mesh = pose(open_hand, torch.zeros(1, 10), torch.zeros(1, 3), bent)
        tips = mesh.joints[0, [JOINTS.index(f"{f}_tip") for f in ("index", "middle", "ring")], 1]
        assert (tips < mesh.joints[0, 0, 1] - 0.03).all()

    @given(seed=seeds)
    @settings(max_examples=10)
    def test_posing_keeps_the_length_of_every_bone_between_joints(self, open_hand, seed):
        betas, orient, hand_pose, *_ = random_params(seed, dtype=torch.float32)
        shaped = open_hand.with_shape(betas)
        mesh = shaped.with_pose(orient, hand_pose).skin()
        for parent, child in BONES:
            if not JOINTS[child].endswith("_tip"):
                a, b = (MANO_JOINTS.index(JOINTS[i]) for i in (parent, child))
                rest = (shaped.joints[:, a] - shaped.joints[:, b]).norm(dim=-1)
                posed = (mesh.joints[:, parent] - mesh.joints[:, child]).norm(dim=-1)
                torch.testing.assert_close(posed, rest, rtol=0, atol=1e-6)

    @given(seed=seeds, b=st.integers(1, 4))
    @settings(max_examples=10)
    def test_a_batch_is_its_hands(self, small, seed, b):
        params = random_params(seed, b)
        mesh = pose(small, *params)
        assert mesh.vertices.shape == (b, 40, 3)
        for i in range(b):
            alone = pose(small, *(p[i : i + 1] for p in params))
            torch.testing.assert_close(mesh.vertices[i], alone.vertices[0])
            torch.testing.assert_close(mesh.joints[i], alone.joints[0])

    def test_an_empty_batch_is_no_hands(self, small):
        mesh = pose(small, *random_params(0, b=0))
        assert mesh.vertices.shape == (0, 40, 3)
        assert mesh.joints.shape == (0, 21, 3)

    @pytest.mark.parametrize("n", [0, 1, 6, 45])
    def test_principal_poses_add_to_the_mean(self, small, n, rng):
        coefficients = torch.from_numpy(rng.normal(size=(3, n)))
        expected = small.hands_mean + coefficients @ small.hands_components[:n]
        torch.testing.assert_close(
            small.pose_from_pca(coefficients), expected.reshape(3, 15, 3), rtol=0, atol=1e-12
        )


class TestPlacement:
    @given(seed=seeds)
    @settings(max_examples=20)
    def test_turning_moving_and_scaling_act_on_the_posed_hand(self, small, seed):
        betas, orient, hand_pose, transl, scale = random_params(seed)
        placed = pose(small, betas, orient, hand_pose, transl, scale)
        plain = pose(small, betas, torch.zeros_like(orient), hand_pose)
        wrist = plain.joints[:, :1]
        turn = matrix_from_axis_angle(orient)
        for before, after in ((plain.vertices, placed.vertices), (plain.joints, placed.joints)):
            turned = (before - wrist) @ turn.mT + wrist
            torch.testing.assert_close(
                turned * scale[:, None, None] + transl[:, None], after, rtol=0, atol=1e-8
            )

    @given(seed=seeds)
    @settings(max_examples=10)
    def test_moving_the_rest_hand_moves_the_posed_hand(self, small, seed):
        """Joints are means of vertices, so the origin of the template does not matter."""
        betas, _, hand_pose, transl, _ = random_params(seed, b=1)
        moved = small.map(lambda t: t + transl if t is small.v_template else t)
        origin = torch.zeros(1, 3, dtype=torch.float64)
        before = pose(small, betas, origin, hand_pose)
        after = pose(moved, betas, origin, hand_pose)
        torch.testing.assert_close(after.vertices, before.vertices + transl, rtol=0, atol=1e-6)


class TestMirroring:
    def test_twice_is_the_same_hand(self, open_hand):
        twice = open_hand.mirrored().mirrored()
        for field in fields(HandModel):
            a, b = getattr(open_hand, field.name), getattr(twice, field.name)
            assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, field.name

    @given(seed=seeds)
    @settings(max_examples=10)
    def test_the_left_hand_is_the_mirrored_right_hand_bit_for_bit(self, open_hand, seed):
        betas, orient, hand_pose, transl, scale = random_params(seed, dtype=torch.float32)
        right = pose(open_hand, betas, orient, hand_pose, transl, scale)
        left = pose(
            open_hand.mirrored(),
            *(betas, orient * AXIS_FLIP, hand_pose * AXIS_FLIP, transl * FLIP, scale),
        )
        assert torch.equal(left.vertices, right.vertices * FLIP)
        assert torch.equal(left.joints, right.joints * FLIP)

    @given(seed=seeds)
    @settings(max_examples=10)
    def test_mirrored_parameters_belong_to_the_mirrored_model(self, open_hand, seed):
        betas, orient, hand_pose, transl, scale = (
            p[0].numpy() for p in random_params(seed, b=1, dtype=torch.float32)
        )
        params = HandParams(orient, hand_pose, betas, transl, float(scale))
        right, left = (
            pose(
                model,
                torch.from_numpy(p.betas)[None],
                *(
                    torch.from_numpy(v).float()[None]
                    for v in (p.global_orient, p.hand_pose, p.transl)
                ),
                torch.tensor([p.scale]),
            )
            for model, p in ((open_hand, params), (open_hand.mirrored(), params.mirrored()))
        )
        assert torch.equal(left.vertices, right.vertices * FLIP)

    def test_mirroring_parameters_twice_changes_nothing(self, rng):
        params = HandParams(*(rng.normal(size=s) for s in (3, (15, 3), 10, 3)), 1.2)
        twice = params.mirrored().mirrored()
        for field in fields(HandParams):
            np.testing.assert_array_equal(getattr(twice, field.name), getattr(params, field.name))
        assert params.mirrored().scale == 1.2

    def test_faces_keep_looking_outward(self, open_hand):
        def signed_volume(model: HandModel) -> float:
            a, b, c = model.v_template.double()[model.faces].unbind(1)
            return float((a * torch.linalg.cross(b, c)).sum() / 6)

        # The wrist is open, but the template's origin lies inside the hand: the sign is safe.
        assert signed_volume(open_hand) > 1e-4
        assert signed_volume(open_hand.mirrored()) == pytest.approx(signed_volume(open_hand))

    def test_principal_poses_are_mirrored_too(self, small, rng):
        coefficients = torch.from_numpy(rng.normal(size=(2, 6)))
        right, left = (m.pose_from_pca(coefficients) for m in (small, small.mirrored()))
        torch.testing.assert_close(left, right * AXIS_FLIP.double(), rtol=0, atol=0)


class TestGradients:
    @pytest.mark.parametrize("at_zero", [False, True])
    def test_they_are_exact(self, small, at_zero):
        params = random_params(3, b=1)
        if at_zero:
            params = [p * 0 for p in params[:4]] + [params[4]]
        for p in params:
            p.requires_grad_()

        def joints_and_some_vertices(*params: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mesh = pose(small, *params)
            return mesh.joints[:, ::4], mesh.vertices[:, ::20]

        assert torch.autograd.gradcheck(joints_and_some_vertices, params, atol=1e-6)

    def test_they_reach_every_parameter_of_the_flat_hand(self, open_hand):
        params = [p * 0 for p in random_params(0, dtype=torch.float32)[:4]]
        for p in params:
            p.requires_grad_()
        pose(open_hand, *params).vertices.square().sum().backward()
        for p in params:
            assert p.grad is not None
            assert p.grad.isfinite().all()
            assert (p.grad != 0).any()


class TestLoading:
    def test_the_side_asked_for_is_the_side_returned(self, open_hand):
        left = HandModel.load(side="left")
        assert (open_hand.side, left.side) == ("right", "left")
        assert torch.equal(left.v_template, open_hand.v_template * FLIP)
        assert left.sha256 == open_hand.sha256
        assert left.model_id == open_hand.model_id

    def test_an_official_left_file_is_mirrored_to_a_right_hand(
        self, tmp_path, hand, mano_pickle, make_left, make_pickle
    ):
        (tmp_path / "MANO_RIGHT.pkl").write_bytes(mano_pickle)
        (tmp_path / "MANO_LEFT.pkl").write_bytes(make_pickle(make_left(hand)))
        right = HandModel.load(tmp_path / "MANO_RIGHT.pkl")
        mirrored = HandModel.load(tmp_path / "MANO_LEFT.pkl", side="right")
        assert mirrored.side == "right"
        for name in ("v_template", "shapedirs", "posedirs", "faces", "hands_mean"):
            assert torch.equal(getattr(mirrored, name), getattr(right, name)), name

    def test_a_file_without_faces_is_refused(self, tmp_path, hand, make_pickle):
        (tmp_path / "MANO_RIGHT.pkl").write_bytes(
            make_pickle({k: v for k, v in hand.items() if k != "f"})
        )
        with pytest.raises(
            HandModelError, match=r"MANO_RIGHT\.pkl' was asked for, but it lacks f;"
        ):
            HandModel.load(tmp_path / "MANO_RIGHT.pkl")

    def test_casting_touches_real_numbers_only(self, open_hand):
        double = open_hand.to(dtype=torch.float64)
        assert double.v_template.dtype == double.hands_mean.dtype == torch.float64
        assert double.faces.dtype == torch.int64
        assert double.to("cpu").v_template.dtype == torch.float64
