"""Open the view of a live program: a window, a browser, or nothing, with a hint where it must be so."""

import os
import sys
from collections.abc import Callable
from typing import Final, Literal

from tracker.errors import RenderError
from tracker.view.live_headless import HeadlessView, LastingView
from tracker.view.live_keys import ViewState
from tracker.view.live_view import LiveView
from tracker.vision.smoothing import SmoothingConfig

ViewKind = Literal["auto", "window", "browser", "none"]
BROWSER_PORT: Final = 4264
"""One above the stream's, so that both run side by side."""
_NO_DISPLAY: Final = (
    "there is no display (DISPLAY is not set), so nothing is shown; use `--view browser` to look from a "
    "browser, or `ssh -X`, or `xvfb-run` where there is no screen at all"
)


def open_view(
    kind: ViewKind = "auto",
    hw: tuple[int, int] = (720, 1280),
    *,
    title: str = "Handloom",
    state: ViewState | None = None,
    smoothing: SmoothingConfig | None = None,
    on_smoothing: Callable[[SmoothingConfig], None] | None = None,
    port: int = BROWSER_PORT,
    say: Callable[[str], None] | None = None,
) -> LiveView:
    """Open a view on the main thread.

    A window that cannot be opened, or is lost later, becomes no view with a printed hint: hands are
    tracked, streamed and recorded without one.

    Args:
        kind: `auto` is a window where there is a display, else nothing.
        hw: size of the pictures that will come.
        title: of the window or the page.
        state: what is shown at first.
        smoothing: where the browser's sliders begin.
        on_smoothing: called from the browser view's thread with what the sliders ask for.
        port: of the browser view, on this machine only; 0 takes a free one.
        say: prints a line for the user; standard error if not given.

    Raises:
        RenderError: the browser view was asked for and viser is not installed, or its port is taken.
    """
    say = say or _to_stderr
    if kind == "none":
        return HeadlessView()
    if kind == "browser":
        # Imported here: viser is an extra, and takes a second.
        from tracker.view.browser_view import BrowserView

        view = BrowserView(
            title=title, port=port, state=state, smoothing=smoothing, on_smoothing=on_smoothing
        )
        say(f"look at {view.url} in a browser on this machine")
        return LastingView(view, say)
    return _open_window(hw, title, state, say)


def _open_window(
    hw: tuple[int, int], title: str, state: ViewState | None, say: Callable[[str], None]
) -> LiveView:
    if not _has_display():
        say(_NO_DISPLAY)
        return HeadlessView()
    from tracker.view.live_window import LiveWindow

    try:
        return LastingView(LiveWindow(hw, title=title, state=state), say)
    except RenderError as error:
        say(f"nothing is shown: {error}")
        return HeadlessView()


def _has_display() -> bool:
    """Tell whether a window can be hoped for; pyglet needs X11 (or XWayland) on Linux."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY"))


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
