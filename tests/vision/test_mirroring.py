"""A left hand is a right hand in a mirror, exactly."""

import numpy as np
import torch

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.vision.mirroring import canonical_landmarks, restore_params, restore_points
from tracker.vision.records import Landmarks


def skin(model: HandModel, params: HandParams) -> np.ndarray:
    as_tensor = lambda a: torch.as_tensor(np.asarray(a))[None].float()  # noqa: E731
    posed = model.with_shape(as_tensor(params.betas)).with_pose(
        as_tensor(params.global_orient),
        as_tensor(params.hand_pose),
        as_tensor(params.transl),
        as_tensor(params.scale),
    )
    return posed.skin().vertices[0].numpy()


def random_hand(rng: np.random.Generator) -> HandParams:
    return HandParams(
        rng.normal(size=3),
        rng.normal(size=(15, 3)) * 0.3,
        rng.normal(size=10),
        np.array([0.1, -0.05, 0.6]),
        1.1,
    )


def test_restored_params_on_the_left_model_give_the_restored_points(
    rng: np.random.Generator,
) -> None:
    params = random_hand(rng)
    right = skin(HandModel.load(), params)
    left = skin(HandModel.load(side="left"), restore_params(params, "left"))
    np.testing.assert_allclose(left, restore_points(right, "left"), atol=1e-6)


def test_a_left_hand_seen_through_the_mirror_projects_onto_itself(rng: np.random.Generator) -> None:
    camera = Camera(np.array([[900.0, 0, 300], [0, 880, 250], [0, 0, 1]]), (480, 640))
    xyz = rng.normal(size=(21, 3)) * 0.05 + np.array([0.1, 0, 0.6])
    seen = Landmarks(camera.project(xyz), xyz, 1.0, 0.1)
    mirrored, view = canonical_landmarks(seen, camera, "left")
    np.testing.assert_allclose(view.project(restore_points(xyz, "left")), mirrored.uv, atol=1e-9)
    np.testing.assert_allclose(mirrored.xyz, restore_points(xyz, "left"))
    assert mirrored.right == 0.9


def test_mirroring_twice_changes_nothing(rng: np.random.Generator) -> None:
    params = random_hand(rng)
    again = restore_params(restore_params(params, "left"), "left")
    np.testing.assert_array_equal(again.global_orient, params.global_orient)
    np.testing.assert_array_equal(again.hand_pose, params.hand_pose)
    np.testing.assert_array_equal(again.transl, params.transl)


def test_right_hands_are_left_alone(rng: np.random.Generator) -> None:
    params = random_hand(rng)
    assert restore_params(params, "right") is params
