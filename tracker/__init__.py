"""Handloom: real-time 3D hand tracking.

    from tracker import Frame, HandTracker

    tracker = HandTracker()
    hands = tracker(Frame(rgb))           # rgb: uint8, height x width x 3
    print(hands[0].side, hands[0].joints) # "right", (21, 3) metres in the camera frame

The names below are loaded when they are first used, so `import tracker` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracker.geometry.camera import Camera as Camera
    from tracker.geometry.hand_model import HandModel as HandModel
    from tracker.vision.hand_tracker import HandTracker as HandTracker
    from tracker.vision.hand_tracker import HandTrackerConfig as HandTrackerConfig
    from tracker.vision.records import Frame as Frame
    from tracker.vision.records import TrackedHand as TrackedHand

_HOMES = {
    "Camera": "tracker.geometry.camera",
    "Frame": "tracker.vision.records",
    "HandModel": "tracker.geometry.hand_model",
    "HandTracker": "tracker.vision.hand_tracker",
    "HandTrackerConfig": "tracker.vision.hand_tracker",
    "TrackedHand": "tracker.vision.records",
}

__all__ = ["Camera", "Frame", "HandModel", "HandTracker", "HandTrackerConfig", "TrackedHand"]


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
