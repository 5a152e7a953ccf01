"""The border between a live program and whatever shows it: a window, a browser, or nothing."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from tracker.geometry.camera import Camera
from tracker.vision.records import Frame, TrackedHand


class Command(Enum):
    """What a person at the keyboard (or a button of the browser view) asks of the program.

    What changes the picture alone (mesh, wireframe, skeleton, texture, mirror, stage, help) the
    view does itself and does not pass on.
    """

    PAUSE = "pause"
    RECORD = "record"
    SCREENSHOT = "screenshot"
    CALIBRATE = "calibrate"
    QUIT = "quit"


@dataclass(frozen=True)
class Hud:
    """The lines written over the picture: plain facts, already measured."""

    lines: tuple[str, ...] = ()
    """Such as `29.8 fps`, `capture to screen 31 / 42 ms`; one per row."""
    notice: str | None = None
    """Something to be read now, such as `camera: lost, trying again` or `recording`."""


@dataclass(frozen=True)
class LivePicture:
    """Everything a view needs for one picture."""

    frame: Frame
    camera: Camera
    hands: tuple[TrackedHand, ...]
    hud: Hud
    outlines: tuple[Float[np.ndarray, "_ 2"], ...] = ()
    """Closed lines to be drawn on the picture, frame pixels, such as around a card that was found."""


@runtime_checkable
class LiveView(Protocol):
    """Shows pictures; used from the main thread only."""

    def show(self, picture: LivePicture) -> None:
        """Draw one picture and put it on the screen."""
        ...

    def commands(self) -> list[Command]:
        """Handle waiting events; return what was asked since the last call."""
        ...

    def shown(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return what is on the screen now, for a screenshot; None when nothing is drawn."""
        ...

    def close(self) -> None:
        """Give the screen back; safe to call twice."""
        ...
