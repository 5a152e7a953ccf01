import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.errors import HandModelError
from tracker.geometry.camera import Camera
from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.hand_model import HandModel
from tracker.geometry.topology import edge_faces
from tracker.geometry.zbuffer import rasterise
from train.crop_view import RoiJitter
from train.datasets.sample import DatasetError, Sample
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.datasets.synthetic_arm import ArmTopology
from train.datasets.synthetic_keypoints import KeypointNoise
from train.datasets.synthetic_scene import SceneChances, SceneMaker
from train.datasets.synthetic_things import SHAPES

PLAIN = SceneChances(held=0.0, before=0.0, behind=0.0, second_hand=0.0, sleeve=0.0)


@pytest.fixture(scope="module")
def hands() -> SyntheticHands:
    return SyntheticHands(SyntheticConfig(size_px=96))


@pytest.fixture(scope="module")
def bare() -> SyntheticHands:
    return SyntheticHands(SyntheticConfig(size_px=96, chances=PLAIN))


def same(a: Sample, b: Sample) -> bool:
    return bool(np.array_equal(a.rgb, b.rgb) and np.array_equal(a.uv, b.uv))


def test_an_index_is_always_the_same_picture(hands: SyntheticHands):
    again = SyntheticHands(SyntheticConfig(size_px=96))
    assert same(hands[12], again[12])
    assert same(hands[12], hands[12])
    assert not same(hands[12], hands[13])
    other = SyntheticHands(SyntheticConfig(size_px=96, seed=1))
    assert not same(hands[12], other[12])


def test_threads_draw_the_same_pictures(hands: SyntheticHands):
    wanted = [hands[i] for i in range(16)]
    drawn: dict[int, Sample] = {}

    def work(first: int) -> None:
        drawn.update({i: hands[i] for i in range(first, 16, 2)})

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert all(same(drawn[i], wanted[i]) for i in range(16))


def test_truth_projects_onto_the_keypoints(hands: SyntheticHands):
    for i in range(30):
        sample = hands[i]
        projected = Camera(sample.K, (96, 96)).project(sample.truth.xyz)
        np.testing.assert_allclose(projected, sample.uv, atol=1e-6)
        np.testing.assert_array_equal(sample.truth.uv_true, sample.uv)
        assert (sample.confidence == 1).all()
        assert sample.framed
        assert sample.rgb.shape == (96, 96, 3)


def test_hands_have_the_size_of_hands(hands: SyntheticHands):
    lengths = []
    for i in range(40):
        xyz = hands[i].truth.xyz
        lengths.append(np.linalg.norm(xyz[9] - xyz[0]))
        assert xyz[:, 2].min() > 0.1
        assert xyz[:, 2].max() < 1.5
    assert 0.07 < np.mean(lengths) < 0.11


def test_vertices_are_the_models_hand_at_the_joints(hands: SyntheticHands):
    model = HandModel.load()
    for i in range(5):
        truth = hands[i].truth
        tips = truth.vertices[list(model.tip_ids)]
        np.testing.assert_allclose(tips, truth.xyz[[4, 8, 12, 16, 20]], atol=1e-5)


def test_the_mask_is_what_a_renderer_sees(bare: SyntheticHands):
    """Without anything around, the mask is the hand as the z-buffer draws it, where the arm is not."""
    faces = HandModel.load().faces.numpy()
    agreements = []
    for i in range(12):
        sample = bare[i]
        seen = rasterise(sample.truth.vertices, faces, sample.K, (96, 96))[0] >= 0
        inside = sample.rgb.max(-1) > 0  # black beyond the camera's picture
        both = (seen & sample.truth.mask & inside).sum()
        agreements.append(both / max((sample.truth.mask & inside).sum(), 1))
        assert sample.truth.mask.sum() > 300
    assert np.mean(agreements) > 0.97


def test_the_region_is_the_trackers(bare: SyntheticHands):
    """Hands fill about half of the picture and point up, give or take the jitter."""
    spans, ups = [], []
    for i in range(40):
        uv = bare[i].uv / 96
        stable = uv[[0, 1, 5, 9, 13, 17, 2, 6, 10, 14, 18, 3]]
        spans.append(np.ptp(stable, axis=0).max())
        ups.append(uv[0, 1] - uv[9, 1])
    assert 0.42 < np.mean(spans) < 0.58
    assert np.mean(np.array(ups) > 0) > 0.95


def test_jitter_can_be_switched_off():
    still = RoiJitter(rotation_rad=0.0, shift=0.0, scale=1.0)
    hands = SyntheticHands(SyntheticConfig(size_px=64, jitter=still, chances=PLAIN))
    for i in range(5):
        uv = hands[i].uv
        knuckles = (uv[[5, 13]].mean(0) + uv[9]) / 2 - uv[0]
        assert abs(knuckles[0]) < 1e-3 * abs(knuckles[1]) + 1e-3


