"""Work on the images of a batch side by side, with threads that last as long as the call.

Compiled kernels that release the interpreter's lock need no more than this. Numba's own parallel
loops are not used: their OpenMP pool ends a forked data loader, and they take longer to compile.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

_Result = TypeVar("_Result")


def map_images(work: Callable[[int], _Result], images: int) -> list[_Result]:
    """Return `work(0) .. work(images - 1)`, done in as many threads as PyTorch uses.

    Work that writes only to its own image needs no lock. The first error is raised.
    """
    threads = min(torch.get_num_threads(), images)
    if threads <= 1:
        return [work(i) for i in range(images)]
    with ThreadPoolExecutor(threads, "images") as pool:
        return list(pool.map(work, range(images)))
