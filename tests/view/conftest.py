"""The scene of the golden picture, tracked hands made from it, and OpenGL where there is some."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tracker.errors import RenderError
from tracker.geometry.hand_params import HandParams
from tracker.view.pyrender_renderer import PyrenderRenderer
from tracker.vision.records import TrackedHand

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="session")
def golden() -> SimpleNamespace:
    """Meshes and camera of tests/golden/two_hands.png, and how to pose more hands."""
    script = SimpleNamespace(**runpy.run_path(str(GOLDEN / "make_two_hands.py")))
    return SimpleNamespace(
        meshes=script.two_hands(),
        camera=script.CAMERA,
        picture=script.PICTURE,
        posed_hand=script.posed_hand,
    )


@pytest.fixture(scope="session")
def tracked_hands(golden: SimpleNamespace) -> list[TrackedHand]:
    """A tracked right and a predicted left hand side by side."""
    nothing = HandParams(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3), 1.0)
    hands = []
    for track_id, (side, state, x) in enumerate(
        (("right", "tracked", -0.07), ("left", "predicted", 0.07)), start=3
    ):
        vertices, faces, joints = golden.posed_hand(
            side, sample=1, orient=(1.57, 0.0, 0.0), at=(x, 0.0, 0.45)
        )
        uv = golden.camera.project(joints)
        colors = np.tile(np.float32([0.8, 0.5, 0.4]), (len(vertices), 1))
        hands.append(
            TrackedHand(track_id, side, state, 0.97, joints, uv, vertices, faces, colors, nothing)
        )
    return hands


@pytest.fixture(scope="session")
def pyrender() -> Iterator[PyrenderRenderer]:
    """A renderer that draws with OpenGL."""
    try:
        renderer = PyrenderRenderer()
    except RenderError as error:
        pytest.skip(f"needs OpenGL without a screen: {error}")
    yield renderer
    renderer.close()
