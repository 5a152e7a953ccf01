"""Posed hands of the open hand model, as the tracker would hand them out."""

import logging
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import settings

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skinning import RuntimeHand
from tracker.stream import StreamServer
from tracker.vision.records import Side, TrackedHand

settings.register_profile("stream", deadline=None, max_examples=40)
settings.load_profile("stream")

HandMaker = Callable[..., TrackedHand]


@pytest.fixture(scope="session")
def models() -> dict[Side, HandModel]:
    right = HandModel.load()
    return {"right": right, "left": right.mirrored()}


@pytest.fixture(scope="session")
def camera() -> Camera:
    return Camera.from_fov((720, 1280), 60.0)


@pytest.fixture(scope="session")
def make_hand_in_view(models: dict[Side, HandModel], camera: Camera) -> HandMaker:
    """Return a maker of tracked hands; the left one of a seed is the mirror of the right one."""
    skins = {side: RuntimeHand(model) for side, model in models.items()}

    def make(seed: int = 0, side: Side = "right", track_id: int = 1, **fields) -> TrackedHand:
        rng = np.random.default_rng(seed)
        params = HandParams(
            global_orient=rng.normal(size=3),
            hand_pose=rng.normal(size=(15, 3)) * 0.3,
            betas=rng.normal(size=10),
            transl=rng.normal(size=3) * 0.05 + [0.0, 0.0, 0.5],
            scale=float(rng.uniform(0.9, 1.2)),
        )
        params = params if side == "right" else params.mirrored()
        vertices, joints = skins[side].skin(params)
        hand = TrackedHand(
            track_id=track_id,
            side=side,
            state="tracked",
            score=0.9,
            joints=joints,
            uv=camera.project(joints),
            vertices=vertices,
            faces=models[side].faces.numpy(),
            colors=np.full((len(vertices), 3), 0.5),
            params=params,
        )
        return hand if not fields else TrackedHand(**{**vars(hand), **fields})

    return make


@pytest.fixture
def server(
    models: dict[Side, HandModel], caplog: pytest.LogCaptureFixture
) -> Iterator[StreamServer]:
    """A running server on a free port; whatever clients do, it logs no fault of its own."""
    with (
        caplog.at_level(logging.WARNING),
        StreamServer(port=0, model=models["right"]) as server,
    ):
        yield server
    records = [*caplog.get_records("call"), *caplog.records]
    assert not [r.getMessage() for r in records if r.name.startswith(("tracker", "asyncio"))]
