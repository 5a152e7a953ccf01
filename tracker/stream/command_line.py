"""What the commands of `python -m tracker.stream` share: options by tyro, complaints in one line."""

import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import tyro

from tracker.errors import HandloomError

OK, BAD = 0, 2
"""Exit codes."""
NO_HINT: Final = tyro.conf.arg(help_behavior_hint="")
"""For options whose help speaks for itself."""

_Options = TypeVar("_Options")


def run_command(
    kind: type[_Options], name: str, work: Callable[[_Options], int], words: Sequence[str] | None
) -> int:
    """Read the options of a command, do its work, and return the exit code.

    Args:
        kind: a dataclass; its docstring and those of its fields are the help.
        name: of the command.
        work: does it, and returns the exit code.
        words: the command line; the program's own if None.

    Raises:
        SystemExit: after `--help`, or where the words make no sense.
    """
    options = tyro.cli(kind, prog=f"python -m tracker.stream {name}", args=words)
    try:
        return work(options)
    except (HandloomError, ValueError) as error:
        return refuse(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return refuse(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return refuse("stopped at once")


def refuse(reason: str) -> int:
    """Say in one line what is wrong; returns the exit code for it."""
    say(f"error: {' '.join(reason.split())}")
    return BAD


def say(text: str) -> None:
    """Tell the user, beside what a program may write for other programs."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
