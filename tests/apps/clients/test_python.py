"""The Python examples, run as a user runs them, and what the folder's README says of all clients."""

import re
import signal
import subprocess
import sys

import pytest

from tests.apps.clients.conftest import CLIENTS
from tracker.stream import StreamServer

PATIENCE_S = 15
EXPECTED = {
    "print_hands.py": r"frame \d+  left index tip (\S+ ){3}pinch [01]\.\d\d  right index tip .*",
    "operator_points.py": r"frame \d+  right  from \[.*\] to \[.*\]",
    "plain_websocket.py": r"\d+ (left|right)( -?\d+\.\d+){3}",
}


INTERRUPTIBLE = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Hears Ctrl-C also where the tests themselves run in the background and do not."""


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_prints_hands_until_it_is_stopped(server: StreamServer, publish, name: str):
    publish(server)
    script = str(CLIENTS / "python" / name)
    command = [sys.executable, "-c", INTERRUPTIBLE, script, server.url]
    folder = CLIENTS.parents[1]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    ) as program:
        assert program.stdout is not None
        first = program.stdout.readline()
        program.send_signal(signal.SIGINT)
        _, complaints = program.communicate(timeout=PATIENCE_S)
    assert re.fullmatch(EXPECTED[name], first.rstrip()), first + complaints
    assert (program.returncode, complaints) == (0, "")


def test_every_example_is_tried():
    assert {path.name for path in (CLIENTS / "python").glob("*.py")} == set(EXPECTED)


def test_every_client_has_a_quick_start_and_says_what_was_run():
    chapters = re.split(r"^## ", (CLIENTS / "README.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    about = {chapter.split("\n", 1)[0].split(" ")[0].lower(): chapter for chapter in chapters}
    folders = {path.name for path in CLIENTS.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert folders <= about.keys()
    for folder in folders:
        assert re.search(r"^Run so far: ", about[folder], re.MULTILINE), folder
        for name in re.findall(rf"`{folder}/([\w./]+)`", about[folder]):
            assert (CLIENTS / folder / name).exists(), name
        (steps,) = re.findall(r"```\w*\n(.*?)```", about[folder], re.DOTALL)
        assert 2 <= steps.count("\n") <= 10, folder
