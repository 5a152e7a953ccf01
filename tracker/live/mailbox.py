"""A place for one item between two threads: the newest wins, what nobody took is counted."""

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """One slot. A slow reader gets fewer items, never older ones.

    Example:
        >>> box = Mailbox[int]()
        >>> box.put(1)
        >>> box.put(2)
        >>> box.take(timeout_s=0.0), box.dropped
        (2, 1)
    """

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._item: Item | None = None
        self._dropped = 0
        self._closed = False

    @property
    def dropped(self) -> int:
        """How many items were replaced before anyone took them."""
        return self._dropped

    @property
    def closed(self) -> bool:
        """Whether nothing more is to come."""
        return self._closed

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take now."""
        return self._item is None

    def put(self, item: Item) -> None:
        """Put an item, anything but None, in the place of the one that lies there.

        After `close` it is thrown away.
        """
        with self._ready:
            if self._closed:
                return
            self._dropped += self._item is not None
            self._item = item
            self._ready.notify_all()

    def wait_until_empty(self, timeout_s: float) -> None:
        """Wait until the item was taken, the mailbox is closed or the time is up."""
        with self._ready:
            self._ready.wait_for(lambda: self._item is None or self._closed, timeout_s)

    def take(self, timeout_s: float) -> Item | None:
        """Wait for an item and take it out; None when none comes, or none will."""
        with self._ready:
            self._ready.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            self._ready.notify_all()
            return item

    def close(self) -> None:
        """Let nothing more in, and wake up whoever waits; what lies there can still be taken."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()
