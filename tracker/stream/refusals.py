"""Why a stream cannot be reached, in one sentence that says what to do."""

from http import HTTPStatus
from typing import Final

from websockets.exceptions import InvalidStatus, InvalidURI

HOPELESS: Final = {
    HTTPStatus.UNAUTHORIZED: "the token is missing or wrong; give the server's",
    HTTPStatus.FORBIDDEN: "this client is not let in; start the server with its host allowed",
    HTTPStatus.NOT_FOUND: "nothing is served at this path; the stream is at /v1/stream",
}
"""Answers that will not change by asking again, and what to do."""


def why_unreachable(url: str, error: BaseException) -> str:
    """Return a sentence for whoever started a client.

    Args:
        url: what was to be reached.
        error: what `connect` of the WebSocket library raised.
    """
    if isinstance(error, InvalidURI):
        return f"{url!r} is no address such as ws://host:4263/v1/stream"
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        known = status in HOPELESS
        advice = HOPELESS[HTTPStatus(status)] if known else "try again later"
        return f"{url} answers {status}: {advice}"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot reach {url}: {' '.join(str(reason).split())}; is the server running?"
