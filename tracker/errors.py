"""Every error Handloom raises on purpose: one base, few leaves, each message ends with what to do."""


class HandloomError(Exception):
    """Base of all deliberate errors; programs catch it, print the message and exit with code 2."""


class HandModelError(HandloomError):
    """A hand model file is missing, damaged, unsafe or of the wrong kind."""


class ModelFileError(HandloomError):
    """A detector model or weight file is missing or is not the one expected."""


class SourceError(HandloomError):
    """A video, image folder or camera cannot be read."""


class OutputError(HandloomError):
    """A result cannot be written."""


class RenderError(HandloomError):
    """No renderer could be started, or one failed while drawing."""
