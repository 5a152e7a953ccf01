"""The stream of hands as programs open it."""

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console

from tracker.geometry.hand_model import HandModel
from tracker.stream.greeting import StreamFacts
from tracker.stream.hub import ServerConfig
from tracker.stream.server import StreamServer


@contextmanager
def serving(
    port: int | None, facts: StreamFacts, model: HandModel, console: Console
) -> Generator[StreamServer | None, None, None]:
    """Open the stream of hands, if a port is given, and say where it is.

    Raises:
        StreamError: the port is taken.
    """
    if port is None:
        yield None
        return
    with StreamServer(port=port, model=model, config=ServerConfig(facts=facts)) as server:
        console.print(f"hands at {server.url}, to look at: http://127.0.0.1:{server.port}")
        yield server
