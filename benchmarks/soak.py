"""Does a live run grow? Ten minutes at full rate (one with `--quick`): memory, files and threads.

The clip is tracked as fast as it goes, drawn as in the window and served to a client, so that every
minute holds what four minutes of a webcam would. HANDLOOM_SOAK_S sets another length in seconds.
"""

import os
import threading
from pathlib import Path

import numpy as np

from benchmarks.live_run import live_run, ready_tracker, two_hand_clip
from benchmarks.metric import Metric

_SETTLE_SHARE = 0.25
"""Part of the run in which caches and allocators fill."""


def run(quick: bool) -> list[Metric]:
    """Measure the growth of the process after it has settled."""
    if not Path("/proc/self/statm").is_file():
        print("soak: needs /proc")
        return []
    seconds = float(os.environ.get("HANDLOOM_SOAK_S") or (60 if quick else 600))
    two_hand_clip()
    ready_tracker()
    rows: list[tuple[float, float, int, int]] = []

    def look(passed_s: float) -> None:
        if passed_s >= len(rows):  # once a second
            rows.append((passed_s, resident_mb(), open_files(), threading.active_count()))

    result = live_run(30.0, seconds, paced=False, draw=True, served=True, while_running=look)
    settled = np.array(rows[int(_SETTLE_SHARE * len(rows)) :])
    growth_mb = growth(settled[:, 1])
    print(
        f"soak: {seconds:.0f} s, {len(result.published_s)} frames, {settled[-1, 1]:.0f} MB at the "
        f"end, files {settled[0, 2]:.0f} to {settled[-1, 2]:.0f}, "
        f"threads {settled[0, 3]:.0f} to {settled[-1, 3]:.0f}"
    )
    return [
        Metric("soak_growth_mb", growth_mb, f"MB in {seconds:.0f} s"),
        Metric("soak_files_growth", float(settled[-1, 2] - settled[0, 2]), "open files"),
        Metric("soak_threads_growth", float(settled[-1, 3] - settled[0, 3]), "threads"),
    ]


def growth(megabytes: np.ndarray) -> float:
    """Return the median of the last fifth less that of the first: single peaks do not count."""
    fifth = max(len(megabytes) // 5, 1)
    return float(np.median(megabytes[-fifth:]) - np.median(megabytes[:fifth]))


def resident_mb() -> float:
    """Return the memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    """Return how many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (a folder that changes as it is read)
