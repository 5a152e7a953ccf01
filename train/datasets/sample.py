"""What every data set yields: one picture of one right hand, where its joints are seen, and the truth.

Loaders mirror left hands, so that nothing behind this border has a side.
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tracker.errors import HandloomError


class DatasetError(HandloomError):
    """A data set as a whole cannot be used: a file is missing, or its files do not fit together."""


class SampleError(HandloomError):
    """One sample is broken; the message names its file."""


@dataclass(frozen=True)
class Truth:
    """What is known beyond the picture, for evaluation only; None where it is not."""

    xyz: Float[np.ndarray, "21 3"] | None = None
    """Joints in the camera frame, metres."""
    vertices: Float[np.ndarray, "V 3"] | None = None
    """Surface in the camera frame, metres."""
    mask: Bool[np.ndarray, "h w"] | None = None
    """Pixels that show the hand."""
    uv_true: Float[np.ndarray, "21 2"] | None = None
    """Exact pixels of the joints."""


@dataclass(frozen=True)
class Sample:
    """One picture of one right hand."""

    rgb: UInt8[np.ndarray, "h w 3"]
    K: Float[np.ndarray, "3 3"]
    """Intrinsics, upper triangular; (0, 0) is the corner of the picture."""
    uv: Float[np.ndarray, "21 2"]
    """Detected joints in pixels, in the order of `skeleton.JOINTS`."""
    confidence: Float[np.ndarray, " 21"]
    """How much each of them is worth, 0 to 1; 0 where nothing was detected."""
    source: str
    """Data set and name, for messages."""
    truth: Truth | None = None
    photometric_weight: float = 1.0
    """How much the picture's colours count; FreiHAND's composites count less than its originals."""
    clip: tuple[str, int] | None = None
    """Clip and number of the frame in it, for videos."""
    box_xyxy: Float[np.ndarray, " 4"] | None = None
    """Where the hand is, for pictures whose joints are not given (HO-3D's evaluation)."""
    framed: bool = False
    """The picture already is a region as the tracker cuts it, augmentation included."""


@runtime_checkable
class Dataset(Protocol):
    """Samples by index. The same index gives the same sample, in any thread."""

    name: str

    def __len__(self) -> int:
        """Return how many samples there are; endless data sets return `ENDLESS`."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """Return a sample.

        Raises:
            SampleError: it is broken; the message names the file.
        """
        ...


ENDLESS = 2**62
"""Length of a data set that makes its samples up."""


def check_keypoints(
    uv: Float[np.ndarray, "21 2"], confidence: Float[np.ndarray, " 21"], source: str
) -> None:
    """Refuse keypoints no loss can use: those that are not finite, or that nobody is sure of.

    Joints of confidence 0 may lie anywhere, NaN included: see `without_unseen`.

    Raises:
        SampleError: in one line.
    """
    if not np.isfinite(confidence).all() or confidence.min() < 0 or confidence.max() > 1:
        raise SampleError(f"{source}: confidences must lie between 0 and 1; label the image again")
    if not confidence.any():
        raise SampleError(f"{source}: every confidence is 0; leave the image out or label it again")
    if not np.isfinite(uv[confidence > 0]).all():
        raise SampleError(f"{source}: keypoints are not finite; label the image again")


def without_unseen(
    uv: Float[np.ndarray, "21 2"], confidence: Float[np.ndarray, " 21"]
) -> Float[np.ndarray, "21 2"]:
    """Return keypoints in which those of confidence 0 are finite, so that 0 * distance is 0."""
    seen = (confidence > 0) & np.isfinite(uv).all(1)
    place = uv[seen].mean(0) if seen.any() else np.zeros(2)
    return np.where(seen[:, None], uv, place)


def mirrored(sample: Sample) -> Sample:
    """Return the picture of the other hand: left becomes right."""
    width = sample.rgb.shape[1]
    flip = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]])
    box = sample.box_xyxy
    return replace(
        sample,
        rgb=np.ascontiguousarray(sample.rgb[:, ::-1]),
        K=flip @ sample.K @ np.diag([-1.0, 1, 1]),
        uv=_mirrored_uv(sample.uv, width),
        truth=None if sample.truth is None else _mirrored_truth(sample.truth, width),
        box_xyxy=None
        if box is None
        else np.array([width - box[2], box[1], width - box[0], box[3]]),
    )


def _mirrored_uv(uv: np.ndarray, width: int) -> np.ndarray:
    return uv * [-1.0, 1.0] + [float(width), 0.0]


def _mirrored_truth(truth: Truth, width: int) -> Truth:
    flip = np.array([-1.0, 1.0, 1.0])
    return Truth(
        xyz=None if truth.xyz is None else truth.xyz * flip,
        vertices=None if truth.vertices is None else truth.vertices * flip,
        mask=None if truth.mask is None else np.ascontiguousarray(truth.mask[:, ::-1]),
        uv_true=None if truth.uv_true is None else _mirrored_uv(truth.uv_true, width),
    )
