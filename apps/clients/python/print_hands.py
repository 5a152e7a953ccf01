"""Print where the index fingertips are and how far each hand pinches.

    python apps/clients/python/print_hands.py [URL] [--frame unity] [--token SECRET]

Ctrl-C stops. It needs Handloom installed, but neither a camera nor a model.
"""

import argparse
import contextlib
from typing import get_args

from tracker.stream import HandStreamClient, StreamFrame, Subscription
from tracker.stream.frames import Axes
from tracker.stream.protocol import DEFAULT_URL

INDEX_TIP = 10
"""In the order of OpenXR's 26 joints."""
LINES_PER_S = 10


def main(arguments: list[str] | None = None) -> None:
    """Follow a stream until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Print the hands of a stream.")
    parser.add_argument("url", nargs="?", default=DEFAULT_URL)
    parser.add_argument("--frame", choices=get_args(Axes), default="openxr")
    parser.add_argument("--token")
    chosen = parser.parse_args(arguments)
    wanted = Subscription(
        parts=("joints", "pinch"), frame=chosen.frame, flow="ack", max_hz=LINES_PER_S
    )
    with (
        contextlib.suppress(KeyboardInterrupt),
        HandStreamClient(chosen.url, token=chosen.token, subscription=wanted) as client,
    ):
        for frame in client:
            print(describe(frame), flush=True)


def describe(frame: StreamFrame) -> str:
    """Return a line about the hands in view."""
    words = [f"frame {frame.frame}"]
    for hand in (frame.left, frame.right):
        if hand is not None and hand.pinch is not None:
            x, y, z = hand.positions[INDEX_TIP]
            pinch = hand.pinch[0]
            words.append(f"{hand.side} index tip {x:+.3f} {y:+.3f} {z:+.3f} pinch {pinch:.2f}")
    return "  ".join(words) if len(words) > 1 else f"{words[0]}  no hands in view"


if __name__ == "__main__":
    main()
