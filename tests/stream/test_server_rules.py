"""What the server does with strangers, nonsense and plain requests, on a real socket."""

import contextlib
import http.client
import json
import logging
import socket

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.stream.stream_lines import PATIENCE_S, close_code, message, open_line, subscribe
from tracker.stream import StreamServer
from tracker.stream.hub import ServerConfig


def test_bad_messages_are_answered_and_the_fifth_ends_it(server):
    with open_line(server) as line:
        for text in ("{nope", "[" * 2000, '{"type":"subscribe","parts":["rm -rf"]}', "{}"):
            line.send(text)
            error = message(line, "error")
            assert (error["code"], error["fatal"]) == ("bad_message", False)
        for _ in range(10):
            line.send('{"type":"reboot"}')
            assert message(line, "error")["code"] == "unknown_type"
        subscribe(line)  # still served
        line.send("7")
        assert message(line, "error")["fatal"] is True
        assert close_code(line) == 1008


def test_malformed_messages_do_no_harm(server, rng):
    """Mutated messages, on one connection after another as each is closed."""
    base = b'{"type":"subscribe","parts":["joints"],"max_hz":60,"window":2}'
    for _ in range(20):
        with open_line(server) as line:
            for _ in range(20):
                text = bytearray(base)
                for _ in range(rng.integers(1, 4)):
                    text[rng.integers(len(text))] = rng.integers(32, 127)
                with contextlib.suppress(ConnectionClosed):
                    line.send(text.decode())
    with open_line(server) as line:
        subscribe(line)


@pytest.mark.parametrize(
    ("data", "code"), [("x" * 5000, 1009), (b"\0\1", 1003), (b"x" * 5000, 1009)]
)
def test_long_and_binary_messages_end_it(server, data, code):
    with open_line(server) as line:
        line.send(data)
        assert close_code(line) == code


def refused(url: str, **options) -> int:
    """The status a connection is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        connect(url, **options)
    return caught.value.response.status_code


def test_strangers_are_refused(server):
    assert refused(server.url, origin="https://evil.example") == 403
    assert refused(server.url, origin="null") == 403
    assert refused(server.url.replace("127.0.0.1", "evil.localhost"), sock=wire(server)) == 403
    assert refused(server.url.replace("/v1/stream", "/v2/stream")) == 404
    with open_line(server, origin="http://localhost:5173") as line:
        message(line, "hello")


def wire(server: StreamServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)


def test_tokens_open_the_door(models, caplog):
    caplog.set_level(logging.DEBUG)
    with StreamServer(port=0, token="s3cret", model=models["right"]) as server:
        assert refused(server.url) == 401
        assert refused(f"{server.url}?token=guess") == 401
        with open_line(server, additional_headers={"Authorization": "Bearer s3cret"}) as line:
            message(line, "hello")
        with connect(f"{server.url}?token=s3cret") as line:
            message(line, "hello")
    ours = [record for record in caplog.records if record.name.startswith("tracker")]
    assert not [record for record in ours if "s3cret" in record.getMessage()]


def test_too_many_clients_are_told(models):
    config = ServerConfig(max_clients=2)
    with (
        StreamServer(port=0, model=models["right"], config=config) as server,
        open_line(server) as a,
        open_line(server) as b,
    ):
        message(a, "hello")
        message(b, "hello")
        subscribe(a)
        subscribe(b)
        assert refused(server.url) == 503


def get(server: StreamServer, path: str, **headers: str) -> tuple[int, bytes, dict]:
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    line.request("GET", path, headers=headers)
    answer = line.getresponse()
    result = answer.status, answer.read(), dict(answer.getheaders())
    line.close()
    return result


def test_plain_requests_are_answered(server, models):
    assert get(server, "/healthz")[:2] == (200, b"ok\n")
    assert get(server, "/")[0] == 200
    assert get(server, "/etc/passwd")[0] == 404
    assert get(server, "/healthz", Origin="https://evil.example")[0] == 403
    for side, model in models.items():
        status, body, headers = get(server, f"/v1/topology/{side}", Origin="http://localhost:1")
        content = json.loads(body)
        assert (status, content["side"], content["vertices"]) == (200, side, 778)
        np.testing.assert_array_equal(content["faces"], model.faces.numpy())
        assert headers["Access-Control-Allow-Origin"] == "http://localhost:1"


def test_garbage_leaves_the_server_alone(server):
    for data in (
        b"\x16\x03\x01\x02garbage\r\n\r\n",
        b"\0" * 10_000,
        b"GET /v1/stream HTTP/1.1\r\n",
    ):
        with wire(server) as line:
            line.sendall(data)
    with open_line(server) as line:
        subscribe(line)
