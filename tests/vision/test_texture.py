"""Colour is found again: albedo under a light, unseen vertices from their neighbours."""

import numpy as np
import torch

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.shading import Light
from tracker.geometry.zbuffer import vertex_normals
from tracker.view.renderer import Mesh
from tracker.view.software_renderer import SoftwareRenderer
from tracker.vision.texture import TextureFuser

CAMERA = Camera.from_fov((360, 480), 50.0)
AS_IT_IS = Light(np.ones(3), np.zeros(3), np.array([0.0, 0.0, 1.0]))


def placed_hand() -> tuple[np.ndarray, np.ndarray]:
    """The open hand, back of the hand towards the camera, half a metre away."""
    model = HandModel.load()
    turn = torch.tensor([[-np.pi / 2, 0.0, 0.0]]).float()
    transl = torch.tensor([[0.0, 0.0, 0.35]])
    mesh = (
        model.with_shape(torch.zeros(1, 10)).with_pose(turn, torch.zeros(1, 15, 3), transl).skin()
    )
    return mesh.vertices[0].numpy(), model.faces.numpy()


def picture(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """The hand in exactly these colours on dark grey."""
    drawn = SoftwareRenderer().render([Mesh(vertices, faces, colors)], CAMERA, AS_IT_IS)
    mixed = drawn.alpha[..., None] * drawn.rgb + (1 - drawn.alpha[..., None]) * 40
    return np.round(mixed).astype(np.uint8)


def test_an_evenly_lit_colour_is_recovered_and_spreads_to_the_unseen_side() -> None:
    vertices, faces = placed_hand()
    albedo = np.tile([0.8, 0.55, 0.45], (len(vertices), 1))
    fuser = TextureFuser(faces, len(vertices))
    fuser.add(picture(vertices, faces, albedo), vertices, CAMERA, 1.0)
    assert 0.2 < fuser.seen.mean() < 0.6
    assert np.abs(fuser.colors - albedo).mean() < 0.02


def test_light_from_the_side_is_divided_out() -> None:
    vertices, faces = placed_hand()
    albedo = np.tile([0.6, 0.45, 0.35], (len(vertices), 1))
    shade = 0.7 + 0.5 * vertex_normals(vertices, faces) @ np.array([0.8, 0.0, -0.6])
    fuser = TextureFuser(faces, len(vertices))
    fuser.add(picture(vertices, faces, albedo * shade[:, None]), vertices, CAMERA, 1.0)
    spread_before = (albedo * shade[:, None])[fuser.seen].std(0).mean()
    assert fuser.colors[fuser.seen].std(0).mean() < 0.6 * spread_before


def test_a_second_frame_refines_the_first() -> None:
    vertices, faces = placed_hand()
    rng = np.random.default_rng(0)
    albedo = np.tile([0.7, 0.5, 0.4], (len(vertices), 1))
    clean = picture(vertices, faces, albedo).astype(int)
    fuser = TextureFuser(faces, len(vertices))
    errors: list[float] = []
    for _ in range(10):
        noisy = np.clip(clean + rng.normal(0, 15, clean.shape), 0, 255).astype(np.uint8)
        fuser.add(noisy, vertices, CAMERA, 1.0)
        errors.append(float(np.abs(fuser.colors[fuser.seen] - albedo[fuser.seen]).mean()))
    assert errors[-1] < 0.6 * errors[0]


def test_a_hand_outside_the_picture_changes_nothing() -> None:
    vertices, faces = placed_hand()
    fuser = TextureFuser(faces, len(vertices))
    before = fuser.colors.copy()
    fuser.add(np.zeros((360, 480, 3), np.uint8), vertices + np.float32([2, 0, 0]), CAMERA, 1.0)
    np.testing.assert_array_equal(fuser.colors, before)
    assert not fuser.seen.any()


def test_an_expected_texture_fills_what_was_not_seen_and_follows_what_was() -> None:
    vertices, faces = placed_hand()
    # What was expected is a darker hand, with a pattern of its own.
    pattern = np.where(np.arange(len(vertices)) % 7 == 0, 0.15, 0.0)[:, None]
    expected = np.clip(np.tile([0.5, 0.35, 0.3], (len(vertices), 1)) - pattern, 0, 1)
    shown = np.tile([0.8, 0.55, 0.45], (len(vertices), 1))
    fuser = TextureFuser(faces, len(vertices))
    fuser.expect(expected)
    np.testing.assert_allclose(fuser.colors, expected, atol=1e-6)
    fuser.add(picture(vertices, faces, shown), vertices, CAMERA, 1.0)
    unseen = ~fuser.seen
    # Lighter than expected all over, by as much as was seen, and the pattern stays.
    lifted = fuser.colors[unseen] - expected[unseen]
    np.testing.assert_allclose(lifted.mean(0), [0.3, 0.2, 0.15], atol=0.06)
    assert fuser.colors[unseen & (pattern[:, 0] > 0)].mean() < fuser.colors[unseen].mean() - 0.05
    # A new idea moves the unseen side along with it, not what was seen well.
    before = fuser.colors.copy()
    fuser.expect(expected - 0.05)
    np.testing.assert_allclose(before[unseen] - fuser.colors[unseen], 0.05, atol=1e-6)
    assert np.abs(before - fuser.colors).max(-1).min() < 0.01
