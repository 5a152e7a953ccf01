"""What `--source` means, and how it is opened (again)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.webcam_options import SourceOptions
from tracker.errors import SourceError
from tracker.live.camera_feed import CameraFeed, is_camera
from tracker.live.feeds import ClipFeed, Feed
from tracker.live.sources import open_source
from tracker.live.stream_feed import is_screen, is_stream, open_screen, open_stream

DEMO: Final = Path(__file__).resolve().parent / "demo" / "demo.mp4"


@dataclass(frozen=True)
class LiveSource:
    """An open feed and how to open it again."""

    feed: Feed
    reopen: Callable[[], Feed] | None
    """None for what ends for good."""

    def problems(self) -> list[str]:
        """Return what was missing of a file, once it has been played."""
        warning = self.feed.warning if isinstance(self.feed, ClipFeed) else None
        return [] if warning is None else [warning]


def open_live_source(options: SourceOptions, *, fps: float | None = None) -> LiveSource:
    """Open what `--source` names; `fps` is the rate of a folder of images.

    Raises:
        SourceError: it is not there, or gives no picture; says what to do.
    """
    text = options.source
    if is_camera(text):
        return _lasting(lambda: CameraFeed(text, options.wish))
    if is_stream(text):
        return _lasting(lambda: open_stream(text))
    if is_screen(text):
        return _lasting(lambda: open_screen(text, fps=options.rate))
    if text == "synthetic":
        # Imported here: it draws with parts of the demo that nothing else needs.
        from apps.webcam_synthetic import DrawnHands

        return LiveSource(ClipFeed(DrawnHands(fps=options.rate)), None)
    path = DEMO if text == "demo" and not Path(text).exists() else Path(text)
    if path == DEMO and not path.is_file():
        raise SourceError(
            "the demo clip is not part of this installation; take --source synthetic, or a file"
        )
    clip = ClipFeed(
        open_source(path, fps=fps),
        paced=not options.as_fast_as_possible,
        looped=options.loop or path == DEMO,
    )
    return LiveSource(clip, None)


def _lasting(opened: Callable[[], Feed]) -> LiveSource:
    return LiveSource(opened(), opened)
