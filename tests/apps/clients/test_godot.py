"""The Godot script: its numbers are the protocol's, and its grammar is GDScript 2's. It is not run."""

import re
import shutil
import subprocess

import pytest

from tests.apps.clients.conftest import CLIENTS, subscription_in
from tracker.stream.messages import parse_client_message
from tracker.stream.protocol import BINARY, DEFAULT_URL, Subscription

SCRIPT = CLIENTS / "godot" / "hand_stream.gd"


def test_it_asks_for_what_the_protocol_knows():
    text = SCRIPT.read_text("utf-8")
    wanted = parse_client_message(subscription_in(text))
    assert wanted == Subscription(flow="ack", window=2)
    assert f'"{DEFAULT_URL}"' in text
    assert f'"{BINARY}"' in text


def test_its_sizes_are_those_of_the_messages():
    constants = dict(re.findall(r"^const (\w+) := (\d+)$", SCRIPT.read_text("utf-8"), re.MULTILINE))
    sizes = {"HEADER_BYTES": 48, "HAND_BYTES": 32, "SECTION_BYTES": 8, "JOINTS": 26, "ROW": 8}
    codes = {"LEFT": 1, "RIGHT": 2, "LOST": 0, "FRAME": 1, "JOINTS_SECTION": 1, "PLAIN_FLOATS": 0}
    assert {name: int(constants[name]) for name in sizes | codes} == sizes | codes


@pytest.mark.skipif(shutil.which("gdlint") is None, reason="needs `pip install gdtoolkit`")
def test_its_grammar_is_sound():
    done = subprocess.run(["gdlint", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
