"""Commands around the stream: `python -m tracker.stream conformance`, `record`, `replay`, `vmc`."""

import sys
from importlib import import_module
from typing import Final

_COMMANDS: Final = {
    "conformance": ("tracker.stream.conformance", "main", "check any server of hand streams"),
    "record": ("tracker.stream.record_command", "main", "a stream into a file"),
    "replay": ("tracker.stream.replay_command", "main", "a file into a stream"),
    "vmc": ("tracker.stream.vmc_command", "main", "a stream to an avatar program"),
}
"""Name, and the module, function and purpose of each; loaded when it is asked for."""


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit code."""
    if not arguments or arguments[0] not in _COMMANDS:
        known = "".join(f"  {name:12} {what}\n" for name, (_, _, what) in _COMMANDS.items())
        asked = arguments[:1] in (["-h"], ["--help"])
        (sys.stdout if asked else sys.stderr).write(
            f"usage: python -m tracker.stream COMMAND ... (COMMAND --help tells more)\n\n{known}"
        )
        return 0 if asked else 2
    module, function, _ = _COMMANDS[arguments[0]]
    return getattr(import_module(module), function)(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
