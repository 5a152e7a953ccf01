"""`python -m tracker.stream replay FILE`: a session file into a live stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tracker.stop_request import StopRequest
from tracker.stream.command_line import NO_HINT, OK, run_command, say
from tracker.stream.hub import ServerConfig
from tracker.stream.protocol import DEFAULT_HOST, DEFAULT_PORT
from tracker.stream.replay import ReplayClock, open_session, replay_to
from tracker.stream.server import StreamServer


@dataclass(frozen=True)
class ReplayOptions:
    """Serve a session file as a live stream, to any client and to the page in a browser.

    It begins when the first client has subscribed, and ends, with `bye`, after the last frame. A
    client that subscribes as the recorder did gets the recorded bytes; others get the same frames in
    their own encoding, axes and parts, as far as they were recorded.

    Type, for example:
      python -m tracker.stream replay waving.hsr
      python -m tracker.stream replay waving.hsr --loop        (look at http://127.0.0.1:4263)
      python -m tracker.stream replay waving.hsr --speed 0.25 --port 5000
    """

    file: Annotated[
        tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE.hsr", help_behavior_hint="")
    ]
    """The session."""
    port: int = DEFAULT_PORT
    """Where to serve it; 0 takes a free port."""
    host: str = DEFAULT_HOST
    """The address to listen on; any other than this machine's own needs a token."""
    token: Annotated[str | None, NO_HINT] = None
    """What clients must show."""
    loop: bool = False
    """Begin anew at the end, until Ctrl-C."""
    speed: float = 1.0
    """2.0 plays twice as fast."""


def replay(options: ReplayOptions) -> int:
    """Serve a session until it ends or Ctrl-C; returns the exit code."""
    session = open_session(options.file)
    clock = ReplayClock(session.first.t_publish_ns, options.speed)
    config = ServerConfig(hello=session.hello, clock=clock)
    with (
        StopRequest() as stop,
        StreamServer(options.host, options.port, options.token, config=config) as server,
    ):
        say(
            f"{session.frames} frames of {session.seconds:.1f} s at {server.url}, to look at: "
            f"{server.page_url}; it begins with the first client; Ctrl-C ends it"
        )
        count = replay_to(server, session, clock, lambda: stop.made, loop=options.loop)
    say(f"{count} frames were sent")
    return OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run_command(ReplayOptions, "replay", replay, arguments)
