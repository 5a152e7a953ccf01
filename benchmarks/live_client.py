"""A client of the stream for benchmarks: takes every frame and does nothing with it.

python -m benchmarks.live_client URL
"""

import asyncio
import sys

from websockets.asyncio.client import connect


async def listen(url: str) -> None:
    """Read until the server closes."""
    async with connect(url) as socket:
        async for _ in socket:
            pass


if __name__ == "__main__":
    asyncio.run(listen(sys.argv[1]))
