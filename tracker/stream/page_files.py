"""The diagnostic page: files of the folder `page`, served as they are.

Only the paths named here exist, so no path of a request ever reaches the file system. The page
loads nothing from elsewhere and is told so by its Content-Security-Policy.
"""

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Response

PAGE_PATHS: Final = {
    "/": "index.html",
    "/page.css": "page.css",
    "/page.js": "page.js",
    "/handstream.js": "handstream.js",
    "/scene.js": "scene.js",
    "/graph.js": "graph.js",
}
"""Path of a request to name of a file."""
_FOLDER: Final = Path(__file__).with_name("page")
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address may hold the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Connection": "close",
}


def page_response(path: str) -> Response:
    """Answer a request for one of `PAGE_PATHS`."""
    body = _content(PAGE_PATHS[path])
    kind = _TYPES[Path(PAGE_PATHS[path]).suffix]
    headers = Headers(
        {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body)), **_SECURITY}
    )
    return Response(HTTPStatus.OK, "OK", headers, body)


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()