def test_what_surrounds_a_hand_hides_some_of_it(bare: SyntheticHands):
    everything = SceneChances(held=1.0, before=1.0, behind=1.0, second_hand=1.0, sleeve=1.0)
    crowded = SyntheticHands(SyntheticConfig(size_px=96, chances=everything))
    shown = [[s[i].truth.mask.mean() for i in range(30)] for s in (bare, crowded)]
    assert np.mean(shown[1]) < 0.85 * np.mean(shown[0])


def test_noise_is_honest_about_itself():
    noisy = SyntheticHands(SyntheticConfig(size_px=96, noise=KeypointNoise()))
    samples = [noisy[i] for i in range(150)]
    errors = np.concatenate([np.linalg.norm(s.uv - s.truth.uv_true, axis=1) for s in samples])
    confidence = np.concatenate([s.confidence for s in samples])
    assert ((confidence > 0) & (confidence <= 1)).all()
    sure = confidence > np.median(confidence)
    assert np.median(errors[sure]) < 0.6 * np.median(errors[~sure])
    assert 0.5 < np.median(errors) < 4  # of 96 pixels
    assert np.quantile(errors, 0.99) > 10


def test_hidden_joints_are_found_less_well():
    config = SyntheticConfig(size_px=96, noise=KeypointNoise(outliers=0.0))
    uv, hidden = np.zeros((21, 2)), np.arange(21) % 2 == 0
    rng = np.random.default_rng(3)
    drawn = [config.noise(uv, hidden, 50.0, rng) for _ in range(400)]
    errors = np.mean([np.linalg.norm(seen, axis=1) for seen, _ in drawn], 0)
    sure = np.mean([confidence for _, confidence in drawn], 0)
    assert errors[hidden].mean() > 2 * errors[~hidden].mean()
    assert sure[hidden].mean() < sure[~hidden].mean() - 0.2


def test_the_users_backgrounds_are_used(tmp_path: Path):
    blue = np.zeros((90, 120, 3), np.uint8)
    blue[..., 0] = 250  # cv2 writes BGR
    cv2.imwrite(str(tmp_path / "wall.png"), blue)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    hands = SyntheticHands(SyntheticConfig(size_px=64, backgrounds=tmp_path, chances=PLAIN))
    blueness = []
    for i in range(10):
        free = hands[i].rgb[~hands[i].truth.mask].astype(float).mean(0)
        blueness.append(free[2] - free[0])
    assert np.mean(blueness) > 40
    (tmp_path / "wall.png").unlink()
    with pytest.raises(DatasetError, match="no picture that can be read"):
        SyntheticHands(SyntheticConfig(backgrounds=tmp_path))


def test_a_count_ends_the_data_set():
    hands = SyntheticHands(SyntheticConfig(size_px=32, count=3))
    assert len(hands) == 3
    with pytest.raises(IndexError, match="asked for 3"):
        hands[3]


def test_a_hand_without_pose_samples_is_refused(small_hand_without_samples):
    with pytest.raises(HandModelError, match="pose samples"):
        SceneMaker(small_hand_without_samples, SceneChances(), RoiJitter(), 0)


@pytest.fixture
def small_hand_without_samples():
    from dataclasses import replace

    return replace(read_hand_file(), hands_coeffs=np.zeros((0, 45)))


def test_the_arm_is_closed():
    arrays = read_hand_file()
    topology = ArmTopology.of_hand(arrays.f, len(arrays.v_template))
    assert (edge_faces(topology.faces)[:, 3] >= 0).all()
    np.testing.assert_array_equal(topology.faces[: topology.hand_faces], arrays.f)
    arm = topology.with_forearm(arrays.v_template, np.eye(3), np.zeros(3))
    end = arm[-len(topology.loop) :].mean(0) - arm[topology.loop].mean(0)
    np.testing.assert_allclose(end, [0.3, 0, 0], atol=1e-3)
    a, b, c = (arm[topology.faces[:, k]].astype(float) for k in range(3))
    assert (np.cross(a, b) * c).sum() / 6 > 0.0005  # cubic metres, outside out


@pytest.mark.parametrize("name", SHAPES)
def test_things_are_closed_and_the_right_way_out(name: str):
    shape = SHAPES[name]
    a, b, c = (shape.vertices[shape.faces[:, k]].astype(float) for k in range(3))
    volume = (np.cross(a, b) * c).sum() / 6
    assert 0.7 * 4.18 < volume <= 8.001


@pytest.mark.parametrize("wrong", [{"size_px": 8}, {"count": 0}])
def test_configs_are_checked(wrong: dict[str, int]):
    with pytest.raises(ValueError, match="must"):
        SyntheticConfig(**wrong)
    with pytest.raises(ValueError, match="chance"):
        SceneChances(held=2.0)
    with pytest.raises(ValueError, match="sigma"):
        KeypointNoise(sigma=-1.0)
