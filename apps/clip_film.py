"""The pictures made of one clip: `overlay.mp4` and the contact sheet."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from apps.clip_options import PictureOptions
from apps.clip_sheet import ClipSheet
from apps.clip_thread import DrawingThread
from tracker.export.video import MAX_SIDE_PX, VideoWriter, video_writer
from tracker.geometry.camera import Camera
from tracker.view.overlay import draw_hands, second_view, side_by_side
from tracker.vision.records import Frame, TrackedHand


class ClipFilm:
    """Draws the hands on frame after frame, in the drawing thread; made by `open_film`."""

    def __init__(
        self, folder: Path, writer: VideoWriter, thread: DrawingThread, look: PictureOptions
    ) -> None:
        self._folder = folder
        self._writer = writer
        self._thread = thread
        self._look = look
        self._sheet = ClipSheet()
        self._drawn_hw: tuple[int, int] | None = None

    def add(self, frame: Frame, camera: Camera, hands: Sequence[TrackedHand]) -> None:
        """Have one frame drawn into the video and, when it is due, into the contact sheet.

        Raises:
            OutputError: the video cannot be written; it may be an earlier frame that tells.
        """
        self._thread.put(lambda: self._draw(frame, camera, hands))

    def _draw(self, frame: Frame, camera: Camera, hands: Sequence[TrackedHand]) -> None:
        look, renderer = self._look, self._thread.renderer
        drawn = draw_hands(
            frame.rgb, hands, camera, renderer, opacity=look.opacity, skeleton=look.skeleton
        )
        self._sheet.offer(frame, drawn, hands)
        if look.side_by_side:
            drawn = side_by_side(frame.rgb, drawn, second_view(hands, renderer, camera.hw))
        self._drawn_hw = self._drawn_hw or (drawn.shape[0], drawn.shape[1])
        self._writer.add(drawn, frame.timestamp_s)

    def write_sheet(self) -> list[Path]:
        """Write the contact sheet and return the files of all pictures.

        Raises:
            OutputError: it cannot be written.
        """
        sheet = self._sheet.write(self._folder / "contact_sheet.png")
        return [self._folder / "overlay.mp4", sheet]

    @property
    def warning(self) -> str | None:
        """What the video lacks, if anything; a sentence for the user."""
        hw, drawn = self._writer.hw, self._drawn_hw
        if hw is None or hw == drawn or drawn is None:
            return None
        return (
            f"overlay.mp4 is {hw[1]}x{hw[0]}, the frames drawn are {drawn[1]}x{drawn[0]}: "
            f"H.264 takes only even sides of at most {MAX_SIDE_PX} pixels"
        )


@contextmanager
def open_film(
    folder: Path,
    fps: float,
    thread: DrawingThread,
    look: PictureOptions,
    *,
    recoverable: bool = False,
) -> Generator[ClipFilm, None, None]:
    """Open the video in `folder`; it appears when the block ends well.

    A `recoverable` one is there from the start and can be played whatever happens.

    Raises:
        OutputError: the video cannot be written.
    """
    with video_writer(folder / "overlay.mp4", fps, recoverable=recoverable) as writer:
        try:
            yield ClipFilm(folder, writer, thread, look)
            thread.finish()
        finally:
            thread.drop()  # before the writer is closed under its hands
