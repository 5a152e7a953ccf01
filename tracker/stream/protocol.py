"""The words and limits of `handstream/1`, shared by server, client and codecs.

One WebSocket carries everything. Control messages are JSON text; frames are JSON text or binary,
as the subprotocol says (none offered: JSON). The server speaks first (`hello`), then sends frames
whether or not hands are in view. A client may send `subscribe`, `ack` and `time`, nothing else.

Path and subprotocol carry the major version. Within it, keys, section types and words may be
added, and receivers skip what they do not know.
"""

from dataclasses import dataclass
from typing import Final, Literal

from tracker.stream.frames import Axes

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 4263
"""Spells HAND on a telephone."""
STREAM_PATH: Final = "/v1/stream"
DEFAULT_URL: Final = f"ws://{DEFAULT_HOST}:{DEFAULT_PORT}{STREAM_PATH}"
VERSION: Final = (1, 0)

JSON: Final = "handstream.v1.json"
BINARY: Final = "handstream.v1.bin"

PARTS: Final = ("joints", "kp3d", "kp2d", "mano", "verts", "vel", "pinch")
SIDES: Final = ("left", "right")

MAX_MESSAGE: Final = 4096
"""Bytes of the longest message a server takes."""
MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
"""Of the longest message a client takes: above fifty hands with vertices as JSON."""
MAX_WINDOW: Final = 16
MAX_HZ: Final = 1000.0
MAX_BAD_MESSAGES: Final = 5

Flow = Literal["latest", "ack"]
Precision = Literal["f32", "q16"]


@dataclass(frozen=True)
class Subscription:
    """What one subscriber wants to see; hashable, so equal wishes share one encoding."""

    parts: tuple[str, ...] = ("joints",)
    """Of `PARTS`."""
    frame: Axes = "openxr"
    """Axes and unit of everything but `kp2d` and `mano`."""
    hands: tuple[str, ...] = SIDES
    max_hz: float = 0.0
    """Most frames a second; 0 for all."""
    flow: Flow = "latest"
    """`ack`: at most `window` frames are under way that were not acknowledged."""
    window: int = 2
    precision: Precision = "f32"
    """`q16` stores quaternions and radii of binary `joints` in 16 bits."""
