"""`python apps/webcam.py doctor`: is everything there, and if not, what is to be typed?

Each check stands on its own and most run in a process of their own, so that a broken library cannot take
the others down. This file needs nothing but Python: it must work where nothing else does.
"""

from __future__ import annotations  # a Python too old for us is told so, and does not fail here

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__":  # run as a file: the checkout may not be installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from apps.doctor_checks import CHECKS, Check, Finding

_COLORS = {"ok": "32", "warning": "33", "problem": "31"}


def main(checks: Sequence[Check] = CHECKS) -> int:
    """Print what was found; return 0 when the live program can run here, else 1."""
    began = time.monotonic()
    findings = examine(checks)
    print(_table(findings, color=sys.stdout.isatty()))
    problems = sum(finding.verdict == "problem" for finding in findings)
    warnings = sum(finding.verdict == "warning" for finding in findings)
    took = f"({time.monotonic() - began:.1f} s)"
    if problems:
        print(f"\n{problems} problem(s) to fix before the live program can run {took}")
        return 1
    also = f", with {warnings} warning(s)" if warnings else ""
    print(f"\nthe live program can run here{also} {took}")
    return 0


def examine(checks: Sequence[Check]) -> list[Finding]:
    """Run all checks side by side; one that fails itself is a problem of its own."""
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(_guarded, checks))
    return [finding for findings in results for finding in findings]


def _guarded(check: Check) -> list[Finding]:
    try:
        return check.run()
    except Exception as error:  # noqa: BLE001  a doctor that falls ill helps nobody
        found = f"the check itself failed: {type(error).__name__}: {error}"
        return [Finding(check.name, "problem", found, "report this line")]


def _table(findings: Sequence[Finding], *, color: bool) -> str:
    """Return the findings as lines; what is to be typed stands below what is wrong."""
    width = max((len(finding.name) for finding in findings), default=0)
    paint: Callable[[str], str] = lambda verdict: (  # noqa: E731
        f"\033[{_COLORS[verdict]}m{verdict:<7}\033[0m" if color else f"{verdict:<7}"
    )
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{paint(finding.verdict)}  {finding.name:<{width}}  {finding.found}")
        if finding.fix:
            lines.append(f"{'':<7}  {'':<{width}}  -> {finding.fix}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
