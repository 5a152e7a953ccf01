"""The story of one frame, in types: Frame -> Detection -> Crop -> Landmarks -> Reconstruction -> TrackedHand.

All records are frozen and hold numpy arrays. Coordinates follow `tracker.geometry`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from tracker.geometry.camera import Camera
from tracker.geometry.hand_params import HandParams

Side = Literal["left", "right"]
TrackState = Literal["tracked", "predicted", "lost"]


@dataclass(frozen=True)
class Frame:
    """One picture and when it was taken."""

    rgb: UInt8[np.ndarray, "h w 3"]
    camera: Camera | None = None
    """None when nothing is known: the tracker then assumes `camera.ASSUMED_FOV_DEG`."""
    timestamp_s: float = 0.0
    """Seconds on the source's own clock; only differences matter."""
    index: int = 0


@dataclass(frozen=True)
class Detection:
    """A palm found in the whole frame."""

    box_xyxy: Float[np.ndarray, " 4"]
    keypoints_uv: Float[np.ndarray, "7 2"]
    """Wrist, MCPs of index, middle, ring, pinky, CMC and MCP of the thumb; frame pixels."""
    score: float


@dataclass(frozen=True)
class Roi:
    """A turned square in the frame that holds one hand, fingers towards its top side."""

    center_uv: Float[np.ndarray, " 2"]
    size_px: float
    angle_rad: float
    """Clockwise turn of the square in the image."""


@dataclass(frozen=True)
class Landmarks:
    """What the landmark model saw in one region, brought back to the frame."""

    uv: Float[np.ndarray, "21 2"]
    """Frame pixels."""
    xyz: Float[np.ndarray, "21 3"]
    """Metres in camera axes, relative to the centre of the hand; its own scale, no depth."""
    presence: float
    """Probability that the region holds a hand."""
    right: float
    """Probability that it is the person's right hand."""


@dataclass(frozen=True)
class Reconstruction:
    """One fitted hand in the camera frame."""

    params: HandParams
    vertices: Float[np.ndarray, "V 3"]
    joints: Float[np.ndarray, "21 3"]
    reprojection_px: float
    """Root mean square distance between projected joints and the evidence, pixels."""
    texture: Float[np.ndarray, "V 3"] | None = None
    """Per-vertex albedo in [0, 1], where a network gave one."""
    light: Float[np.ndarray, " 11"] | None = None
    """Ambient (3), directional (3) and direction (3) with two gains, where a network gave one."""


@dataclass(frozen=True)
class TrackedHand:
    """One hand of one frame as the tracker hands it out; metres, camera frame, frame pixels."""

    track_id: int
    """Stays with the hand from frame to frame; never reused."""
    side: Side
    """The person's own hand; fixed for the life of a track."""
    state: TrackState
    """`tracked`: seen in this frame; `predicted`: carried over a short gap; `lost`: given up now."""
    score: float
    """Confidence in [0, 1]: probability of a hand times how well the mesh explains the landmarks."""
    joints: Float[np.ndarray, "21 3"]
    uv: Float[np.ndarray, "21 2"]
    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    colors: Float[np.ndarray, "V 3"]
    """Per-vertex RGB in [0, 1], light divided out as far as possible."""
    params: HandParams
    timestamp_s: float = 0.0
