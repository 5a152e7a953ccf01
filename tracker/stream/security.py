"""Who may connect. A camera process that listens is a privacy device, so it is locked by default.

* It listens on loopback only; on any other address it refuses to start without a token.
* A web page may connect only from this machine's own addresses, or where its origin is allowed:
  any page can open `ws://127.0.0.1`. Programs send no `Origin` and are trusted as the camera is.
  Where a token is required, this server's own page may connect too, under whatever allowed `Host` it
  was fetched from: only this server answers there, or someone who does not know the token.
* The `Host` must be a name of this machine, or a page could reach in by rebinding its own name. An
  address in numbers cannot be rebound; all are known where every address is listened on.
* With a token, every address but `/healthz` and the files of the page at `/` wants it, as `Authorization: Bearer`
  or, because browsers cannot set headers, as `?token=`. Queries are never logged.

There is no TLS: put a reverse proxy, `ssh -L` or `adb reverse` in front.
"""

import hmac
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tracker.stream.errors import StreamError
from tracker.stream.page_files import PAGE_PATHS

OPEN_PATHS: Final = (*PAGE_PATHS, "/healthz")
"""Paths that tell nothing about anyone, and so want no token."""
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LOOPBACK_ORIGIN: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")
EVERYWHERE: Final = ("", "0.0.0.0", "::")
"""Hosts that mean every address of this machine."""

HeaderValues = Callable[[str], Sequence[str]]
"""All values of the header of a name."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_token_off_loopback(host: str, token: str | None) -> None:
    """Refuse an address that others can reach, unless there is a token.

    Raises:
        StreamError: there is none.
    """
    if not is_loopback(host) and not token:
        raise StreamError(
            f"refusing to listen on {host or 'every address'!r} without a token: everyone on the "
            "network could watch; choose one with --token SECRET, or listen on 127.0.0.1"
        )


@dataclass(frozen=True)
class Refusal:
    """The answer to a request that is turned away."""

    status: HTTPStatus
    reason: str


@dataclass(frozen=True)
class AccessRules:
    """What a request must show."""

    host: str
    """The address listened on."""
    token: str | None = None
    allow_origins: tuple[str, ...] = ()
    """Further origins of web pages, e.g. `https://example.org`."""
    allow_hosts: tuple[str, ...] = ()
    """Further names under which clients reach this machine, without port."""

    def refusal(self, path: str, values: HeaderValues) -> Refusal | None:
        """Return why a request is turned away, None if it is not.

        Args:
            path: path and query as requested.
            values: gives all values of a header.
        """
        if not self._knows_host(values("Host")):
            return Refusal(HTTPStatus.FORBIDDEN, "this Host is not served here")
        if not self.allows_origin(values("Origin"), values("Host")[0]):
            return Refusal(HTTPStatus.FORBIDDEN, "pages of this Origin may not connect")
        if urlsplit(path).path not in OPEN_PATHS and not self._has_token(path, values):
            return Refusal(HTTPStatus.UNAUTHORIZED, "a token is required")
        return None

    def allows_origin(self, origins: Sequence[str], host: str) -> bool:
        """Return whether a page of these `Origin` headers may connect; without any it is no page.

        Args:
            origins: all `Origin` headers.
            host: the `Host` header, which must be known.
        """
        if not origins:
            return True
        (origin, *others) = origins
        local = _LOOPBACK_ORIGIN.fullmatch(origin) is not None
        # Without a token, whoever answers for an allowed name in the network (as anyone may for
        # `.local`) could serve a page under it and then point the name at this machine.
        own = self.token is not None and origin == f"http://{host.lower()}"
        return not others and (local or own or origin in self.allow_origins)

    def _knows_host(self, hosts: Sequence[str]) -> bool:
        if len(hosts) != 1:
            return False
        name = _without_port(hosts[0].lower())
        own = _is_address(name) if self.host in EVERYWHERE else name == self.host.lower()
        return own or name in _LOOPBACK_NAMES or name in self.allow_hosts

    def _has_token(self, path: str, values: HeaderValues) -> bool:
        if self.token is None:
            return True
        given = parse_qs(urlsplit(path).query).get("token", [])
        given += [v.removeprefix("Bearer ") for v in values("Authorization") if v[:7] == "Bearer "]
        expected = self.token.encode()
        return any(
            hmac.compare_digest(v.encode("utf-8", "surrogateescape"), expected) for v in given
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    """Return the name in a `Host` header: `[::1]:4263` gives `::1`."""
    bracketed = re.fullmatch(r"\[([0-9a-f:.]+)\](:\d+)?", host)
    return bracketed[1] if bracketed else re.sub(r":\d+$", "", host)
