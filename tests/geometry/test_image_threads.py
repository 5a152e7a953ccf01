"""Images side by side."""

import threading

import pytest
import torch

from tracker.geometry.image_threads import map_images


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_are_in_order_and_work_is_shared(threads):
    meet = threading.Barrier(threads, timeout=10)

    def work(i: int) -> int:
        if i < threads:
            meet.wait()  # passes only if that many are at work at the same time
        return i * i

    assert map_images(work, 7) == [i * i for i in range(7)]
    assert map_images(work, 0) == []


def test_an_error_is_raised_where_it_can_be_caught(threads):
    def work(i: int) -> int:
        if i == 2:
            raise ValueError("image 2")
        return i

    with pytest.raises(ValueError, match="image 2"):
        map_images(work, 5)
