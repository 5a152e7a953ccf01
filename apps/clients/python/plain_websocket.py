"""The same without Handloom: nothing but `pip install websockets` and JSON, to copy from.

    python plain_websocket.py [URL]

Where the stream has a token, the address ends in `?token=SECRET`. Ctrl-C stops.
"""

import contextlib
import json
import sys

from websockets.sync.client import connect

URL = "ws://127.0.0.1:4263/v1/stream"
WANTED = {"type": "subscribe", "parts": ["joints"], "frame": "openxr", "flow": "ack", "window": 1}
INDEX_TIP = 10


def main(url: str = URL) -> None:
    """Print the index fingertips until Ctrl-C."""
    with connect(url, compression=None) as line:  # no subprotocol asked for: frames come as JSON
        line.send(json.dumps(WANTED))
        subscribed = False
        for text in line:
            message = json.loads(text)
            subscribed = subscribed or message["type"] == "subscribed"
            if message["type"] == "frame" and subscribed:
                for hand in message["hands"]:
                    x, y, z, *_ = hand["joints"][INDEX_TIP]
                    print(message["seq"], hand["side"], x, y, z, flush=True)
                line.send('{"type":"ack"}')  # done with this one: the next to come is the newest


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
