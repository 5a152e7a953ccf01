"""The demo clip is what its truth says, is drawn by its program, and the tracker finds its hands."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.demo.make_demo import MARGIN_PX, SHARE_IN_SIGHT, true_hands, write_truth
from apps.demo.scene import CAMERA, FPS, FRAME_COUNT, Scene
from apps.demo.surface import ArmSurface
from tracker.export.npz import HandsFile, read_npz
from tracker.export.recording import ClipInfo, Recording
from tracker.export.truth import score_against, truth_beside
from tracker.geometry.hand_model import HandMesh, HandModel
from tracker.geometry.joint_limits import joint_angles, joint_frames, joint_limits, limit_violation
from tracker.geometry.rotations import matrix_from_axis_angle
from tracker.geometry.topology import edge_faces
from tracker.live.sources import open_source
from tracker.vision.hand_tracker import HandTracker
from tracker.vision.records import Frame

CLIP = Path(__file__).resolve().parents[2] / "apps" / "demo" / "demo.mp4"
TRACKED_FRAMES = 120
"""Enough for the left hand to come in and for both to pinch and to make a fist."""


@pytest.fixture(scope="module")
def truth() -> HandsFile:
    path = truth_beside(CLIP)
    assert path is not None
    return read_npz(path)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def reskinned(truth: HandsFile, side: str) -> tuple[HandMesh, np.ndarray]:
    """Every seventh hand of a side, skinned again from its parameters, and which rows they are."""
    rows = np.flatnonzero(truth.side == side)[::7]
    model = HandModel.load() if side == "right" else HandModel.load().mirrored()
    shaped = model.with_shape(torch.from_numpy(truth.betas[rows]))
    pose = torch.from_numpy(truth.hand_pose[rows].reshape(-1, 15, 3))
    orient, transl, scale = (
        torch.from_numpy(array[rows]) for array in (truth.global_orient, truth.transl, truth.scale)
    )
    return shaped.with_pose(orient, pose, transl, scale).skin(), rows


def test_the_truth_is_of_the_clip_and_of_the_hand_that_ships(truth: HandsFile):
    info = open_source(CLIP).info
    assert (info.hw, info.fps, info.frame_count) == (CAMERA.hw, FPS, FRAME_COUNT)
    np.testing.assert_array_equal(truth.hw, CAMERA.hw)
    np.testing.assert_array_equal(truth.K, CAMERA.K)
    assert truth.frame.max() == FRAME_COUNT - 1
    np.testing.assert_allclose(truth.timestamp_s, truth.frame / FPS)
    assert str(truth.hand_model_sha256) == HandModel.load().sha256, "draw the demo anew"
    assert CLIP.stat().st_size < 1_500_000


@pytest.mark.parametrize("side", ["right", "left"])
def test_vertices_joints_and_pixels_follow_from_the_parameters(truth: HandsFile, side: str):
    mesh, rows = reskinned(truth, side)
    assert len(rows) > 20
    # Vertices are stored on a grid of 1/4096 m.
    np.testing.assert_allclose(truth.vertices[rows], mesh.vertices, rtol=0, atol=1.3e-4)
    np.testing.assert_allclose(truth.joints[rows], mesh.joints, rtol=0, atol=1e-6)
    np.testing.assert_allclose(truth.uv[rows], CAMERA.project(truth.joints[rows]), atol=2e-3)


def test_both_hands_come_and_go_and_belong_to_one_person(truth: HandsFile):
    inside = (truth.uv >= MARGIN_PX) & (truth.uv <= truth.hw[::-1] - MARGIN_PX)
    in_sight = inside.all(-1).mean(-1) >= SHARE_IN_SIGHT
    np.testing.assert_array_equal(truth.state == "tracked", in_sight)
    for side in ("right", "left"):
        frames = truth.frame[(truth.side == side) & in_sight]
        assert len(frames) > 0.6 * FRAME_COUNT
        assert (np.diff(frames) > 10).any(), f"the {side} hand never leaves"
    assert np.ptp(truth.betas, axis=0).max() == 0
    assert np.abs(truth.betas).min() > 0


def test_no_finger_bends_beyond_its_limits(truth: HandsFile):
    model = HandModel.load()
    for side, hand in (("right", model), ("left", model.mirrored())):
        pose = torch.from_numpy(truth.hand_pose[truth.side == side].reshape(-1, 15, 3))
        angles = joint_angles(matrix_from_axis_angle(pose), joint_frames(hand))
        beyond = limit_violation(angles, joint_limits(hand))
        assert float(torch.rad2deg(beyond).max()) < 1.5


def test_the_program_draws_what_the_clip_shows(scene: Scene):
    number = 95
    frames = list(islice(open_source(CLIP), number - 6, number + 1))
    drawn = scene.draw(number).astype(np.float64)
    psnr = [_psnr(drawn, frame.rgb) for frame in (frames[-1], frames[0])]
    assert psnr[0] > 35
    assert psnr[1] < 30, "another frame must not pass for this one"


def _psnr(drawn: np.ndarray, shown: np.ndarray) -> float:
    return float(20 * np.log10(255 / np.sqrt(((drawn - shown) ** 2).mean())))


def test_the_drawn_surface_keeps_the_hand_and_has_no_seam_at_the_wrist(scene: Scene):
    model = scene.models["right"]
    surface = ArmSurface(model.faces.numpy(), len(model.v_template))
    hand = scene.hand("right", 1.0)
    drawn = surface.refined(hand.vertices, np.eye(3), np.array([1.0, 0.2, 0.0]))
    np.testing.assert_array_equal(drawn[: len(hand.vertices)], hand.vertices)
    borders = edge_faces(surface.faces)[:, 3] < 0
    assert borders.sum() == 4 * 16  # the end of the forearm alone
    assert surface.faces.max() == len(drawn) - 1


def test_the_truth_is_written_anew_byte_for_byte(scene: Scene, truth: HandsFile, tmp_path: Path):
    frames = range(70, 80)
    for name in ("a.npz", "b.npz"):
        write_truth(true_hands(scene, frames), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again, rows = read_npz(tmp_path / "a.npz"), np.isin(truth.frame, frames)
    np.testing.assert_allclose(again.joints, truth.joints[rows], rtol=0, atol=1e-6)
    np.testing.assert_allclose(again.colors[0], truth.colors[0], rtol=0, atol=1e-3)


def test_the_tracker_finds_both_hands_on_their_right_sides(truth: HandsFile):
    tracker = HandTracker()
    recording = Recording(ClipInfo(str(CLIP), CAMERA, FPS), tracker.model)
    for frame in islice(open_source(CLIP), TRACKED_FRAMES):
        hands = tracker(Frame(frame.rgb, CAMERA, frame.timestamp_s, frame.index))
        recording.append(frame.index, frame.timestamp_s, hands)
    in_sight = (truth.state == "tracked") & (truth.frame < TRACKED_FRAMES)
    score = score_against(recording, CLIP.with_suffix(".truth.npz"))
    assert score.found >= 0.97 * in_sight.sum()
    assert score.pa_mpjpe_mm <= 8
    assert score.wrist_mm <= 60
    assert sorted(track.side for track in recording.tracks) == ["left", "right"]
