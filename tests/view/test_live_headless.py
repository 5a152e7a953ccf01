"""Views that show nothing, and views that stop showing."""

import numpy as np
import pytest

from tracker.errors import RenderError
from tracker.geometry.camera import Camera
from tracker.view.live_headless import HeadlessView, LastingView
from tracker.view.live_view import Command, Hud, LivePicture
from tracker.vision.records import Frame

PICTURE = LivePicture(Frame(np.zeros((4, 6, 3), np.uint8)), Camera.from_fov((4, 6)), (), Hud())


class FailingView(HeadlessView):
    """Works for a while."""

    def __init__(self, pictures: int, *, closes: bool = True) -> None:
        self.left = pictures
        self.closed = 0
        self._closes = closes

    def _use(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise RenderError("the window was lost; use `--view none`")

    def show(self, picture: LivePicture) -> None:
        self._use()

    def commands(self) -> list[Command]:
        self._use()
        return [Command.RECORD]

    def close(self) -> None:
        self.closed += 1
        if not self._closes:
            raise RenderError("gone")


def test_no_view_asks_for_nothing():
    view = HeadlessView()
    view.show(PICTURE)
    assert view.commands() == []
    assert view.shown() is None
    view.close()
    view.close()


@pytest.mark.parametrize("works_for", [0, 1, 2, 3])
@pytest.mark.parametrize("closes", [True, False])
def test_a_lost_view_is_said_once_and_closed(works_for, closes):
    said: list[str] = []
    lost = FailingView(works_for, closes=closes)
    view = LastingView(lost, said.append)
    for _ in range(3):
        view.show(PICTURE)
        view.commands()
    assert lost.closed == 1
    assert isinstance(view.view, HeadlessView)
    assert "going on without a view: the window was lost" in said[0]
    assert len(said) == (1 if closes else 2)
    view.close()


def test_a_working_view_is_passed_on():
    view = LastingView(FailingView(9), lambda line: None)
    assert view.commands() == [Command.RECORD]
