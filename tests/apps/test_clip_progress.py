"""The progress bar is for people: a terminal gets it, a log file gets plain lines."""

import io

import pytest
from rich.console import Console

from apps.clip_progress import ClipProgress


def show(console: Console, frames: int | None) -> None:
    with ClipProgress(console, "[red]clip.mp4", frames) as progress:
        for _ in range(3):
            progress.frame_done()
        progress.stopping()
        progress.writing("npz", 0, 2)
        progress.writing("glb", 1, 2)


def test_a_log_file_gets_only_what_matters() -> None:
    log = io.StringIO()
    show(Console(file=log), 3)
    assert log.getvalue() == "  stopping: writing what was tracked; Ctrl-C again stops at once\n"


@pytest.mark.parametrize("frames", [3, None])
def test_a_terminal_sees_frames_and_files(frames: int | None) -> None:
    screen = io.StringIO()
    show(Console(file=screen, force_terminal=True, width=100), frames)
    text = screen.getvalue()
    assert ("3/3 frames" if frames else "3 frames") in text
    assert "writing glb" in text
    # A name is a name, even if it looks like markup.
    assert "[red]clip.mp4" in text
