"""The short ways of frames out and acknowledgements in, on a real socket."""

import pytest
from websockets.frames import Opcode
from websockets.server import ServerProtocol

from tests.stream.stream_lines import (
    PATIENCE_S,
    close_code,
    frame,
    message,
    open_line,
    subscribe,
    wait_until,
)
from tracker.stream import hub
from tracker.stream.connection import framed
from tracker.stream.messages import Ack, parse_client_message


@pytest.fixture
def acks_read_as_messages(monkeypatch: pytest.MonkeyPatch) -> list[Ack]:
    """Those that took the long way."""
    found: list[Ack] = []

    def parse(text: str):
        read = parse_client_message(text)
        if isinstance(read, Ack):
            found.append(read)
        return read

    monkeypatch.setattr(hub, "parse_client_message", parse)
    return found


@pytest.mark.parametrize(
    ("ack", "short_way"),
    [
        ('{"type":"ack","seq":2}', True),
        (' { "type" : "ack" , "seq" : 2 } ', True),
        ('{"type":"ack"}', True),
        ('{"seq":2,"type":"ack"}', False),
        ('{"type":"ack","seq":2,"note":"newer"}', False),
        (["{", '"type":"ack","seq":2}'], False),  # in two fragments
    ],
)
def test_acks_are_taken_however_they_are_written(
    ack, short_way, server, camera, acks_read_as_messages
):
    with open_line(server) as line:
        subscribe(line, flow="ack", window=1)
        for n in range(1, 4):
            server.publish([], camera, 0, n)
        wait_until(lambda: server.published == 3)
        assert frame(line).seq == 1
        line.send(ack)
        assert frame(line).seq == 3
        assert (acks_read_as_messages == []) == short_way


@pytest.mark.parametrize(
    "text", ['{"type":"ack","seq":-1}', '{"type":"ack","seq":02}', '{"type":"ack","seq":1e999}']
)
def test_acks_that_are_none_are_errors_as_before(text, server):
    with open_line(server) as line:
        subscribe(line, flow="ack")
        line.send(text)
        assert message(line, "error")["code"] == "bad_message"


@pytest.mark.parametrize("payload", ["", "hände", b"\0" * 125, b"x" * 126, b"y" * 70_000])
def test_framed_payloads_are_what_the_library_would_write(payload: bytes | str):
    library = ServerProtocol()
    library.state = library.state.OPEN
    data = payload.encode() if isinstance(payload, str) else payload
    (library.send_text if isinstance(payload, str) else library.send_binary)(data)
    assert framed(payload) == b"".join(library.data_to_send())
    kind = Opcode.TEXT if isinstance(payload, str) else Opcode.BINARY
    assert framed(payload)[0] == 0x80 | kind


def test_no_frame_follows_the_close(server, camera):
    """A client that closes while frames are on air gets its close answered, and nothing after it."""
    for _ in range(20):
        with open_line(server) as line:
            subscribe(line)
            server.publish([], camera, 0, 0)
            line.recv(PATIENCE_S)
            line.send("x" * 5000)
            for n in range(20):
                server.publish([], camera, 0, n)
            assert close_code(line) == 1009
