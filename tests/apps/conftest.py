"""A tiny clip with hands, and the program run inside the test process with its trackers shared."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import apps.video_to_mesh
from apps.clip_arguments import parse_arguments
from tracker.export.video import video_writer
from tracker.live.sources import open_source
from tracker.vision.hand_tracker import HandTracker

DEMO = Path(__file__).resolve().parents[2] / "apps" / "demo" / "demo.mp4"
SHOWN = range(100, 112)
"""Frames of the demo in which both hands are in sight."""
FPS = 30.0

shared_tracker = functools.lru_cache(4)(HandTracker)


@dataclass(frozen=True)
class Run:
    """What came of a run of the program."""

    code: int
    said: str
    """Standard error."""

    @property
    def lines(self) -> list[str]:
        return self.said.splitlines()


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """A dozen frames of two hands, 480 x 270."""
    frames = islice(open_source(DEMO), SHOWN.start, SHOWN.stop)
    return [np.ascontiguousarray(frame.rgb[::2, ::2]) for frame in frames]


@pytest.fixture(scope="session")
def write_clip() -> Callable[..., Path]:
    """Write pictures as a clip."""

    def write(path: Path, pictures: list[np.ndarray]) -> Path:
        with video_writer(path, FPS) as writer:
            for n, picture in enumerate(pictures):
                writer.add(picture, n / FPS)
        return path

    return write


@pytest.fixture(scope="session")
def clip(
    tmp_path_factory: pytest.TempPathFactory,
    pictures: list[np.ndarray],
    write_clip: Callable[..., Path],
) -> Path:
    """The pictures as a clip."""
    return write_clip(tmp_path_factory.mktemp("clips") / "hands.mp4", pictures)


@pytest.fixture(scope="session")
def dark_clip(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """Four frames of nothing."""
    black = [np.zeros((48, 64, 3), np.uint8)] * 4
    return write_clip(tmp_path_factory.mktemp("clips") / "dark.mp4", black)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Run the program with the given words as its command line."""
    monkeypatch.setattr(apps.video_to_mesh, "HandTracker", shared_tracker)

    def call(*words: object) -> Run:
        arguments = parse_arguments([str(word) for word in words])
        code = apps.video_to_mesh.video_to_mesh(arguments.clips, arguments.options)
        return Run(code, capsys.readouterr().err)

    return call
