"""The rules of the house, read from the source: which room may import which, and how big things get."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TREES = ("tracker", "train", "apps", "benchmarks")
SOURCES = sorted(path for tree in TREES for path in (REPOSITORY / tree).rglob("*.py"))
ALL_PYTHON = SOURCES + sorted((REPOSITORY / "tests").rglob("*.py"))

GROUND = {"tracker.errors", "tracker.stop_request", "tracker.whole_file"}
FLOOR_0 = GROUND | {"tracker.geometry"}
FLOOR_1 = FLOOR_0 | {"tracker.vision"}
FLOOR_2 = {"tracker.live", "tracker.view", "tracker.stream", "tracker.export"}
TRACKER = {"tracker"} | FLOOR_1 | FLOOR_2
ARROWS = {
    **{room: {"tracker.errors"} for room in GROUND},
    "tracker.geometry": FLOOR_0,
    "tracker.vision": FLOOR_1,
    **{room: FLOOR_1 | {room} for room in FLOOR_2},
    "tracker": TRACKER,  # the package's own __init__: the public names
    "train": FLOOR_1 | {"train", "train.open_hand"},
    "train.open_hand": FLOOR_1 | {"train", "train.open_hand"},
    "apps": TRACKER | {"apps", "train"},
    "benchmarks": TRACKER | {"benchmarks", "train", "train.open_hand"},
    "tests": set(),
}
"""For each room, the rooms it may import."""
EXTRA_ARROWS = {"train.open_hand.sheet": {"tracker.view"}}
"""Single modules that may do more than their room."""

HEAVY = {"cv2", "mediapipe", "openvino", "pyrender", "tyro", "websockets", "train"}
BANNED = {"chumpy", "manopth", "timm", "torchvision", "smplx"}
CATCH_ALL_NAMES = {"util", "utils", "helpers", "misc", "common"}
FORBIDDEN_WORDS = re.compile(
    r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|breakpoint\(|pragma: no cover)|/w[o]rk/|/t[m]p/"
)
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50


def imported_names(source: str) -> Iterator[str]:
    """Every name that the source imports, in full: `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, (
                f"line {node.lineno}: write imports in full, from the top package"
            )
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str | None:
    """The room a module or imported name is in; None for other people's packages."""
    inside = [room for room in ARROWS if f"{name}.".startswith(f"{room}.")]
    return max(inside, key=len, default=None)


def broken_arrows(module: str, source: str) -> list[str]:
    """The imports of `module` that its room does not allow."""
    allowed = ARROWS[room_of(module) or ""] | EXTRA_ARROWS.get(module, set())
    rooms = {name: room_of(name) for name in imported_names(source)}
    return [name for name, room in rooms.items() if room is not None and room not in allowed]


def long_functions(source: str) -> list[str]:
    """The functions of `source` that are above the cap, with their lengths."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    lengths = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, functions)
    }
    return [f"{name}: {n} lines" for name, n in lengths.items() if n > MAX_FUNCTION_LINES]


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def file_id(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", SOURCES, ids=file_id)
def test_arrows_point_down(path: Path):
    broken = broken_arrows(module_name(path), path.read_text("utf-8"))
    assert not broken, f"{file_id(path)} must not import {', '.join(broken)}"


@pytest.mark.parametrize(
    ("module", "source", "broken"),
    [
        ("tracker.geometry.camera", "from tracker.vision.records import Frame", 1),
        ("tracker.vision.crops", "import tracker.view", 1),
        ("tracker.view.overlay", "from tracker.export import glb", 1),
        ("tracker.vision.crops", "from tracker import HandModel", 1),
        ("tracker.live.sources", "def f():\n    import train.loop", 1),
        ("train.loop", "import tracker.live, tracker.geometry", 1),
        ("train.open_hand.build", "from tracker.view import pyrender_view", 1),
        ("train.open_hand.sheet", "from tracker.view import pyrender_view", 0),
        ("apps.webcam", "from train.open_hand import build", 1),
        ("benchmarks.speed", "import apps.webcam, tests.conftest", 2),
        ("apps.webcam", "from tracker import HandTracker\nimport apps.options, trackers", 0),
        ("tracker.vision.crops", "import tracker.geometry.camera, numpy as np", 0),
    ],
)
def test_broken_arrows_are_seen(module: str, source: str, broken: int):
    assert len(broken_arrows(module, source)) == broken


def test_importing_the_library_loads_nothing_heavy():
    program = "import json, sys, tracker; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(result.stdout)}
    assert "tracker" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("path", ALL_PYTHON, ids=file_id)
def test_files_and_functions_stay_short(path: Path):
    source = path.read_text("utf-8")
    lines = len(source.splitlines())
    assert lines <= MAX_FILE_LINES, f"{file_id(path)} has {lines} lines: split it by what it holds"
    assert not long_functions(source)


def test_long_functions_are_seen():
    body = "    x = 1\n" * MAX_FUNCTION_LINES
    assert long_functions(f"class A:\n  def f(self):\n{body}") == ["f: 51 lines"]


@pytest.mark.parametrize("path", ALL_PYTHON, ids=file_id)
def test_nothing_unfinished_or_unnamed(path: Path):
    assert path.stem not in CATCH_ALL_NAMES, "name the module after what it holds"
    if path != Path(__file__).resolve():  # which has to spell the words
        found = FORBIDDEN_WORDS.search(path.read_text("utf-8"))
        assert found is None, f"{file_id(path)} holds {found and found[0]!r}"


@pytest.mark.parametrize("path", ALL_PYTHON, ids=file_id)
def test_banned_packages_are_not_imported(path: Path):
    packages = {name.partition(".")[0] for name in imported_names(path.read_text("utf-8"))}
    assert not packages & BANNED
