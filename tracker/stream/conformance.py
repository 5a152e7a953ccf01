"""Check any server of `handstream/1` from outside, at its URL.

    python -m tracker.stream conformance ws://127.0.0.1:4263/v1/stream

Each check is a small function; its name says what is wanted, and what was found is told in a line.
A check that needs something that is not there (a hand in view, the token) is skipped and says so.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final, Literal

from rich.console import Console
from rich.table import Table
from websockets.exceptions import WebSocketException

from tracker.errors import HandloomError
from tracker.stream import (
    conformance_checks_control,
    conformance_checks_decoder,
    conformance_checks_frames,
    conformance_checks_handshake,
    conformance_checks_life,
    conformance_checks_security,
)
from tracker.stream.conformance_checks_base import (
    Check,
    FailedError,
    Settings,
    SkippedError,
    Target,
)
from tracker.stream.protocol import DEFAULT_URL

GROUPS: Final[dict[str, tuple[Check, ...]]] = {
    "handshake": conformance_checks_handshake.CHECKS,
    "frames": conformance_checks_frames.CHECKS,
    "decoder": conformance_checks_decoder.CHECKS,
    "control": conformance_checks_control.CHECKS,
    "security": conformance_checks_security.CHECKS,
    "life": conformance_checks_life.CHECKS,
}
"""Every check, by what it looks at."""
_COLORS: Final = {"pass": "green", "fail": "bold red", "skip": "yellow"}
_MAX_REASON: Final = 160


@dataclass(frozen=True)
class Result:
    """What became of one check."""

    group: str
    name: str
    outcome: Literal["pass", "fail", "skip"]
    reason: str
    """What was found, in one line."""
    seconds: float


def run_checks(
    url: str, settings: Settings | None = None, names: Sequence[str] = ()
) -> Iterator[Result]:
    """Run checks against a server, yielding each result as it is known.

    Args:
        url: the stream's address, e.g. `ws://127.0.0.1:4263/v1/stream`.
        settings: how thoroughly to look.
        names: checks or groups to run; all where none is named.

    Raises:
        ValueError: a name is no check's and no group's.
    """
    known = {*GROUPS, *(check.__name__ for checks in GROUPS.values() for check in checks)}
    unknown = sorted(set(names) - known)
    if unknown:
        raise ValueError(f"unknown checks {unknown}; --list names them all")
    target = Target(url, settings or Settings())
    for group, checks in GROUPS.items():
        for check in checks:
            if not names or group in names or check.__name__ in names:
                yield _run(group, check, target)


def _run(group: str, check: Check, target: Target) -> Result:
    start = time.monotonic()
    outcome: Literal["pass", "fail", "skip"] = "fail"
    try:
        reason = check(target)
        outcome = "pass"
    except SkippedError as skipped:
        outcome, reason = "skip", str(skipped)
    except FailedError as failed:
        reason = str(failed)
    except KeyError as error:
        reason = f"a message lacks {error}"
    except (
        *(HandloomError, OSError, EOFError, WebSocketException),
        *(TypeError, ValueError, LookupError, AttributeError),
    ) as error:
        reason = f"{type(error).__name__}: {error}"
    line = " ".join(reason.split())[:_MAX_REASON]
    return Result(group, check.__name__, outcome, line, round(time.monotonic() - start, 3))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks that a command line asks for, and write a table.

    Returns:
        0 where no check failed, else 1.
    """
    parser = _parser()
    chosen = vars(parser.parse_args(arguments))
    url, names, as_json = chosen.pop("url"), chosen.pop("only"), chosen.pop("json")
    if chosen.pop("list"):
        _list_checks()
        return 0
    try:
        results = list(run_checks(url, Settings(**chosen), names))
    except ValueError as error:
        parser.error(str(error))
    if as_json:
        sys.stdout.write(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    else:
        _write_table(url, results)
    return int(any(result.outcome == "fail" for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tracker.stream conformance",
        description="Check a server of hand streams from outside.",
    )
    parser.add_argument("url", nargs="?", default=DEFAULT_URL, help=f"default {DEFAULT_URL}")
    parser.add_argument("--only", nargs="+", default=(), help="checks or groups to run")
    parser.add_argument("--json", action="store_true", help="write JSON instead of a table")
    parser.add_argument("--list", action="store_true", help="tell what is checked, and stop")
    kinds = {"token": str, "start": str, "observe_s": float, "silence_s": float}
    kinds |= {"patience_s": float}
    for field in fields(Settings):
        option = f"--{field.name.replace('_', '-')}"
        kind = kinds.get(field.name, int)
        parser.add_argument(option, type=kind, default=field.default, help=_HELP[field.name])
    return parser


_HELP: Final = {
    "token": "the server's token",
    "observe_s": "seconds to watch before judging the frames (default %(default)s)",
    "silence_s": "seconds to send no acknowledgement (default %(default)s)",
    "patience_s": "seconds to wait for what must come (default %(default)s)",
    "mutated_frames": "damaged frames to read (default %(default)s)",
    "malformed_messages": "malformed messages to send (default %(default)s)",
    "reconnects": "times to connect again (default %(default)s)",
    "max_clients": "how many clients the server lets in",
    "start": "command that starts the server, with {host} and {port}; lets its end be checked",
}


def _list_checks() -> None:
    table = Table("group", "check", "wants")
    for group, checks in GROUPS.items():
        for check in checks:
            table.add_row(group, check.__name__, (check.__doc__ or "").partition("\n")[0])
    Console().print(table)


def _write_table(url: str, results: Sequence[Result]) -> None:
    table = Table("group", "check", "", "found", title=url)
    for result in results:
        color = _COLORS[result.outcome]
        outcome = f"[{color}]{result.outcome}[/]"
        table.add_row(result.group, result.name, outcome, result.reason.replace("[", r"\["))
    console = Console()
    console.print(table)
    counts = {o: sum(r.outcome == o for r in results) for o in ("pass", "fail", "skip")}
    console.print(f"{counts['pass']} pass, {counts['fail']} fail, {counts['skip']} skipped")
