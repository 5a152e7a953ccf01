"""Build the open hand: `python -m train.open_hand --out weights/open_hand.npz [--sheet sheet.png]`."""

import logging
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from train.open_hand.build import build
from train.open_hand.check_result import CheckResult
from train.open_hand.checks import run_checks
from train.open_hand.model import OpenHand
from train.open_hand.sheet import draw_sheet

_console = Console(highlight=False)


@contextmanager
def _stage(title: str) -> Generator[None, None, None]:
    """Show that a stage is running, and leave one line with its time when it is done."""
    start = time.perf_counter()
    with _console.status(f"{title} ..."):
        yield
    _console.print(f"[green]done[/]  {title:<28} {time.perf_counter() - start:6.1f} s")


def _report(results: dict[str, list[CheckResult]]) -> int:
    """Print all results as a table and return how many failed."""
    table = Table("check", "measured", "wanted", box=None)
    failed = 0
    for name, group in results.items():
        for result in group:
            style = None if result.passed else "bold red"
            table.add_row(f"{name}: {result.name}", result.measured, result.wanted, style=style)
            failed += not result.passed
    _console.print(table)
    return failed


def build_open_hand(out: Path, sheet: Path | None = None) -> int:
    """Build the open hand from published anthropometry, check it, and write it.

    Args:
        out: Where to write the hand model, an npz file.
        sheet: Where to draw a contact sheet, a PNG file.

    Returns:
        The exit code: 0, 1 for a hand that fails a check, 2 for a folder that is not there.
    """
    logging.basicConfig(level=logging.WARNING)
    if not out.parent.is_dir():
        _console.print(f"error: {out.parent} is no folder; create it or choose another --out")
        return 2
    hand = build(_stage)
    with _stage("checks"):
        results = run_checks(hand)
    failed = _report(results)
    if failed:
        _console.print(f"[bold red]{failed} checks failed; {out} was left as it was[/]")
        return 1
    _write(hand, out, sheet)
    return 0


def _write(hand: OpenHand, out: Path, sheet: Path | None) -> None:
    hand.save(out)
    _console.print(f"wrote {out} ({out.stat().st_size / 1e3:.0f} kB, {hand.model_id})")
    if sheet is not None:
        with _stage("contact sheet"):
            draw_sheet(hand, sheet)
        _console.print(f"wrote {sheet}; look at it before you ship the hand")


if __name__ == "__main__":
    sys.exit(tyro.cli(build_open_hand))
