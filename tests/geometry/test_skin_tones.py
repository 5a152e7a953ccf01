"""Skin colours against OpenCV's colour spaces, and where on the hand they fall."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tracker.geometry.hand_files import HandArrays, read_hand_file
from tracker.geometry.skeleton import MANO_JOINTS
from tracker.geometry.skin_tones import (
    MONK_TONES,
    lab_from_srgb,
    linear_from_srgb,
    mesh_noise,
    skin_color,
    skin_masks,
    skin_texture,
    srgb_from_lab,
    srgb_from_linear,
)


@pytest.fixture(scope="module")
def arrays() -> HandArrays:
    return read_hand_file()


def test_lab_agrees_with_opencv(rng):
    srgb = rng.random((50, 3)).astype(np.float32)
    expected = cv2.cvtColor(srgb[None], cv2.COLOR_RGB2Lab)[0]
    np.testing.assert_allclose(lab_from_srgb(srgb), expected, atol=0.3)


def test_encodings_can_be_undone(rng):
    srgb = np.concatenate([rng.random((100, 3)), np.full((1, 3), 0.02), np.eye(3)])
    np.testing.assert_allclose(srgb_from_lab(lab_from_srgb(srgb)), srgb, atol=1e-6)
    np.testing.assert_allclose(srgb_from_linear(linear_from_srgb(srgb)), srgb, atol=1e-12)


def test_dark_tones_are_the_swatches_and_light_ones_the_swatches_with_more_red():
    for tone in range(1, 11):
        swatch = lab_from_srgb(np.array([list(bytes.fromhex(MONK_TONES[tone - 1]))]) / 255)[0]
        off = lab_from_srgb(skin_color(float(tone))) - swatch
        np.testing.assert_allclose(off, [0, 6 if tone <= 5 else 0, 0], atol=1.5)


def test_tones_between_two_swatches_lie_between_them():
    lightness = [lab_from_srgb(skin_color(tone))[0] for tone in np.linspace(4, 10, 25)]
    assert (np.diff(lightness) < 0).all()


@pytest.mark.parametrize("tone", [0.9, 10.1, float("nan")])
def test_tones_off_the_scale_are_refused(tone):
    with pytest.raises(ValueError, match="between 1 and 10"):
        skin_color(tone)


def test_people_of_one_tone_differ_a_little():
    people = [skin_color(6.0, np.random.default_rng(seed)) for seed in range(20)]
    spread = lab_from_srgb(np.array(people)) - lab_from_srgb(skin_color(6.0))
    assert (np.abs(spread) < [4.01, 2.01, 3.01]).all()
    assert spread[:, 0].std() > 1


def test_fallback_masks_are_where_they_should_be(arrays):
    bare = replace(arrays, mask_palmar=None, mask_nail=None, mask_knuckle=None)
    masks = skin_masks(bare)
    joints = bare.J_regressor @ bare.v_template
    middle = joints[MANO_JOINTS.index("middle_mcp")]
    near = np.abs(bare.v_template - (middle + joints[0]) / 2)[:, [0, 2]].max(1) < 0.02
    above = bare.v_template[:, 1] > joints[0, 1]
    assert masks.palmar[near & ~above].mean() > 0.8
    assert masks.palmar[near & above].mean() < 0.1
    for joint in ("index_dip", "middle_dip", "ring_dip", "pinky_dip", "thumb_ip"):
        on_joint = bare.weights[:, MANO_JOINTS.index(joint)] > 0.85
        assert 2 <= (masks.nail[on_joint] > 0.5).sum() <= 25, joint
        assert masks.fingertip[on_joint].max() > 0.9
    assert 10 <= (masks.knuckle > 0.3).sum() <= 120
    assert (masks.knuckle * masks.palmar).max() < 0.3


def test_masks_of_the_file_win(arrays, rng):
    given = rng.random(len(arrays.v_template))
    masks = skin_masks(replace(arrays, mask_palmar=given, mask_nail=1 - given, mask_knuckle=given))
    np.testing.assert_array_equal(masks.palmar, given)
    np.testing.assert_array_equal(masks.nail, 1 - given)
    np.testing.assert_array_equal(masks.knuckle, given)


def test_a_left_hand_has_the_mirrored_masks(arrays):
    right = replace(arrays, mask_palmar=None, mask_nail=None, mask_knuckle=None)
    left = replace(
        right, v_template=right.v_template * [-1, 1, 1], f=right.f[:, ::-1].copy(), side="left"
    )
    for name in ("palmar", "nail", "knuckle", "fingertip"):
        np.testing.assert_allclose(
            getattr(skin_masks(left), name), getattr(skin_masks(right), name), atol=1e-5
        )


def test_palms_are_lighter_than_backs_the_more_the_darker_the_skin(arrays):
    masks, gaps = skin_masks(arrays), []
    for tone in (6.0, 8.0, 10.0):
        lightness = lab_from_srgb(skin_texture(arrays, tone, np.random.default_rng(0)))[:, 0]
        gaps.append(lightness[masks.palmar > 0.9].mean() - lightness[masks.palmar < 0.1].mean())
    assert (np.array(gaps) > [3, 8, 15]).all()


def test_texture_is_the_drawn_persons_and_nobody_elses(arrays):
    one, again, other = (skin_texture(arrays, 5.0, np.random.default_rng(s)) for s in (1, 1, 2))
    assert one.dtype == np.float32
    assert one.min() >= 0
    assert one.max() <= 1
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.01


def test_noise_is_smooth_on_the_mesh(arrays, rng):
    noise = mesh_noise(arrays.f, len(arrays.v_template), rng)
    assert abs(noise.mean()) < 1e-9
    assert noise.std() == pytest.approx(1)
    steps = noise[arrays.f[:, 0]] - noise[arrays.f[:, 1]]
    assert steps.std() < 0.5  # independent values would give 1.4
