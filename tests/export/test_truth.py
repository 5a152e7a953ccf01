"""The measured error of made-up tracks whose error is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker.errors import SourceError
from tracker.export.npz import export_npz
from tracker.export.recording import ClipInfo, Recording
from tracker.export.truth import score_against, truth_beside

FRAMES = range(10)


def record(studio, change=lambda hand, frame: hand, *, sides=("right", "left")) -> Recording:
    """Two steady hands over ten frames, the right one lost in two of them."""
    recording = Recording(
        ClipInfo("clip.mp4", studio.camera, 25.0), studio.record([], 1).models["right"]
    )
    for frame in FRAMES:
        actors = [
            studio.actor(0, "right", FRAMES, seed=1, lost_frames=[3, 4]),
            studio.actor(1, "left", FRAMES, seed=2),
        ]
        hands = [studio.hand(a, frame) for a in actors if a.side in sides]
        hands = [replace(h, state="tracked") if h.state == "predicted" else h for h in hands]
        kept = [change(hand, frame) for hand in hands]
        recording.append(frame, frame / 25, [hand for hand in kept if hand is not None])
    return recording


@pytest.fixture(scope="module")
def truth(studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = export_npz(record(studio), tmp_path_factory.mktemp("truth"))
    return path


def moved(offset: tuple[float, float, float]):
    def change(hand, frame):
        return replace(hand, joints=hand.joints + np.float32(offset))

    return change


def test_the_truth_itself_has_no_error(studio, truth: Path) -> None:
    score = score_against(record(studio), truth)
    assert (score.hands_in_sight, score.found) == (18, 18)
    assert score.pa_mpjpe_mm == pytest.approx(0, abs=1e-3)
    assert (score.wrist_mm, score.wrist_depth_mm, score.uv_px) == (0, 0, 0)


def test_a_shift_is_an_error_of_the_wrist_but_not_of_the_shape(studio, truth: Path) -> None:
    score = score_against(record(studio, moved((0, 0, 0.02))), truth)
    assert score.pa_mpjpe_mm == pytest.approx(0, abs=1e-3)
    assert score.wrist_mm == pytest.approx(20, abs=1e-3)
    assert 18 < score.wrist_depth_mm < 20


def test_a_shift_along_the_line_of_sight_is_all_depth(studio, truth: Path) -> None:
    def farther(hand, frame):
        sight = hand.joints[0] / np.linalg.norm(hand.joints[0])
        return replace(hand, joints=hand.joints + 0.05 * sight)

    score = score_against(record(studio, farther), truth)
    assert score.wrist_mm == pytest.approx(50, abs=1e-3)
    assert score.wrist_depth_mm == pytest.approx(50, abs=1e-3)


def test_one_joint_off_is_an_error_of_the_shape(studio, truth: Path) -> None:
    def bent(hand, frame):
        joints, uv = hand.joints.copy(), hand.uv.copy()
        joints[8, 0] += 0.021
        uv[8] += (3, 4)
        return replace(hand, joints=joints, uv=uv)

    score = score_against(record(studio, bent), truth)
    # The alignment has the least sum of squares, which one joint off by 21 mm bounds.
    assert 0.5 < score.pa_mpjpe_mm < 21 / np.sqrt(21)
    assert score.wrist_mm == pytest.approx(0, abs=1e-3)
    assert score.uv_px == pytest.approx(5 / 21, rel=1e-3)


def test_hands_that_are_missed_predicted_or_on_the_wrong_side_are_not_found(
    studio, truth: Path
) -> None:
    def late(hand, frame):
        if frame < 2:
            return None
        return replace(hand, state="predicted") if frame == 2 else hand

    score = score_against(record(studio, late, sides=("left",)), truth)
    assert (score.hands_in_sight, score.found) == (18, 7)
    assert "38.9 % of 18 hands" in str(score)


def test_finding_nothing_is_said_and_is_no_number(studio, truth: Path) -> None:
    score = score_against(record(studio, sides=()), truth)
    assert score.found == 0
    assert np.isnan(score.pa_mpjpe_mm)
    assert str(score) == "none of the 18 hands in sight was found"


def test_the_truth_lies_beside_the_clip_under_its_name(truth: Path, tmp_path: Path) -> None:
    clip = tmp_path / "a.b.mp4"
    assert truth_beside(clip) is None
    (tmp_path / "a.b.truth.npz").write_bytes(truth.read_bytes())
    assert truth_beside(clip) == tmp_path / "a.b.truth.npz"


def test_a_truth_that_cannot_be_read_is_a_source_error(studio, tmp_path: Path) -> None:
    (tmp_path / "a.truth.npz").write_bytes(b"PK noise")
    with pytest.raises(SourceError, match=r"a\.truth\.npz"):
        score_against(record(studio), tmp_path / "a.truth.npz")
