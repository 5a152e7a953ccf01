import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.geometry.camera import Camera
from tracker.vision.crops import roi_from_landmarks
from tracker.vision.records import Roi
from train.augment import Augmentation, crop_sample, hand_region, recolored
from train.crop_view import RoiJitter, crop_view, roi_from_box, roi_from_seen
from train.datasets.sample import Sample, SampleError, Truth, check_keypoints, mirrored


def hand_points(rng: np.random.Generator, depth: float = 0.6) -> np.ndarray:
    return rng.normal([0.03, -0.02, depth], 0.04, (21, 3))


def a_sample(rng: np.random.Generator, hw: tuple[int, int] = (240, 320)) -> Sample:
    camera = Camera.from_fov(hw, 60.0)
    K = camera.K.copy()
    K[1, 1] *= 1.03  # pixels need not be square
    K[0, 1] = 0.7
    xyz = hand_points(rng)
    uv = (xyz @ K.T)[:, :2] / xyz[:, 2:]
    mask = rng.random(hw) < 0.5
    truth = Truth(xyz, rng.normal([0, 0, 0.6], 0.05, (50, 3)), mask, uv)
    rgb = rng.integers(0, 255, (*hw, 3), dtype=np.uint8)
    return Sample(rgb, K, uv, np.ones(21), "made-up:1", truth)


def projected(xyz: np.ndarray, K: np.ndarray) -> np.ndarray:
    return (xyz @ K.T)[:, :2] / xyz[:, 2:]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000))
