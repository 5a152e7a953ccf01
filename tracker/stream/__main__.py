"""Commands around the stream: `python -m tracker.stream conformance URL`."""

import sys
from typing import Final

from tracker.stream import conformance

_COMMANDS: Final = {"conformance": conformance.main}


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit code."""
    if not arguments or arguments[0] not in _COMMANDS:
        sys.stderr.write(f"usage: python -m tracker.stream {{{','.join(_COMMANDS)}}} ...\n")
        return 2
    return _COMMANDS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
