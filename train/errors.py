"""What goes wrong in training, each said in one line."""

from tracker.errors import HandloomError


class TrainingError(HandloomError):
    """A run cannot start, go on or be resumed."""


class NotFiniteError(TrainingError):
    """A loss or a gradient is NaN or infinite; the weights are those before this batch."""