def test_truth_moves_with_the_pixels(seed: int):
    rng = np.random.default_rng(seed)
    sample = a_sample(rng)
    made = crop_sample(sample, 224, rng, Augmentation(jitter=RoiJitter(rotation_rad=np.pi)))
    np.testing.assert_allclose(projected(made.xyz, made.K), made.uv, atol=1e-6)
    np.testing.assert_allclose(made.uv_true, made.uv, atol=1e-9)
    assert made.K[1, 0] == made.K[2, 0] == made.K[2, 1] == 0
    assert made.K[0, 0] > 0
    assert made.K[1, 1] > 0
    np.testing.assert_allclose(made.crop_from_cam @ made.crop_from_cam.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(made.xyz, sample.truth.xyz @ made.crop_from_cam.T)


@settings(deadline=None, max_examples=30)
@given(st.floats(-np.pi, np.pi), st.floats(20.0, 300.0), st.integers(0, 1000))
def test_the_homography_of_the_rolled_camera_is_the_cut(angle: float, size: float, seed: int):
    K = a_sample(np.random.default_rng(seed)).K
    view = crop_view(K, Roi(np.array([100.0, 80.0]), size, angle), 128)
    homography = view.K @ view.crop_from_cam @ np.linalg.inv(K)
    np.testing.assert_allclose(homography[:2], view.crop_from_frame, atol=1e-8)
    np.testing.assert_allclose(homography[2], [0, 0, 1], atol=1e-10)


def test_the_principal_point_stays_when_turning_about_it():
    K = np.array([[480.0, 0, 112], [0, 480, 112], [0, 0, 1]])
    view = crop_view(K, Roi(np.array([112.0, 112.0]), 224.0, 0.8), 224)
    np.testing.assert_allclose(view.K, K, atol=1e-9)


def test_pixels_land_where_keypoints_do(rng: np.random.Generator):
    """A bright dot at each joint is found again at the joint's place in the crop."""
    sample = a_sample(rng, (400, 400))
    uv = sample.uv.round() + 0.5
    rgb = np.zeros_like(sample.rgb)
    x, y = (uv - 0.5).astype(int).T
    rgb[y[9], x[9]] = 255
    moved = Sample(rgb, sample.K, uv, sample.confidence, "dot:1", framed=False)
    plain = Augmentation(RoiJitter(), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    made = crop_sample(moved, 224, rng, plain)
    weight = made.rgb[..., 0].astype(float)
    v, u = np.mgrid[0:224, 0:224] + 0.5
    found = np.array([(u * weight).sum(), (v * weight).sum()]) / weight.sum()
    np.testing.assert_allclose(found, made.uv[9], atol=0.35)


def test_without_chance_the_region_is_the_trackers(rng: np.random.Generator):
    sample = a_sample(rng)
    region = hand_region(sample)
    wanted = roi_from_landmarks(sample.uv)
    np.testing.assert_allclose(region.center_uv, wanted.center_uv)
    assert region.size_px == wanted.size_px
    first, second = (crop_sample(sample, 96, None) for _ in range(2))
    np.testing.assert_array_equal(first.rgb, second.rgb)


def test_the_mask_moves_too(rng: np.random.Generator):
    sample = a_sample(rng)
    v, u = np.mgrid[0:240, 0:320]
    mask = (u + 0.5 - sample.uv[9, 0]) ** 2 + (v + 0.5 - sample.uv[9, 1]) ** 2 < 14**2
    truth = Truth(sample.truth.xyz, None, mask, sample.uv)
    made = crop_sample(
        Sample(sample.rgb, sample.K, sample.uv, sample.confidence, "disc:1", truth), 224, rng
    )
    y, x = np.nonzero(made.mask)
    centre = np.array([x.mean(), y.mean()]) + 0.5
    inside = (made.uv[9] > 40).all() and (made.uv[9] < 184).all()
    assert inside
    np.testing.assert_allclose(centre, made.uv[9], atol=0.7)


def test_missing_joints_give_an_upright_region_and_finite_numbers(rng: np.random.Generator):
    sample = a_sample(rng)
    uv, confidence = sample.uv.copy(), sample.confidence.copy()
    uv[3], confidence[3] = np.nan, 0
    made = crop_sample(Sample(sample.rgb, sample.K, uv, confidence, "gap:1"), 96, None)
    assert np.isfinite(made.uv).all()
    assert np.isnan(made.xyz).all()
    assert made.mask is None
    np.testing.assert_allclose(made.crop_from_cam, np.eye(3), atol=1e-12)


def test_too_few_joints_need_a_box(rng: np.random.Generator):
    sample = a_sample(rng)
    confidence = np.zeros(21)
    bare = Sample(sample.rgb, sample.K, sample.uv, confidence, "blind:7")
    with pytest.raises(SampleError, match="blind:7"):
        crop_sample(bare, 96, None)
    boxed = Sample(
        sample.rgb,
        sample.K,
        sample.uv,
        confidence,
        "blind:7",
        box_xyxy=np.array([80.0, 60, 180, 160]),
    )
    made = crop_sample(boxed, 96, None)
    assert made.K[0, 0] == pytest.approx(sample.K[0, 0] * 96 / 160)
    assert roi_from_seen(sample.uv, confidence > 0) is None
    assert roi_from_box(np.array([80.0, 60, 180, 160])).angle_rad == 0


def test_a_framed_sample_is_only_resized(rng: np.random.Generator):
    sample = a_sample(rng, (128, 128))
    framed = Sample(
        sample.rgb, sample.K, sample.uv, sample.confidence, "framed:1", sample.truth, framed=True
    )
    made = crop_sample(framed, 64, rng)
    np.testing.assert_allclose(made.uv, sample.uv / 2)
    np.testing.assert_allclose(made.K[:2], sample.K[:2] / 2)
    assert made.mask.shape == (64, 64)
    same = crop_sample(framed, 128, rng)
    np.testing.assert_array_equal(same.rgb, sample.rgb)


def test_mirroring_twice_changes_nothing_and_once_projects(rng: np.random.Generator):
    sample = a_sample(rng)
    once = mirrored(sample)
    np.testing.assert_allclose(projected(once.truth.xyz, once.K), once.uv, atol=1e-9)
    np.testing.assert_array_equal(once.rgb[:, 0], sample.rgb[:, -1])
    twice = mirrored(once)
    np.testing.assert_array_equal(twice.rgb, sample.rgb)
    np.testing.assert_allclose(twice.K, sample.K)
    np.testing.assert_allclose(twice.uv, sample.uv)


def test_colours_change_and_stay_when_nothing_varies(rng: np.random.Generator):
    rgb = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    still = Augmentation(RoiJitter(), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    np.testing.assert_array_equal(recolored(rgb, still, rng), rgb)
    assert np.abs(recolored(rgb, Augmentation(), rng).astype(int) - rgb).mean() > 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda uv, c: c.fill(0), "every confidence is 0"),
        (lambda uv, c: uv.__setitem__(4, np.nan), "not finite"),
        (lambda uv, c: c.__setitem__(4, np.nan), "between 0 and 1"),
        (lambda uv, c: c.__setitem__(4, 1.5), "between 0 and 1"),
    ],
)
def test_useless_keypoints_are_refused(change, message: str):
    uv, confidence = np.ones((21, 2)), np.ones(21)
    change(uv, confidence)
    with pytest.raises(SampleError, match=message):
        check_keypoints(uv, confidence, "somewhere.jpg")


@pytest.mark.parametrize("wrong", [{"rotation_rad": -1.0}, {"shift": 0.6}, {"scale": 0.9}])
def test_jitter_is_checked(wrong: dict[str, float]):
    with pytest.raises(ValueError, match="jitter needs"):
        RoiJitter(**wrong)


def test_augmentation_is_checked():
    with pytest.raises(ValueError, match="chance"):
        Augmentation(blur=2.0)
    with pytest.raises(ValueError, match="tint"):
        Augmentation(tint=-1.0)
