"""The camera that pictures of a size were taken with, as far as the user told."""

from collections.abc import Callable

from apps.clip_options import CameraOptions
from tracker.geometry.camera import Camera
from tracker.geometry.camera_files import read_intrinsics


class CameraChoice:
    """Gives the camera for each picture size: known from a file, by its angle, or assumed.

    Args:
        known: what the user told; it goes first.
        saved: a camera from an earlier calibration, if there is one for pictures of a size.

    Raises:
        SourceError: when called, if the file with the intrinsics cannot be used.
    """

    def __init__(
        self,
        known: CameraOptions,
        saved: Callable[[tuple[int, int]], Camera | None] = lambda hw: None,
    ) -> None:
        self._known, self._saved = known, saved
        self._cameras: dict[tuple[int, int], Camera] = {}

    @property
    def sizes(self) -> int:
        """How many picture sizes there were so far."""
        return len(self._cameras)

    def __call__(self, hw: tuple[int, int]) -> Camera:
        """Return the camera of pictures of a height and width."""
        if hw not in self._cameras:
            self._cameras[hw] = self._made(hw)
        return self._cameras[hw]

    def _made(self, hw: tuple[int, int]) -> Camera:
        if self._known.intrinsics is not None:
            return read_intrinsics(self._known.intrinsics, hw)
        if self._known.fov is not None:
            return Camera.from_fov(hw, self._known.fov)
        return self._saved(hw) or Camera.from_fov(hw, assumed=True)
