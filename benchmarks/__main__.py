"""Run benchmarks: `python -m benchmarks [--quick] [--only NAME] [--list]`.

Prints a table for people as each ends and, as the last line of standard output, one JSON document.
"""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

# Waiting threads must sleep: OpenMP reads this once, when PyTorch or numba first starts it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Large pages for PyTorch's memory, as `./run` has them: a training step is a quarter faster.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from rich.console import Console
from rich.table import Table

from benchmarks.apart import FailedError, measured_apart
from benchmarks.metric import Metric

WORKLOADS = {
    "fitting": "benchmarks.fitting",
    "skinning": "benchmarks.skinning",
    "accuracy": "benchmarks.accuracy",
    "clips": "benchmarks.clips",
    "throughput": "benchmarks.throughput",
    "network": "benchmarks.network",
    "texture": "benchmarks.texture",
    "rendering": "benchmarks.rendering",
    "steadiness": "benchmarks.steadiness",
    "published_steadiness": "benchmarks.published_steadiness",
    "synthetic": "benchmarks.synthetic",
    "training": "benchmarks.training",
    "stream": "benchmarks.stream",
    "latency": "benchmarks.latency",
    "soak": "benchmarks.soak",
}
"""Name of each benchmark and the module with its `run(quick) -> list[Metric]`."""


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, run, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a smoke test")
    parser.add_argument("--only", metavar="NAME", choices=WORKLOADS, help="run this one alone")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(WORKLOADS))
        return
    if options.only:
        metrics = importlib.import_module(WORKLOADS[options.only]).run(options.quick)
        Console().print(table(options.only, metrics))
        print(json.dumps(document(options.only, metrics)))
    else:
        run_all(["--quick"] if options.quick else [])


def run_all(options: list[str]) -> None:
    """Run one after the other; what was measured is printed even if some fail or Ctrl-C ends it."""
    metrics: list[Metric] = []
    problems: list[str] = []
    for name in WORKLOADS:
        try:
            metrics += measured_apart(name, options)
        except FailedError as problem:
            problems.append(str(problem))
        except KeyboardInterrupt:
            problems.append(f"{name} and those after it were not run: interrupted")
            break
    print(json.dumps(document("all", metrics)), flush=True)
    if problems:
        sys.exit("\n".join(problems))


def table(name: str, metrics: list[Metric]) -> Table:
    """Lay out the metrics of one benchmark for people."""
    sheet = Table("metric", "value", "unit", "reference", "its value", "ratio", title=name)
    for m in metrics:
        sheet.add_row(
            m.key,
            f"{m.value:.4g} ({m.better} is better)",
            m.unit,
            m.reference,
            "" if m.reference_value is None else f"{m.reference_value:.4g}",
            "" if m.ratio is None else f"{m.ratio:.3g}",
        )
    return sheet


def document(name: str, metrics: list[Metric]) -> dict[str, object]:
    """Return everything a program needs to compare this run with another."""
    return {
        "name": name,
        "commit": commit(),
        "machine": machine(),
        "load": os.getloadavg(),
        "metrics": [asdict(metric) for metric in metrics],
    }


def commit() -> str:
    """Return the commit that is checked out, with a mark if files differ from it."""
    git = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
    ]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> dict[str, object]:
    """Return processor, cores and the versions that decide how fast things are."""
    versions = {name: importlib.import_module(name).__version__ for name in ("torch", "numba")}
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **versions,
    }


def cpu_name() -> str:
    """Return the processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
