"""What a live view shows, and the keys that change it: no window is needed to press them."""

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from tracker.view.live_stage import Orbit
from tracker.view.live_view import Command

Surface = Literal["mesh", "wireframe", "none"]


@dataclass(frozen=True)
class ViewState:
    """Everything about the picture that is the viewer's own choice."""

    surface: Surface = "mesh"
    """How the skin of the hands is drawn."""
    skeleton: bool = False
    texture: bool = True
    """The colours gathered from the camera; else one colour for each side."""
    mirror: bool = False
    """Show the picture as a mirror would; what is written stays readable."""
    stage: bool = False
    """The hands alone on a floor that can be walked around, instead of on the camera's picture."""
    help: bool = False
    hud: bool = True
    orbit: Orbit = field(default_factory=Orbit)
    """From where the stage is seen."""


@dataclass(frozen=True)
class Key:
    """One line of the help."""

    names: tuple[str, ...]
    """As pyglet spells them, without case; the first one is shown."""
    action: str
    """Name of what it does: a field of `ViewState`, a surface or a `Command`."""
    says: str


KEYS: Final = (
    Key(("m",), "mesh", "mesh on or off"),
    Key(("w",), "wireframe", "wireframe on or off"),
    Key(("b",), "skeleton", "bones (skeleton) on or off"),
    Key(("t",), "texture", "texture on or off"),
    Key(("v",), "mirror", "mirror view"),
    Key(("o", "tab"), "stage", "stage: drag to orbit, wheel to zoom"),
    Key(("home", "0"), "orbit", "look from the camera again"),
    Key(("space",), Command.PAUSE.value, "pause"),
    Key(("r",), Command.RECORD.value, "record"),
    Key(("s", "f12"), Command.SCREENSHOT.value, "screenshot"),
    Key(("c",), Command.CALIBRATE.value, "calibrate the hand"),
    Key(("i",), "hud", "numbers on or off"),
    Key(("h", "f1"), "help", "this help"),
    Key(("q", "escape"), Command.QUIT.value, "quit"),
)
"""All keys, in the order of the help."""

_ACTIONS: Final = {name: key.action for key in KEYS for name in key.names}
_COMMANDS: Final = {command.value: command for command in Command}
_SWITCHES: Final = ("skeleton", "texture", "mirror", "stage", "hud", "help")


def press(state: ViewState, name: str) -> tuple[ViewState, Command | None]:
    """Return what is shown after a key, and what is asked of the program; unknown keys do nothing.

    Args:
        state: what is shown now.
        name: of the key, as pyglet spells it, e.g. `w`, `SPACE` or `F1`.
    """
    action = _ACTIONS.get(name.lower().lstrip("_"), "")
    if action in _COMMANDS:
        return state, _COMMANDS[action]
    if action in ("mesh", "wireframe"):
        return replace(state, surface="none" if state.surface == action else action), None
    if action in _SWITCHES:
        return replace(state, **{action: not getattr(state, action)}), None
    if action == "orbit":
        return replace(state, orbit=Orbit()), None
    return state, None


def help_lines() -> tuple[tuple[str, str], ...]:
    """Return (key, meaning) for every key."""
    return tuple((" or ".join(name.upper() for name in key.names), key.says) for key in KEYS)
