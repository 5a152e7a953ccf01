"""`python -m tracker.stream vmc URL --to HOST:PORT`: pass a stream's hands on to an avatar program."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import tyro

from tracker.stop_request import StopRequest
from tracker.stream.client import HandStreamClient
from tracker.stream.command_line import NO_HINT, OK, refuse, run_command, say
from tracker.stream.protocol import DEFAULT_URL, Subscription
from tracker.stream.vmc import DEFAULT_PORT, VmcSink

_WANTED: Final = Subscription(parts=("mano",), flow="ack")
_PATIENCE_S: Final = 0.25
"""How soon Ctrl-C is heard while no frame comes."""
_SILENT_PATIENCES: Final = 20
"""After how many of them without a frame the user is told."""


@dataclass(frozen=True)
class VmcOptions:
    """Send the hands of a stream to an avatar program, as VMC over OSC and UDP, until Ctrl-C.

    Only rotations are sent. Needs python-osc: pip install 'handloom[osc]'.

    Type, for example:
      python -m tracker.stream vmc
      python -m tracker.stream vmc ws://192.168.1.7:4263/v1/stream --token SECRET --to 127.0.0.1:39540
    """

    url: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="URL")] = DEFAULT_URL
    """The stream."""
    to: Annotated[str, tyro.conf.arg(metavar="HOST:PORT")] = f"127.0.0.1:{DEFAULT_PORT}"
    """Where the avatar program listens."""
    wrist: bool = True
    """Turn the avatar's hands too; without it fingers only, where something else moves the arms."""
    token: Annotated[str | None, NO_HINT] = None
    """The stream's token, if it has one."""


def forward(options: VmcOptions) -> int:
    """Forward until Ctrl-C; returns the exit code."""
    try:
        host, port = _address(options.to)
    except ValueError:
        return refuse(f"--to: expected HOST:PORT, found {options.to!r}")
    client = HandStreamClient(options.url, token=options.token, subscription=_WANTED)
    with StopRequest() as stop, VmcSink(host, port, wrist=options.wrist) as sink, client:
        say(f"hands of {options.url} go to {host}:{port} as VMC; Ctrl-C ends it")
        silent = 0
        while not stop.made:
            try:
                sink.send(client.next_frame(_PATIENCE_S))
                silent = 0
            except TimeoutError:
                silent += 1
                if silent == _SILENT_PATIENCES:
                    say(f"no frame for {silent * _PATIENCE_S:g} s; does the server run?")
    return OK


def _address(text: str) -> tuple[str, int]:
    """Split `host`, `host:port` or `[::1]:port`."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not 0 < int(port) < 65536:
        raise ValueError(text)
    return host, int(port)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run_command(VmcOptions, "vmc", forward, arguments)
