"""The C# of the Unity client: its engine-free part runs under Mono, the rest is compiled."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from websockets.sync.client import connect

from tests.apps.clients.conftest import CLIENTS, TOKEN, damaged, subscription_in
from tracker.stream import StreamServer
from tracker.stream.binary import decode_frame
from tracker.stream.frames import AXES
from tracker.stream.messages import parse_client_message
from tracker.stream.protocol import Subscription

HERE = Path(__file__).parent
UNITY = CLIENTS / "unity"
ENGINE_FREE = [UNITY / f"{name}.cs" for name in ("HandFrame", "HandStreamJson", "HandStreamClient")]
PARTS = ("joints", "pinch")

pytestmark = pytest.mark.skipif(
    shutil.which("mcs") is None or shutil.which("mono") is None,
    reason="needs Mono: the packages mono-mcs and mono-runtime",
)


def compile_sharp(to: Path, *sources: Path, kind: str = "exe") -> Path:
    """Compile with the language version that Unity 2018 and later understand."""
    command = ["mcs", "-langversion:7", "-warnaserror", "-nowarn:649", f"-target:{kind}"]
    command += [f"-out:{to}", *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return to


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    program = tmp_path_factory.mktemp("mono") / "check.exe"
    compile_sharp(program, HERE / "HandStreamCheck.cs", *ENGINE_FREE)

    def run(*words: object) -> list[str]:
        command = ["mono", str(program), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    return run


def assert_frame(lines: list[str], frame, atol: float) -> None:
    """Lines as the check program prints them."""
    times = [frame.t_capture_ns, frame.t_publish_ns]
    numbers = [frame.seq, frame.frame, frame.session, *times, len(frame.hands)]
    assert lines[0] == " ".join(map(str, numbers))
    for line, hand in zip(lines[1:], frame.hands, strict=True):
        side, state, track, emulated, *values = line.split(" ")
        assert (side.lower(), state.lower()) == (hand.side, hand.state)
        assert (int(track), int(emulated)) == (hand.id, hand.emulated)
        expected = [hand.score, hand.scale, *hand.pinch, *hand.joints.ravel()]
        np.testing.assert_allclose(np.array(values, float), expected, atol=atol)


@pytest.mark.parametrize("axes", AXES)
def test_binary_and_text_give_what_we_read(check, sent_as, tmp_path: Path, axes: str):
    sent = sent_as(axes)
    (tmp_path / "frame.bin").write_bytes(sent.binary)
    (tmp_path / "frame.json").write_text(sent.text)
    lines = check("decode", tmp_path / "frame.bin", tmp_path / "frame.json")
    middle = len(lines) // 2
    assert_frame(lines[:middle], decode_frame(sent.binary), atol=0)
    assert_frame(lines[middle:], sent.frame, atol=1e-3 if axes == "unreal" else 6e-4)


def test_damaged_messages_are_refused_or_read_but_break_nothing(check, sent_as, tmp_path: Path):
    sent = sent_as(parts=PARTS)
    for n, data in enumerate(damaged(sent.binary, 300)):
        (tmp_path / f"{n:04}.bin").write_bytes(data)
    for n, data in enumerate(damaged(sent.text.encode(), 300)):
        (tmp_path / f"{n:04}.json").write_bytes(data)
    for n, text in enumerate(
        ["", "[]", "{", '{"seq":1e999}', "[" * 5000, '{"a":"\\u12', '{"hands":null}']
    ):
        (tmp_path / f"x{n}.json").write_text(text)
    outcomes = check("damaged", tmp_path)
    assert len(outcomes) == 607
    assert set(outcomes) == {"frame", "refused"}
    assert set(outcomes[-7:]) == {"refused"}


def test_the_client_follows_a_stream(check, models, publish):
    with StreamServer(port=0, token=TOKEN, model=models["right"]) as server:
        publish(server)
        first, header, *hands = check("live", server.url, TOKEN, 1500)
        assert len(hands) == 2
        fresh, ticks, protocol = first.split()
        assert protocol == "handstream"
        assert int(fresh) > 0.5 * int(ticks)
        assert int(header.split()[0]) > 20
        refused = check("live", server.url, "wrong", 600)
    assert refused[0].startswith("0 ")


def test_it_asks_for_what_the_protocol_knows():
    text = (
        (UNITY / "HandStreamClient.cs")
        .read_text()
        .replace('\\"', '"')
        .replace('" + axes + "', "unity")
    )
    wanted = parse_client_message(subscription_in(text))
    assert wanted == Subscription(parts=PARTS, frame="unity", flow="ack", window=2)


def test_the_part_for_the_engine_compiles(tmp_path: Path):
    """Against a stand-in of the few names it uses: that is all that can be said without Unity."""
    sources = [HERE / "UnityStandIn.cs", *sorted(UNITY.glob("*.cs"))]
    compile_sharp(tmp_path / "unity.dll", *sources, kind="library")


def test_the_hands_hang_together_as_the_server_says(check, server: StreamServer):
    with connect(server.url) as line:
        hello = json.loads(line.recv())
    parents = hello["skeletons"]["openxr26"]["parents"]
    assert check("parents") == [" ".join(map(str, parents))]
