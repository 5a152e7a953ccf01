"""Each benchmark in a process of its own: none runs in the memory and threads another one left.

In one process, caches and thread pools of the first ones slow the later ones down, and the memory
they hold hides or feigns growth.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.metric import Metric


class FailedError(Exception):
    """A benchmark ended without its numbers; what it said is on the screen."""


def measured_apart(name: str, options: Sequence[str]) -> list[Metric]:
    """Run `python -m benchmarks --only NAME`, pass on what it prints, return what it measured.

    Args:
        name: of the benchmark.
        options: more of the command line, e.g. `--quick`.

    Raises:
        FailedError: it stopped early.
    """
    command = [sys.executable, "-m", "benchmarks", "--only", name, *options]
    # A program that writes into a pipe takes the screen to be 80 columns wide.
    environment = {"COLUMNS": str(shutil.get_terminal_size().columns), **os.environ}
    held = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(held, end="", flush=True)
            held = line
    if process.returncode:
        print(held, end="", flush=True)
        raise FailedError(f"{name} ended with exit code {process.returncode}")
    # The last line is its document, see `benchmarks.__main__`.
    return [Metric(**metric) for metric in json.loads(held)["metrics"]]
