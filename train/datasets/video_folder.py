"""The user's own clips with the labels that `python -m train labels` made for them.

Random frames of a compressed video are slow to reach, so the part of each labelled frame that shows
the hand is kept as a picture, once, in a folder of its own. Samples are ordered so that neighbours
are frames of one hand: that is what temporal losses ask for.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tracker.geometry.camera import ASSUMED_FOV_DEG, Camera
from tracker.vision.crops import roi_from_landmarks
from train.crop_view import roi_from_seen
from train.datasets.image_files import read_rgb
from train.datasets.image_folder import LEAST_CONFIDENCE, as_right, label_K, labelled_hands
from train.datasets.keypoint_files import HandLabel
from train.datasets.sample import DatasetError, Sample, Truth, check_keypoints, without_unseen
from train.datasets.video_frames import video_frames

CACHE_NAME: Final = ".handloom-frames"
_WINDOW: Final = 1.85  # of the region: enough for every turn and the largest jitter
_QUALITY: Final = 95
_log = logging.getLogger(__name__)


class VideoFolder:
    """Labelled hands in the clips of a folder, each hand of each frame a sample.

    Args:
        root: the folder.
        labels: label file; by default `labels.npz` or `labels.json` in the folder.
        camera: of all clips, scaled to their sizes; None assumes a field of view.
        fov_deg: the assumed field of view, across the longer side.
        min_confidence: least mean confidence of a hand.
        cache: where frames are kept; by default a hidden folder beside the clips.
        lifted: take the joints that `python -m train lift` fitted for the truth, for
            `weights.truth`; not for measuring.

    Raises:
        DatasetError: there are no labels, or none of them is of use.
    """

    def __init__(
        self,
        root: Path,
        labels: Path | None = None,
        *,
        camera: Camera | None = None,
        fov_deg: float = ASSUMED_FOV_DEG,
        min_confidence: float = LEAST_CONFIDENCE,
        cache: Path | None = None,
        lifted: bool = False,
    ) -> None:
        self.name = f"videos-{root.resolve().name}"
        self._camera, self._fov_deg = camera, fov_deg
        clips: dict[str, list[HandLabel]] = {}
        self._lifted = lifted
        for label in labelled_hands(root, labels, min_confidence, lifted=lifted):
            clips.setdefault(clip_and_frame(label.name)[0], []).append(label)
        cache = cache or root / CACHE_NAME
        self._clips = {name: _Clip(root / name, hands, cache) for name, hands in clips.items()}
        self._samples = [(n, h) for n in sorted(clips) for h in sorted(clips[n], key=_by_hand)]

    def __len__(self) -> int:
        return len(self._samples)

    def moments(self) -> list[tuple[str, int]]:
        """Return clip (with the hand in it) and frame of each sample, without its picture."""
        return [_moment(name, label) for name, label in self._samples]

    def __getitem__(self, index: int) -> Sample:
        """Return one hand of one frame."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has samples 0 to {len(self) - 1}, asked for {index}")
        name, label = self._samples[index]
        check_keypoints(label.uv, label.confidence, label.name)
        clip = self._clips[name]
        rgb, corner = clip.picture(label)
        K = label_K(label, clip.hw, self._camera, self._fov_deg, label.name).copy()
        K[:2, 2] -= corner
        uv = without_unseen(label.uv, label.confidence) - corner
        moment = _moment(name, label)
        return as_right(
            Sample(
                *(rgb, K, uv, label.confidence, f"{self.name}:{label.name}"),
                truth=Truth(xyz=label.xyz) if self._lifted else None,
                clip=moment,
            ),
            label,
        )


def clip_and_frame(name: str) -> tuple[str, int]:
    """Split `clip.mp4#12` into file and frame.

    Raises:
        DatasetError: the name has no frame.
    """
    clip, mark, frame = name.rpartition("#")
    if not mark or not frame.isdigit():
        raise DatasetError(
            f"label {name!r} names no frame of a video, such as clip.mp4#12; label the videos again"
        )
    return clip, int(frame)


def _moment(clip: str, label: HandLabel) -> tuple[str, int]:
    """Return the hand within its clip, and the frame."""
    return f"{clip}:{label.side}", clip_and_frame(label.name)[1]


def _by_hand(label: HandLabel) -> tuple[str, int]:
    return label.side, clip_and_frame(label.name)[1]


class _Clip:
    """The pictures kept of one video."""

    def __init__(self, path: Path, hands: Sequence[HandLabel], cache: Path) -> None:
        self._path, self._hands = path, hands
        digest = hashlib.sha256()
        for hand in hands:
            digest.update(hand.name.encode() + hand.uv.tobytes())
        self._folder = cache / f"{path.stem}-{digest.hexdigest()[:12]}"
        self.hw = self._kept()

    def picture(
        self, label: HandLabel
    ) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, " 2"]]:
        """Return the part of a frame around its hand, and where in the frame its corner is."""
        x0, y0, _, _ = _window(label, self.hw)
        return read_rgb(self._file(label)), np.array([x0, y0], np.float64)

    def _file(self, label: HandLabel) -> Path:
        return self._folder / f"{clip_and_frame(label.name)[1]:06d}-{label.side}.jpg"

    def _kept(self) -> tuple[int, int]:
        """Keep what is not kept yet; return height and width of the video."""
        done = self._folder / "video.json"
        if done.is_file():
            height, width = json.loads(done.read_text())["hw"]
            return int(height), int(width)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            hw = self._extract()
            done.write_text(json.dumps({"hw": hw}))
        except OSError as problem:
            raise DatasetError(
                f"frames of {self._path} cannot be kept in {self._folder} ({problem.strerror}); "
                "name another cache folder"
            ) from problem
        return hw

    def _extract(self) -> tuple[int, int]:
        wanted: dict[int, list[HandLabel]] = {}
        for hand in self._hands:
            wanted.setdefault(clip_and_frame(hand.name)[1], []).append(hand)
        hw, last = (0, 0), max(wanted)
        for index, rgb in video_frames(self._path):
            hw = (rgb.shape[0], rgb.shape[1])
            for hand in wanted.get(index, ()):
                x0, y0, x1, y1 = _window(hand, hw)
                bgr = cv2.cvtColor(rgb[y0:y1, x0:x1], cv2.COLOR_RGB2BGR)
                cv2.imwrite(str(self._file(hand)), bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            if index >= last:
                break
        _log.info("kept %d hands of %s in %s", len(self._hands), self._path, self._folder)
        return hw


def _window(label: HandLabel, hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the whole pixels around the hand as x0, y0, x1, y1."""
    seen = (label.confidence > 0) & np.isfinite(label.uv).all(1)
    roi = roi_from_seen(label.uv, seen) or roi_from_landmarks(np.zeros((21, 2)))
    half = roi.size_px * _WINDOW / 2
    low = np.floor(roi.center_uv - half).clip(0, [hw[1] - 1, hw[0] - 1]).astype(int)
    high = np.ceil(roi.center_uv + half).clip(low + 1, [hw[1], hw[0]]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
