"""What can go wrong with a stream of hands."""

from tracker.errors import HandloomError


class StreamError(HandloomError):
    """A server cannot listen, or a stream cannot be reached."""


class ProtocolError(StreamError, ValueError):
    """A message or frame breaks the protocol; nothing of it may be used."""

    def __init__(self, message: str, code: str = "bad_message") -> None:
        super().__init__(message)
        self.code = code
        """Word for the `code` of an `error` message."""
