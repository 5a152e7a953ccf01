"""Conformance: who is let in, and what strangers can do."""

import contextlib
import http.client
import os
import socket
from typing import Any, Final

from websockets.exceptions import ConnectionClosed, InvalidStatus

from tracker.stream.conformance_checks_base import (
    Check,
    FailedError,
    Line,
    SkippedError,
    Target,
    expect,
)
from tracker.stream.protocol import JSON

_TLS_HELLO: Final = bytes.fromhex("16030100a5010000a10303") + bytes(range(154))
_GARBAGE_BYTES: Final = 1024


def _refused(target: Target, status: int, url: str | None = None, **options: Any) -> str:
    """Connect where it must be refused, with this status."""
    try:
        with target.dial(url or target.url, **options):
            pass
    except InvalidStatus as error:
        found = error.response.status_code
        expect(found == status, f"refused with {found}, not {status}")
        return f"refused with {status}"
    raise FailedError("was let in")


def a_foreign_origin_is_refused(target: Target) -> str:
    """A web page from elsewhere gets 403."""
    return _refused(target, 403, origin="https://evil.example")


def a_null_origin_is_refused(target: Target) -> str:
    """A page of `null` origin (a file, a sandbox) gets 403."""
    return _refused(target, 403, origin="null")


def a_foreign_host_is_refused(target: Target) -> str:
    """A request by a name that is not this machine's gets 403: names can be made to point here."""
    url = f"ws://evil.example:{target.port}{target.path}"
    with target.wire() as wire:
        return _refused(target, 403, url, sock=wire)


def a_local_page_is_let_in(target: Target) -> str:
    """A page served from this machine may connect."""
    with target.line(origin="http://localhost:5173") as line:
        line.control("hello")
    return "http://localhost:5173"


def an_unknown_path_is_refused(target: Target) -> str:
    """Any other path gets 404."""
    return _refused(target, 404, target.url.replace(target.path, "/v99/nothing"))


def health_is_told(target: Target) -> str:
    """`/healthz` answers 200, without a token."""
    request = http.client.HTTPConnection(target.host, target.port, target.settings.patience_s)
    with contextlib.closing(request):
        request.request("GET", "/healthz")
        status = request.getresponse().status
    expect(status == 200, f"answers {status}")
    return "200"


def _token(target: Target) -> str:
    if target.settings.token is None:
        raise SkippedError("no token was given; start the server with one and add --token")
    return target.settings.token


def no_token_is_refused(target: Target) -> str:
    """Without the token, or with a wrong one, a client gets 401."""
    _token(target)
    _refused(target, 401, token="wrong")
    return _refused(target, 401, token="")


def the_token_opens(target: Target) -> str:
    """The token is taken from the header and from the query."""
    token = _token(target)
    with target.line() as line:
        line.control("hello")
    with target.dial(f"{target.url}?token={token}", [JSON], token="") as line:
        line.control("hello")
    return "header, query"


def garbage_is_survived(target: Target) -> str:
    """A TLS greeting, noise, or a client that vanishes leaves the server alive."""
    for data in (_TLS_HELLO, os.urandom(_GARBAGE_BYTES), b"GET / HTTP/1.1\r\n", b""):
        with target.wire() as wire, contextlib.suppress(ConnectionError):
            wire.sendall(data)
    with target.line() as line:
        line.control("hello")
        line.connection.socket.shutdown(socket.SHUT_RDWR)
    with target.line() as line:
        line.frame()
    return "TLS, noise, half a request, a cut line"


def too_many_clients_are_refused(target: Target) -> str:
    """The client above the limit gets 503, and is let in when another has gone."""
    limit = target.settings.max_clients
    if limit is None:
        raise SkippedError("the limit is not known; give the server's with --max-clients")
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(_greeted(target)) for _ in range(limit)]
        _refused(target, 503)
        lines[0].connection.close()
        with contextlib.suppress(ConnectionClosed), target.line() as line:
            line.control("hello")
    return f"number {limit + 1} is refused"


def _greeted(target: Target) -> Line:
    line = target.line()
    with contextlib.ExitStack() as stack:
        stack.enter_context(line)
        line.control("hello")
        line.subscribe()
        stack.pop_all()
    return line


CHECKS: Final[tuple[Check, ...]] = (
    a_foreign_origin_is_refused,
    a_null_origin_is_refused,
    a_foreign_host_is_refused,
    a_local_page_is_let_in,
    an_unknown_path_is_refused,
    health_is_told,
    no_token_is_refused,
    the_token_opens,
    garbage_is_survived,
    too_many_clients_are_refused,
)
