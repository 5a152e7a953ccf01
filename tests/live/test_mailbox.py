"""The newest wins, what nobody took is counted, and waiting ends when it should."""

import threading

from tracker.live.mailbox import Mailbox


def test_the_newest_wins_and_the_others_are_counted() -> None:
    box = Mailbox[int]()
    for n in range(5):
        box.put(n)
    assert (box.take(0.0), box.dropped) == (4, 4)
    assert box.take(0.0) is None
    box.put(5)
    assert (box.take(0.0), box.dropped) == (5, 4)


def test_a_reader_is_woken_by_an_item() -> None:
    box = Mailbox[str]()
    taken: list[str | None] = []
    reader = threading.Thread(target=lambda: taken.append(box.take(30.0)))
    reader.start()
    box.put("news")
    reader.join(5)
    assert taken == ["news"]


def test_closing_wakes_the_reader_and_keeps_what_lies_there() -> None:
    box = Mailbox[int]()
    box.put(1)
    box.close()
    box.put(2)
    assert box.take(30.0) == 1
    assert box.take(30.0) is None
    assert (box.closed, box.is_empty, box.dropped) == (True, True, 0)


def test_a_writer_can_wait_for_its_reader() -> None:
    box = Mailbox[int]()
    box.put(1)
    box.wait_until_empty(0.0)
    assert not box.is_empty
    reader = threading.Thread(target=lambda: box.take(5.0))
    reader.start()
    box.wait_until_empty(30.0)
    reader.join()
    assert box.is_empty
