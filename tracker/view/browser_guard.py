"""viser behind a lock: its page shows a camera's picture, so only this machine's own pages get in.

viser answers whoever asks. On loopback that is still every web page the user has open, because any page
may connect to `ws://127.0.0.1`. So requests are looked at before viser sees them, by the same rules
as the joint stream's: the `Host` is this machine, and an `Origin`, where there is one, too. viser's
public share addresses are switched off.
"""

import contextlib
import importlib
import inspect
import io
import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final

from tracker.errors import RenderError

_LOCAL_HOST: Final = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_LOCAL_ORIGIN: Final = re.compile(rf"https?://{_LOCAL_HOST.pattern}", re.IGNORECASE)
_INSTALL: Final = "install it with `./run setup viewer` (or `pip install 'viser>=1.0,<2'`)"


def is_local(hosts: Sequence[str], origins: Sequence[str]) -> bool:
    """Return whether a request with these `Host` and `Origin` headers comes from this machine."""
    return (
        len(hosts) == 1
        and _LOCAL_HOST.fullmatch(hosts[0]) is not None
        and len(origins) <= 1
        and all(_LOCAL_ORIGIN.fullmatch(origin) for origin in origins)
    )


def open_server(port: int, label: str) -> tuple[ModuleType, Any]:
    """Start a viser server on loopback that turns strangers away; return viser and the server.

    Raises:
        RenderError: viser is not installed, is of an unknown make, or no port is free.
    """
    try:
        viser = importlib.import_module("viser")
        infra = importlib.import_module("viser.infra._infra")
    except ImportError as error:
        raise RenderError(f"the browser view needs viser ({error}); {_INSTALL}") from error
    guard = _guard(infra)
    guard.passed = False
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # viser prints a banner
            server = viser.ViserServer(host="127.0.0.1", port=port, label=label, verbose=False)
    except (OSError, RuntimeError) as error:
        raise RenderError(f"the browser view found no free port ({error})") from error
    if not guard.passed:
        server.stop()
        version = getattr(viser, "__version__", "?")
        raise RenderError(f"viser {version} cannot be locked to this machine; {_INSTALL}")
    # One click on viser's page, or one message, would show the camera to the world through a tunnel.
    server.request_share_url = _never_share
    return viser, server


def _never_share(verbose: bool = True) -> None:
    """Answer viser's wish for a public address with none."""


def _guard(infra: Any) -> "_Websockets":
    """Put ourselves between viser and the websockets package; other users of it see nothing."""
    if not isinstance(infra.websockets, _Websockets):
        infra.websockets = _Websockets(infra.websockets)
    return infra.websockets


class _Namespace:
    """Another module with some names replaced."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _Websockets(_Namespace):
    """The websockets package with a `serve` that looks at requests first."""

    def __init__(self, websockets: Any) -> None:
        server = importlib.import_module("websockets.asyncio.server")
        self.passed = False
        """Whether a server was opened through here."""
        self._serve = server.serve
        guarded = _Namespace(server, serve=self._guarded)
        super().__init__(websockets, asyncio=_Namespace(websockets.asyncio, server=guarded))

    def _guarded(self, *places: Any, process_request: Any = None, **options: Any) -> Any:
        async def look_first(connection: Any, request: Any) -> Any:
            headers = request.headers
            if not is_local(headers.get_all("Host"), headers.get_all("Origin")):
                return connection.respond(403, "only pages of this machine may look\n")
            answer = process_request and process_request(connection, request)
            return await answer if inspect.isawaitable(answer) else answer

        self.passed = True
        return self._serve(*places, process_request=look_first, **options)
