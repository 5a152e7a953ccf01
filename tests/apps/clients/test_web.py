"""The browser's reader, under node: the same numbers as ours, and nothing damaged gets through."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.apps.clients.conftest import CLIENTS, damaged
from tracker.stream.binary import decode_frame

WEB = CLIENTS / "web"
SCRIPTS = sorted(WEB.glob("*.js"))
PARTS = ("joints", "kp3d", "kp2d", "mano", "verts", "vel", "pinch")
READER = """
import { readFileSync, readdirSync } from "node:fs";
const { decodeFrame } = await import(process.argv[2]);
const bytesOf = (path) => { const b = readFileSync(path); return b.buffer.slice(b.byteOffset, b.byteOffset + b.length); };
const plain = (frame) => ({ ...frame, hands: frame.hands.map((hand) => Object.fromEntries(
  Object.entries(hand).map(([name, value]) => [name, value instanceof Float32Array ? [...value] : value]))) });
const damaged = readdirSync("damaged").sort().map((name) => {
  try { decodeFrame(bytesOf(`damaged/${name}`)); return "frame"; }
  catch (error) { return error instanceof RangeError ? "refused" : `${error}`; }
});
console.log(JSON.stringify({ frame: plain(decodeFrame(bytesOf("frame.bin"))), damaged }));
"""

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script: Path):
    check = ["node", "--check", "--input-type=module"]
    result = subprocess.run(check, input=script.read_bytes(), capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()


def test_it_reads_what_we_read_and_refuses_what_is_damaged(sent_as, tmp_path: Path):
    sent = sent_as()
    (tmp_path / "frame.bin").write_bytes(sent.binary)
    (tmp_path / "damaged").mkdir()
    spoilt = damaged(sent.binary, 400)
    for n, data in enumerate(spoilt):
        (tmp_path / "damaged" / f"{n:04}").write_bytes(data)
    (tmp_path / "read.mjs").write_text(READER)
    command = ["node", "read.mjs", (WEB / "handstream.js").as_uri()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    expected, found = decode_frame(sent.binary), answer["frame"]
    assert (found["seq"], found["frame"], found["session"]) == (7, 5, 4_000_000_000)
    assert (found["captureMs"], found["publishMs"]) == (1.5, 2.5)
    for hand, ours in zip(found["hands"], expected.hands, strict=True):
        for name in ("id", "side", "state", "emulated"):
            assert hand[name] == getattr(ours, name)
        np.testing.assert_allclose([hand["score"], hand["scale"]], [ours.score, ours.scale])
        for part in PARTS:
            np.testing.assert_array_equal(
                np.array(hand[part], np.float32), getattr(ours, part).ravel()
            )
    outcomes = answer["damaged"]
    assert set(outcomes) == {"frame", "refused"}
    assert all(outcomes[n] == "refused" for n in range(100))  # those cut short
