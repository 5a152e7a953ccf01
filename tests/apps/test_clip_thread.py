"""The drawing thread keeps the order, holds little, and loses no error."""

import threading

import pytest

from apps.clip_thread import DrawingThread


def fail() -> None:
    raise OSError("no space")


def put_nothing(drawing: DrawingThread, times: int) -> None:
    for _ in range(times):
        drawing.put(lambda: None)


def test_work_is_done_in_order_in_one_other_thread() -> None:
    done, threads = [], set()

    def work(n: int) -> None:
        done.append(n)
        threads.add(threading.get_ident())

    with DrawingThread("software") as drawing:
        for n in range(50):
            drawing.put(lambda n=n: work(n))
        drawing.finish()
        assert done == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_it_makes_the_giver_wait_rather_than_hoard() -> None:
    gate, begun = threading.Event(), threading.Event()
    with DrawingThread("software") as drawing:
        given = []

        def give() -> None:
            for n in range(9):
                drawing.put(gate.wait)
                given.append(n)
                if n == 3:
                    begun.set()

        giver = threading.Thread(target=give)
        giver.start()
        assert begun.wait(5)
        giver.join(0.1)
        assert len(given) == 4
        gate.set()
        giver.join(5)
        assert len(given) == 9


def test_an_error_comes_up_at_the_next_piece_or_at_the_end() -> None:
    with DrawingThread("software") as drawing:
        drawing.put(fail)
        with pytest.raises(OSError, match="no space"):
            drawing.finish()
        drawing.put(fail)
        with pytest.raises(OSError, match="no space"):
            put_nothing(drawing, 9)


def test_what_is_dropped_is_not_done_and_what_is_begun_is_waited_for() -> None:
    done, begun, gate = [], threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        gate.wait(5)
        done.append("begun")

    with DrawingThread("software") as drawing:
        drawing.put(slow)
        drawing.put(lambda: done.append("waiting"))
        assert begun.wait(5)
        threading.Timer(0.05, gate.set).start()
        drawing.drop()
        assert done == ["begun"]
        drawing.finish()


def test_no_thread_is_left() -> None:
    with DrawingThread("software"):
        assert any(thread.name.startswith("drawing") for thread in threading.enumerate())
    assert not any(thread.name.startswith("drawing") for thread in threading.enumerate())
