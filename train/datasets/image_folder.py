"""A folder of the user's pictures with the labels that `python -m train labels` made for it."""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from tracker.geometry.camera import ASSUMED_FOV_DEG, Camera
from train.datasets.image_files import read_rgb
from train.datasets.keypoint_files import HandLabel, read_labels
from train.datasets.sample import (
    DatasetError,
    Sample,
    SampleError,
    Truth,
    check_keypoints,
    mirrored,
    without_unseen,
)

LABEL_NAMES: Final = ("labels.npz", "labels.json")
LEAST_CONFIDENCE: Final = 0.15
"""Hands whose joints are less sure on average teach more noise than shape."""


class ImageFolder:
    """Labelled hands in a folder of pictures, each hand a sample; left ones mirrored.

    Args:
        root: the folder.
        labels: label file; by default `labels.npz` or `labels.json` in the folder.
        camera: of all pictures, scaled to their sizes; None assumes a field of view. Labels that
            carry intrinsics, as those of packed crops do, keep them.
        fov_deg: the assumed field of view, across the longer side.
        min_confidence: least mean confidence of a hand.
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
        lifted: bool = False,
    ) -> None:
        self.name = f"images-{root.resolve().name}"
        self._root, self._camera, self._fov_deg = root, camera, fov_deg
        self._labels = labelled_hands(root, labels, min_confidence, lifted=lifted)
        self._lifted = lifted

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Sample:
        """Return one hand of one picture."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has samples 0 to {len(self) - 1}, asked for {index}")
        label = self._labels[index]
        path = self._root / label.name
        check_keypoints(label.uv, label.confidence, str(path))
        rgb = read_rgb(path)
        return as_right(
            Sample(
                rgb,
                label_K(
                    label, (rgb.shape[0], rgb.shape[1]), self._camera, self._fov_deg, str(path)
                ),
                without_unseen(label.uv, label.confidence),
                label.confidence,
                f"{self.name}:{label.name}",
                truth=Truth(xyz=label.xyz) if self._lifted else None,
            ),
            label,
        )


def label_K(
    label: HandLabel, hw: tuple[int, int], camera: Camera | None, fov_deg: float, source: str
) -> Float[np.ndarray, "3 3"]:
    """Return a picture's intrinsics: those of its label, or else of the camera for all.

    Raises:
        SampleError: no camera has such, or it takes pictures of another shape.
    """
    if label.K is None:
        return camera_for(hw, camera, fov_deg, source).K
    return _checked_K(label.K, hw, source)


def _checked_K(
    K: Float[np.ndarray, "3 3"], hw: tuple[int, int], source: str
) -> Float[np.ndarray, "3 3"]:
    try:
        camera = Camera(K, hw)
    except ValueError as problem:
        raise SampleError(f"{source}: {problem}; make the labels again") from problem
    if K[1, 0] or K[2].tolist() != [0, 0, 1]:
        raise SampleError(
            f"{source}: K must be upper triangular and end in 0, 0, 1, found {K.tolist()}; make the "
            "labels again"
        )
    return camera.K


def labelled_hands(
    root: Path, labels: Path | None, min_confidence: float, *, lifted: bool = False
) -> list[HandLabel]:
    """Return the labels of hands that are sure enough, with the broken ones.

    Raises:
        DatasetError: there are no labels, or none of them is of use, or lifted ones are asked for and
            none is.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; name the folder that holds the data")
    labels = labels or find_labels(root)
    hands = [label for label in read_labels(labels) if label.side != "none"]
    # Confidences that are NaN or all 0 are kept: their samples are then named as broken.
    kept = [label for label in hands if not 0 < label.confidence.mean() < min_confidence]
    if not kept:
        raise DatasetError(
            f"{labels} holds {len(hands)} hands, none with a mean confidence of {min_confidence}; "
            "label other pictures or ask for less"
        )
    if lifted and all(label.xyz is None for label in kept):
        raise DatasetError(
            f"{labels} has no joints in space; make them with `python -m train lift {root}`, or leave "
            "out lifted=yes"
        )
    return kept


def find_labels(root: Path) -> Path:
    """Return the label file of a folder.

    Raises:
        DatasetError: it has none.
    """
    found = next((root / n for n in LABEL_NAMES if (root / n).is_file()), None)
    if found is None:
        raise DatasetError(
            f"{root} has no {' or '.join(LABEL_NAMES)}; make them with `python -m train labels {root}`"
        )
    return found


def camera_for(hw: tuple[int, int], camera: Camera | None, fov_deg: float, source: str) -> Camera:
    """Return the camera of a picture.

    Raises:
        SampleError: the given camera takes pictures of another shape.
    """
    if camera is None:
        return Camera.from_fov(hw, fov_deg, assumed=True)
    if abs(camera.hw[1] * hw[0] / camera.hw[0] - hw[1]) > 1.5:
        raise SampleError(
            f"{source} has {hw[1]}x{hw[0]} pixels, but the intrinsics are for "
            f"{camera.hw[1]}x{camera.hw[0]}; give those of the same shape or none"
        )
    return camera if camera.hw == hw else camera.resized(hw)


def as_right(sample: Sample, label: HandLabel) -> Sample:
    """Return the sample with its hand as a right one."""
    return mirrored(sample) if label.side == "left" else sample
