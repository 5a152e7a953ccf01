"""The view of a machine without a screen: nothing is drawn, and the program is told why once."""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from tracker.errors import RenderError
from tracker.view.live_view import Command, LivePicture, LiveView


class HeadlessView:
    """Takes pictures and shows none."""

    def show(self, picture: LivePicture) -> None:
        """Do nothing."""

    def commands(self) -> list[Command]:
        """Return nothing: there are no keys."""
        return []

    def shown(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return None."""
        return None

    def close(self) -> None:
        """Do nothing."""


class LastingView:
    """Another view for as long as it works; when its display goes away, no view, and one message.

    Args:
        view: what shows the pictures.
        say: called with one line for the user when the view is lost.
    """

    def __init__(self, view: LiveView, say: Callable[[str], None]) -> None:
        self.view = view
        """What shows the pictures now."""
        self._say = say

    def show(self, picture: LivePicture) -> None:
        """Draw one picture, if there is still a view."""
        try:
            self.view.show(picture)
        except RenderError as error:
            self._go_on_without(error)

    def commands(self) -> list[Command]:
        """Return what was asked since the last call."""
        try:
            return self.view.commands()
        except RenderError as error:
            self._go_on_without(error)
            return []

    def shown(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return what is on the screen now."""
        return self.view.shown()

    def close(self) -> None:
        """Close the view; safe to call twice."""
        self.view.close()

    def _go_on_without(self, error: RenderError) -> None:
        lost, self.view = self.view, HeadlessView()
        self._say(f"going on without a view: {error}")
        try:
            lost.close()
        except RenderError as also:
            self._say(f"the lost view did not close well: {also}")
