"""Ask a question in a process of its own: what crashes, hangs or prints there harms nobody."""

from __future__ import annotations  # a Python too old for us is told so, and does not fail here

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 8.0
_REPOSITORY: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Answer:
    """What came of a question."""

    ok: bool
    """Whether the program ended well."""
    lines: tuple[str, ...]
    """What it printed."""
    reason: str = ""
    """Why it failed, in one line."""


def probe(program: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> Answer:
    """Run a Python program and return what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(_REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(False, (), f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Answer(False, (), f"Python could not be started ({error.strerror})")
    lines = tuple(done.stdout.splitlines())
    return Answer(done.returncode == 0, lines, _reason(done))


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line of the error, without the name of our own classes."""
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"it crashed (signal {-done.returncode})"
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    last = errors[-1] if errors else f"exit code {done.returncode}"
    return last.replace("tracker.errors.", "", 1).partition("; use `--view")[0]
