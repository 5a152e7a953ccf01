"""The rig: corrective shapes are few, bounded, and take up what plain skinning cannot carry."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tracker.export import recording as recording_module
from tracker.export.recording import Recording, Track, posed
from tracker.export.rig import TOLERANCE_M, rig_track


def rest_offsets(track: Track) -> np.ndarray:
    """Pose correctives at the median size, straight from the model: (N, V, 3)."""
    pose = posed(track.model, track.rows)
    feature = (pose.rotations[:, 1:].numpy() - np.eye(3)).reshape(len(track.rows), 135)
    return np.einsum("vck,nk->nvc", track.model.posedirs.numpy(), feature) * track.median_scale


def with_four_influences(track: Track) -> Track:
    weights = track.model.lbs_weights.clone()
    weights[weights < weights.topk(4, dim=1).values[:, -1:]] = 0
    weights /= weights.sum(1, keepdim=True)
    return replace(track, model=replace(track.model, lbs_weights=weights))


def test_correctives_of_a_settled_hand_are_the_models_own(steady_hand: Recording) -> None:
    """With a fixed shape and four influences, what is missing is exactly the pose correctives."""
    track = with_four_influences(steady_hand.tracks[0])
    _, motion = rig_track(track)
    found = np.einsum("nc,cva->nva", motion.corrective_weights, motion.correctives)
    assert np.linalg.norm(found - rest_offsets(track), axis=-1).max() < TOLERANCE_M + 1e-6
    assert not motion.bones_change
    assert motion.corrective_weights.min() == 0
    assert (motion.corrective_weights.max(0) == 1).all()


def test_growing_in_blocks_covers_all_frames(
    two_hands: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later blocks add shapes without spoiling earlier frames."""
    track = with_four_influences(two_hands.tracks[1])
    _, whole = rig_track(track)
    monkeypatch.setattr(recording_module, "_BLOCK", 8)
    _, pieces = rig_track(track)
    for motion in (whole, pieces):
        found = np.einsum("nc,cva->nva", motion.corrective_weights, motion.correctives)
        assert np.linalg.norm(found - rest_offsets(track), axis=-1).max() < TOLERANCE_M + 1e-6
    assert len(pieces.correctives) <= 2 * len(whole.correctives)


def test_a_flat_hand_needs_no_correctives(studio: Any) -> None:
    hand = studio.hand(studio.actor(1, "right", ()), 0)
    recording = studio.record([], 0)
    flat = replace(hand.params, hand_pose=np.zeros((15, 3)))
    recording.append(0, 0.0, [replace(hand, params=flat)])
    track = with_four_influences(recording.tracks[0])
    _, motion = rig_track(track)
    assert len(motion.correctives) == 0


def test_a_joint_folded_by_half_a_turn_stays_finite(studio: Any) -> None:
    hand = studio.hand(studio.actor(1, "right", ()), 0)
    recording = studio.record([], 0)
    folded = np.zeros((15, 3))
    folded[:, 2] = np.pi
    recording.append(0, 0.0, [replace(hand, params=replace(hand.params, hand_pose=folded))])
    _, motion = rig_track(recording.tracks[0])
    assert np.isfinite(motion.correctives).all()
    assert np.abs(motion.correctives).max() < 0.2
