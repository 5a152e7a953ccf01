"""MediaPipe Hands 0.10.14 (complexity 1), the system we measure ourselves against."""

import os
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from jaxtyping import Float, UInt8

os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

NAME = "MediaPipe Hands 0.10.14, complexity 1"


@dataclass(frozen=True)
class ReferenceHand:
    """One hand as MediaPipe reports it."""

    uv: Float[np.ndarray, "21 2"]
    """Frame pixels."""
    xyz: Float[np.ndarray, "21 3"]
    """World landmarks: metres, camera axes, hand-centred."""


class MediaPipeHands:
    """The stock graph, with `with` to close it."""

    def __init__(self, *, static: bool, max_hands: int = 2) -> None:
        import mediapipe

        self._graph = mediapipe.solutions.hands.Hands(  # pyright: ignore[reportAttributeAccessIssue]
            static_image_mode=static, max_num_hands=max_hands, model_complexity=1
        )

    def __enter__(self) -> "MediaPipeHands":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._graph.close()

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"]) -> list[ReferenceHand]:
        """Return the hands of one picture."""
        height, width = rgb.shape[:2]
        found = self._graph.process(rgb)
        if not found.multi_hand_landmarks:
            return []
        pairs = zip(found.multi_hand_landmarks, found.multi_hand_world_landmarks, strict=True)
        return [
            ReferenceHand(_points(screen)[:, :2] * [width, height], _points(world))
            for screen, world in pairs
        ]


def _points(landmarks: object) -> Float[np.ndarray, "21 3"]:
    return np.array([[p.x, p.y, p.z] for p in landmarks.landmark])  # pyright: ignore[reportAttributeAccessIssue]
