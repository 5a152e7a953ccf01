"""Clips to export: hands that move through the model's own pose samples, as the tracker would hand them out."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from tracker.export.recording import ClipInfo, Recording
from tracker.geometry.camera import Camera
from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.vision.records import TrackedHand

FPS = 25.0
CAMERA = Camera.from_fov((480, 640), 70.0)


@dataclass(frozen=True)
class Actor:
    """One hand of a made-up clip."""

    track_id: int
    side: str
    frames: Sequence[int]
    seed: int = 0
    settle_frames: int = 0
    """For so many frames its shape and size are still being found."""
    lost_frames: Sequence[int] = field(default=())


@functools.cache
def load_model(side: str) -> HandModel:
    return HandModel.load(side=side)


@functools.cache
def pose_samples() -> np.ndarray:
    return read_hand_file().hands_coeffs


def moving_params(actor: Actor, frame: int) -> HandParams:
    """A pose sample every 12 frames, smooth in between; the hand turns and drifts as it goes."""
    model, coeffs = load_model(actor.side), pose_samples()
    stops = np.random.default_rng(actor.seed).permutation(len(coeffs))
    stop, t = divmod(frame, 12)
    t = (1 - np.cos(np.pi * t / 12)) / 2
    blend = (1 - t) * coeffs[stops[stop]] + t * coeffs[stops[stop + 1]]
    pose = model.pose_from_pca(torch.tensor(blend[None], dtype=torch.float32))[0].numpy()
    unsettled = max(0.0, 1 - frame / actor.settle_frames) if actor.settle_frames else 0.0
    betas = np.linspace(-1.2, 1.5, 10) + unsettled * np.sin(np.arange(10) + frame)
    sign = 1 if actor.side == "right" else -1
    return HandParams(
        global_orient=np.array([0.3 + 0.05 * frame, 2.8, 0.2 * np.sin(frame / 9)]),
        hand_pose=pose.astype(np.float64),
        betas=betas,
        transl=np.array([sign * 0.1, 0.02 * np.sin(frame / 5), 0.5 + 0.003 * frame]),
        scale=1.07 * (1 + 0.05 * unsettled * np.cos(frame)),
    )


def tracked_hand(actor: Actor, frame: int) -> TrackedHand:
    params = moving_params(actor, frame)
    model = load_model(actor.side)
    as_batch = lambda x: torch.tensor(np.asarray(x)[None], dtype=torch.float32)  # noqa: E731
    mesh = (
        model.with_shape(as_batch(params.betas))
        .with_pose(
            as_batch(params.global_orient),
            as_batch(params.hand_pose),
            as_batch(params.transl),
            as_batch(params.scale),
        )
        .skin()
    )
    vertices = mesh.vertices[0].numpy()
    joints = mesh.joints[0].numpy()
    shade = np.random.default_rng(actor.track_id).uniform(size=vertices.shape)
    state = "tracked" if frame % 7 else "predicted"
    return TrackedHand(
        track_id=actor.track_id,
        side=actor.side,
        state="lost" if frame in actor.lost_frames else state,
        score=0.5 + 0.4 * np.sin(frame) ** 2,
        joints=joints,
        uv=CAMERA.project(joints),
        vertices=vertices,
        faces=mesh.faces.numpy(),
        colors=shade,
        params=params,
    )


def record(actors: Sequence[Actor], frame_count: int) -> Recording:
    recording = Recording(ClipInfo("clip.mp4", CAMERA, FPS), load_model("right"))
    for frame in range(frame_count):
        hands = [tracked_hand(actor, frame) for actor in actors if frame in actor.frames]
        recording.append(frame, 3.0 + frame / FPS, hands)
    return recording


class Studio:
    """What the tests make their own clips with."""

    actor = Actor
    camera = CAMERA
    hand = staticmethod(tracked_hand)
    record = staticmethod(record)


@pytest.fixture(scope="session")
def studio() -> Studio:
    return Studio()


@pytest.fixture(scope="session")
def two_hands() -> Recording:
    """Right and left hand over 60 frames: both come late, both are gone in between, one is given up."""
    right = Actor(1, "right", [*range(2, 25), *range(31, 60)], settle_frames=15)
    left = Actor(2, "left", [*range(5, 40), *range(42, 51)], seed=1, lost_frames=[50])
    return record([right, left], 60)


@pytest.fixture(scope="session")
def steady_hand() -> Recording:
    """A left hand whose shape and size are fixed, over 40 frames."""
    return record([Actor(7, "left", range(40), seed=3)], 40)


@pytest.fixture(scope="session")
def no_hands() -> Recording:
    return record([], 5)
