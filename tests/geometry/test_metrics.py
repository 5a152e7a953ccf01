"""Metrics against a twin written with loops, and the laws that alignment and jitter obey."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tracker.geometry import metrics
from tracker.geometry.metrics import (
    auc,
    f_score,
    jerk_m_per_s3,
    jitter_mm,
    jitter_px,
    mpjpe_mm,
    mpvpe_mm,
    pa_mpjpe_mm,
    pa_mpvpe_mm,
    pck_curve,
    point_errors_mm,
    procrustes_align,
    root_relative,
    root_translation_error_percent,
    scale_align,
)

seeds = st.integers(0, 2**32 - 1)


def hands(seed: int, n: int = 3, k: int = 21) -> tuple[np.ndarray, np.ndarray]:
    """Random joints and an estimate of them that is off by centimetres."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, k, 3)) * 0.06
    return truth + rng.normal(size=(n, k, 3)) * 0.02, truth


def moved(points: np.ndarray, seed: int, scale: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turns = Rotation.random(len(points), rng=rng).as_matrix()
    return scale * points @ turns.transpose(0, 2, 1) + rng.normal(size=(len(points), 1, 3))


def loop_mpjpe_mm(points: np.ndarray, target: np.ndarray) -> float:
    total, count = 0.0, 0
    for frame, frame_target in zip(points, target, strict=True):
        for (ax, ay, az), (bx, by, bz) in zip(frame, frame_target, strict=True):
            total += ((ax - bx) ** 2 + (ay - by) ** 2 + (az - bz) ** 2) ** 0.5
            count += 1
    return 1000 * total / count


def loop_f_score(points: np.ndarray, target: np.ndarray, threshold_mm: float) -> float:
    def share(of: np.ndarray, near: np.ndarray) -> float:
        hits = [min(np.linalg.norm(p - q) for q in near) * 1000 < threshold_mm for p in of]
        return sum(hits) / len(hits)

    scores = []
    for a, b in zip(points, target, strict=True):
        precision, recall = share(a, b), share(b, a)
        total = precision + recall
        scores.append(2 * precision * recall / total if total else 0.0)
    return sum(scores) / len(scores)


def loop_auc(errors_mm: np.ndarray) -> float:
    shares = []
    for step in range(100):
        shares.append(sum(e <= 50 * step / 99 for e in errors_mm.ravel()) / errors_mm.size)
    return sum((a + b) / 2 for a, b in pairwise(shares)) / 99


def horn_align(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Similarity by Horn's quaternion method: a derivation that shares nothing with the SVD's."""
    aligned = []
    for source, goal in zip(points, target, strict=True):
        a, b = source - source.mean(0), goal - goal.mean(0)
        s = a.T @ b
        xx, yy, zz = s[0, 0], s[1, 1], s[2, 2]
        yz, zx, xy = s[1, 2] - s[2, 1], s[2, 0] - s[0, 2], s[0, 1] - s[1, 0]
        n = np.array(
            [
                [xx + yy + zz, yz, zx, xy],
                [yz, xx - yy - zz, s[0, 1] + s[1, 0], s[2, 0] + s[0, 2]],
                [zx, s[0, 1] + s[1, 0], yy - xx - zz, s[1, 2] + s[2, 1]],
                [xy, s[2, 0] + s[0, 2], s[1, 2] + s[2, 1], zz - xx - yy],
            ]
        )
        w, x, y, z = np.linalg.eigh(n)[1][:, -1]
        turned = Rotation.from_quat([x, y, z, w]).apply(a)
        aligned.append((turned * b).sum() / (a * a).sum() * turned + goal.mean(0))
    return np.array(aligned)


class TestErrors:
    @given(seeds)
    @settings(max_examples=20)
    def test_the_loop_twins_agree(self, seed):
        joints, truth = hands(seed)
        assert mpjpe_mm(joints, truth) == pytest.approx(loop_mpjpe_mm(joints, truth))
        assert mpvpe_mm(joints[:, :9], truth[:, :9]) == pytest.approx(
            loop_mpjpe_mm(joints[:, :9], truth[:, :9])
        )
        errors = point_errors_mm(joints, truth)
        assert errors.shape == (3, 21)
        assert auc(errors) == pytest.approx(loop_auc(errors))
        for threshold_mm in (5.0, 15.0, 40.0):
            assert f_score(joints, truth[:, :15], threshold_mm) == pytest.approx(
                loop_f_score(joints, truth[:, :15], threshold_mm)
            )

    def test_units_are_millimetres(self):
        truth = np.zeros((2, 21, 3))
        assert mpjpe_mm(truth + np.array([0.003, 0.004, 0]), truth) == pytest.approx(5)

    @given(seeds)
    @settings(max_examples=20)
    def test_root_relative_forgets_where_the_hand_is(self, seed):
        joints, truth = hands(seed)
        offset = np.random.default_rng(seed).normal(size=(3, 1, 3))
        a = mpjpe_mm(root_relative(joints), root_relative(truth))
        b = mpjpe_mm(root_relative(joints + offset), root_relative(truth))
        assert a == pytest.approx(b)
        assert (root_relative(joints)[:, 0] == 0).all()

    def test_vertices_are_relative_to_the_joint_they_are_given(self):
        vertices, root = np.ones((2, 5, 3)), np.array([[1.0, 0, 0], [0, 1, 0]])
        np.testing.assert_array_equal(root_relative(vertices, root)[1, 3], [1, 0, 1])

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize(
        "metric", [mpjpe_mm, mpvpe_mm, pa_mpjpe_mm, pa_mpvpe_mm, lambda a, b: f_score(a, b, 5.0)]
    )
    def test_frames_without_a_hand_are_refused(self, metric, bad):
        joints, truth = hands(0)
        joints[1, 4, 0] = bad
        with pytest.raises(ValueError, match="must be finite"):
            metric(joints, truth)
        with pytest.raises(ValueError, match="must be finite"):
            metric(truth, joints)

    def test_nothing_has_no_error(self):
        with pytest.raises(ValueError, match="no points"):
            mpjpe_mm(np.zeros((0, 21, 3)), np.zeros((0, 21, 3)))


class TestProcrustes:
    @given(seeds, st.floats(0.2, 5))
    @settings(max_examples=30)
    def test_it_undoes_any_similarity(self, seed, scale):
        _, truth = hands(seed)
        np.testing.assert_allclose(
            procrustes_align(moved(truth, seed, scale), truth), truth, atol=1e-12
        )

    @given(seeds)
    @settings(max_examples=30)
    def test_it_is_horns_answer(self, seed):
        joints, truth = hands(seed)
        joints = moved(joints, seed, 1.7)
        np.testing.assert_allclose(
            procrustes_align(joints, truth), horn_align(joints, truth), atol=1e-10
        )
        expected = loop_mpjpe_mm(horn_align(joints, truth), truth)
        assert pa_mpjpe_mm(joints, truth) == pytest.approx(expected)
        assert pa_mpvpe_mm(joints, truth) == pytest.approx(expected)

    @given(seeds)
    @settings(max_examples=30)
    def test_no_similarity_nearby_is_better(self, seed):
        joints, truth = hands(seed)
        best = procrustes_align(joints, truth)
        cost = ((best - truth) ** 2).sum((1, 2))
        rng = np.random.default_rng(seed)
        turns = Rotation.from_rotvec(rng.normal(size=(3, 3)) * 0.05).as_matrix()
        other = best @ turns * rng.uniform(0.9, 1.1) + rng.normal(size=(3, 1, 3)) * 0.01
        assert (((other - truth) ** 2).sum((1, 2)) >= cost).all()

    @given(seeds)
    @settings(max_examples=20)
    def test_a_hand_does_not_fit_its_mirror_image(self, seed):
        _, truth = hands(seed)
        mirrored = truth * [-1, 1, 1]
        assert pa_mpjpe_mm(mirrored, truth) > 10
        np.testing.assert_allclose(
            procrustes_align(mirrored, truth), horn_align(mirrored, truth), atol=1e-10
        )

    def test_points_that_coincide_are_only_moved(self):
        _, truth = hands(0)
        aligned = procrustes_align(np.full((3, 21, 3), 7.0), truth)
        expected = np.broadcast_to(truth.mean(1, keepdims=True), truth.shape)
        np.testing.assert_allclose(aligned, expected, atol=1e-12)
        np.testing.assert_allclose(procrustes_align(truth, np.full((3, 21, 3), 7.0)), 7, atol=1e-12)

    def test_points_on_a_line_or_a_plane_are_aligned(self):
        _, truth = hands(0)
        for flat in (truth * [1, 0, 0], truth * [1, 1, 0], truth * [-1, 1, 0]):
            aligned = procrustes_align(moved(flat, 3, 2.0), flat)
            np.testing.assert_allclose(aligned, flat, atol=1e-10)

    def test_frames_are_aligned_each_by_itself(self):
        joints, truth = hands(4)
        together = procrustes_align(joints, truth)
        for i in range(3):
            alone = procrustes_align(joints[i : i + 1], truth[i : i + 1])
            np.testing.assert_allclose(together[i], alone[0], atol=1e-14)

    @given(seeds, st.floats(0.2, 5))
    @settings(max_examples=20)
    def test_scale_alignment_undoes_scale_and_place_but_not_turns(self, seed, scale):
        _, truth = hands(seed)
        offset = np.random.default_rng(seed).normal(size=(3, 1, 3))
        np.testing.assert_allclose(scale_align(truth * scale + offset, truth), truth, atol=1e-12)
        turned = truth @ Rotation.from_rotvec([0, 0, 1.0]).as_matrix()
        assert mpjpe_mm(scale_align(turned, truth), truth) > 10

    def test_scale_alignment_of_one_point_moves_it(self):
        _, truth = hands(0)
        aligned = scale_align(np.full((3, 21, 3), 7.0), truth)
        np.testing.assert_allclose(aligned.std(1), 0, atol=1e-12)
        np.testing.assert_allclose(aligned.mean(1), truth.mean(1), atol=1e-12)


class TestCurve:
    @pytest.mark.parametrize(
        ("errors_mm", "expected"),
        [([0.0] * 3, 1.0), ([50.1, 900.0], 0.0), ([50.0], 0.5 / 99), ([25.0], 0.5), ([0, 60], 0.5)],
    )
    def test_known_areas(self, errors_mm, expected):
        # 25 mm lies halfway between two thresholds.
        assert auc(np.array(errors_mm, float)) == pytest.approx(expected, abs=1e-12)

    @given(seeds, st.floats(1.0, 3))
    @settings(max_examples=20)
    def test_larger_errors_never_help(self, seed, factor):
        errors = np.random.default_rng(seed).exponential(20, (4, 21))
        assert auc(errors * factor) <= auc(errors)

    def test_the_curve_rises_over_100_thresholds(self, rng):
        curve = pck_curve(rng.uniform(0, 50, 1000))
        assert curve.shape == (metrics.AUC_STEPS,)
        assert (np.diff(curve) >= 0).all()
        assert curve[-1] == 1

    def test_no_errors_make_no_curve(self):
        with pytest.raises(ValueError, match="no errors"):
            auc(np.zeros((0, 21)))


class TestFScore:
    def test_equal_clouds_score_one_and_far_ones_zero(self):
        _, truth = hands(0)
        assert f_score(truth, truth, 5.0) == 1
        assert f_score(truth + 10, truth, 15.0) == 0

    def test_precision_and_recall_both_count(self):
        _, truth = hands(0, n=1, k=20)
        # A quarter of the cloud: every point is right, and a quarter of the target is found.
        assert f_score(truth[:, :5], truth, 0.001) == pytest.approx(2 * 0.25 / 1.25)

    def test_empty_clouds_are_refused(self):
        _, truth = hands(0)
        for empty in (truth[:0], truth[:, :0]):
            with pytest.raises(ValueError, match="no points"):
                f_score(empty, truth[: len(empty)], 5.0)


class TestJitter:
    def test_white_noise_gives_its_own_deviation(self, rng):
        tracks = rng.normal(size=(2000, 21, 2)) * 0.7 + 300
        assert jitter_px(tracks) == pytest.approx(0.7, rel=0.02)
        assert jitter_mm(rng.normal(size=(2000, 21, 3)) * 0.002) == pytest.approx(2, rel=0.02)

    def test_steady_motion_is_not_jitter(self):
        tracks = np.arange(50.0)[:, None, None] * [[1.0, -2.0, 0.5]] + 3
        assert jitter_mm(tracks) == pytest.approx(0, abs=1e-9)
        assert jerk_m_per_s3(tracks, 30.0) == pytest.approx(0, abs=1e-6)

    def test_it_is_the_definition(self, rng):
        x = rng.normal(size=(6, 2, 3))
        squares = []
        for t in range(1, 5):
            for joint in range(2):
                for axis in range(3):
                    mean = (x[t - 1, joint, axis] + x[t + 1, joint, axis]) / 2
                    squares.append((x[t, joint, axis] - mean) ** 2)
        assert jitter_mm(x) == pytest.approx(1000 * (np.mean(squares) / 1.5) ** 0.5)

    def test_jerk_of_a_cubic_is_known(self):
        fps = 25.0
        t = np.arange(40) / fps
        direction = np.array([0.6, 0.0, 0.8])
        tracks = (t**3)[:, None, None] * direction
        assert jerk_m_per_s3(np.repeat(tracks, 21, 1), fps) == pytest.approx(6)

    def test_gaps_are_left_out_with_what_they_touch(self, rng):
        first, second = rng.normal(size=(2, 30, 21, 3))
        gap = np.full((1, 21, 3), np.nan)
        joined = jitter_mm(np.concatenate([first, gap, second]))
        expected = ((jitter_mm(first) ** 2 + jitter_mm(second) ** 2) / 2) ** 0.5
        assert joined == pytest.approx(expected)
        jerks = jerk_m_per_s3(first, 30.0), jerk_m_per_s3(second, 30.0)
        assert jerk_m_per_s3(np.concatenate([first, gap, second]), 30.0) == pytest.approx(
            np.mean(jerks)
        )

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_too_few_frames_are_refused(self, n):
        with pytest.raises(ValueError, match="long enough"):
            jitter_px(np.zeros((n, 21, 2)))
        with pytest.raises(ValueError, match="long enough"):
            jerk_m_per_s3(np.zeros((n, 21, 3)), 30.0)


def test_a_path_is_compared_without_its_place_and_turn_but_with_its_size():
    truth = np.random.default_rng(0).normal(size=(50, 3)).cumsum(0)
    turn = Rotation.from_rotvec([0.3, -0.5, 1.0]).as_matrix()
    assert root_translation_error_percent(truth @ turn.T + 5, truth) < 1e-9
    length = np.linalg.norm(np.diff(truth, axis=0), axis=-1).sum()
    centred = truth - truth.mean(0)
    expected = 100 * np.linalg.norm(centred, axis=-1).mean() / length
    assert root_translation_error_percent(2 * truth, truth) == pytest.approx(expected)
    with pytest.raises(ValueError, match="never moves"):
        root_translation_error_percent(truth, np.zeros_like(truth))
