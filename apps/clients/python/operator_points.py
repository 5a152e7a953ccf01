"""Hand over the 21 joints as retargeting of robot hands wants them, one hand's at a time.

    python apps/clients/python/operator_points.py [URL] [--side left] [--token SECRET]

Each line is what `dex-retargeting` calls `joint_pos`: 21 points in metres, the wrist at the origin, in
the axes of the operator's wrist. Here their bounds are printed; give the array to your retargeting
instead. Ctrl-C stops.
"""

import argparse
import contextlib

from tracker.stream import HandStreamClient, Subscription
from tracker.stream.protocol import DEFAULT_URL, SIDES


def main(arguments: list[str] | None = None) -> None:
    """Follow a stream until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Points for the retargeting of robot hands.")
    parser.add_argument("url", nargs="?", default=DEFAULT_URL)
    parser.add_argument("--side", choices=SIDES, default="right")
    parser.add_argument("--token")
    chosen = parser.parse_args(arguments)
    wanted = Subscription(parts=("kp3d",), hands=(chosen.side,), flow="ack")
    with (
        contextlib.suppress(KeyboardInterrupt),
        HandStreamClient(chosen.url, token=chosen.token, subscription=wanted) as client,
    ):
        for frame in client:
            hand = frame.hand(chosen.side)
            if hand is not None:
                joint_pos = hand.operator_points()  # (21, 3)
                low, high = joint_pos.min(axis=0).round(3), joint_pos.max(axis=0).round(3)
                print(f"frame {frame.frame}  {hand.side}  from {low} to {high}", flush=True)


if __name__ == "__main__":
    main()
