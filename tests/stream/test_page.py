"""The diagnostic page: how it is served, and that its scripts read what the server writes."""

import http.client
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tracker.stream import StreamServer, Subscription
from tracker.stream.binary import encode_frame
from tracker.stream.composer import Composer, select
from tracker.stream.frames import AXES
from tracker.stream.page_files import PAGE_PATHS
from tracker.stream.records import StreamFrame

PATIENCE_S = 5
PAGE = Path(__file__).resolve().parents[2] / "tracker" / "stream" / "page"
SCRIPTS = sorted(PAGE.glob("*.js"))
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def get(port: int, path: str, **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    line.request("GET", path, headers=headers)
    answer = line.getresponse()
    result = answer.status, answer.read(), answer.headers
    line.close()
    return result


def test_every_file_of_the_page_has_a_path_and_every_path_a_file():
    assert sorted(PAGE_PATHS.values()) == sorted(path.name for path in PAGE.iterdir())


@pytest.mark.parametrize("path", PAGE_PATHS)
def test_files_are_served_with_their_type_and_locked_in(server, path):
    status, body, headers = get(server.port, path)
    name = PAGE_PATHS[path]
    assert (status, body) == (200, (PAGE / name).read_bytes())
    assert headers["Content-Type"] == f"{TYPES[name.split('.')[-1]]}; charset=utf-8"
    assert "default-src 'self'" in headers["Content-Security-Policy"].split("; ")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/../hub.py",
        "/page/../../hub.py",
        "/%2e%2e/hub.py",
        "/page.js/../../hub.py",
        "//etc/passwd",
        "/..%2fhub.py",
        "/hub.py",
        "/index.html/",
        "/page",
    ],
)
def test_nothing_else_is_served(server, path):
    status, body, _ = get(server.port, path)
    assert status == 404
    assert b"import" not in body


def test_strangers_do_not_get_the_page(server):
    assert get(server.port, "/", Host="evil.example")[0] == 403
    assert get(server.port, "/page.js", Origin="null")[0] == 403


def test_the_page_needs_no_token_but_the_stream_does(models):
    with StreamServer(port=0, token="secret", model=models["right"]) as server:
        assert {get(server.port, path)[0] for path in PAGE_PATHS} == {200}
        assert get(server.port, "/v1/stream")[0] == 401


def test_the_page_loads_nothing_from_elsewhere_and_has_nothing_inline():
    for path in PAGE.iterdir():
        assert not re.search(r"(https?:)?//\w+[.]\w", path.read_text()), path.name
    html = (PAGE / "index.html").read_text()
    inline = r"<script[^>]*>(?!</script>)|<style|\sstyle=|\son\w+="
    assert not re.search(inline, html)
    linked = set(re.findall(r'(?:src|href)="([^"]+)"', html))
    imported = {n for p in SCRIPTS for n in re.findall(r'from "[.]/([^"]+)"', p.read_text())}
    assert linked | imported == set(PAGE_PATHS.values()) - {"index.html"}


def test_scripts_find_their_elements():
    ids = set(re.findall(r'\sid="([^"]+)"', (PAGE / "index.html").read_text()))
    wanted = set(re.findall(r'(?:byId|list)\("([^"]+)"', (PAGE / "page.js").read_text()))
    assert wanted == ids


@needs_node
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script):
    check = ["node", "--check", "--input-type=module"]
    result = subprocess.run(check, input=script.read_bytes(), capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()


READER = """
import { readFileSync } from "node:fs";
import { FRAMES, axesOf, decodeFrame, toOpenxr } from "./handstream.js";
const results = Object.keys(FRAMES).map((name) => {
  const bytes = readFileSync(`${name}.bin`);
  const whole = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  let refused = 0;
  for (let cut = 0; cut < bytes.length; cut += 7) {
    try { decodeFrame(whole.slice(0, cut)); } catch (error) { refused += error instanceof RangeError; }
  }
  const frame = decodeFrame(whole);
  for (const hand of frame.hands) {
    hand.places = hand.joints.map((j) => toOpenxr(name, j.position, FRAMES[name].units));
    hand.turns = hand.joints.map((j) => axesOf(j.quaternion));
  }
  return [name, { ...frame, refused, cuts: Math.ceil(bytes.length / 7) }];
});
console.log(JSON.stringify(Object.fromEntries(results)));
"""


@pytest.fixture(scope="module")
def sent(models, make_hand_in_view) -> StreamFrame:
    hands = [make_hand_in_view(3), make_hand_in_view(4, "left", track_id=2, state="predicted")]
    composed = Composer(models["right"]).compose(hands, 10**9)
    return StreamFrame(7, 5, 1_500_000, 2_500_000, composed, 9)


@needs_node
def test_the_page_reads_frames_in_every_frame(sent, tmp_path):
    for name in AXES:
        chosen = select(sent, Subscription(parts=("joints", "kp3d", "vel"), frame=name))  # type: ignore[arg-type]
        (tmp_path / f"{name}.bin").write_bytes(encode_frame(chosen))
    shutil.copy(PAGE / "handstream.js", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "read.js").write_text(READER)
    done = subprocess.run(["node", "read.js"], cwd=tmp_path, capture_output=True, check=True)
    results = json.loads(done.stdout)
    assert results.keys() == AXES.keys()
    for found in results.values():
        assert (found["seq"], found["captureMs"], found["publishMs"]) == (7, 1.5, 2.5)
        assert found["refused"] == found["cuts"]
        for hand, expected in zip(found["hands"], sent.hands, strict=True):
            assert (hand["id"], hand["side"], hand["state"]) == (
                expected.id,
                expected.side,
                expected.state,
            )
            assert hand["emulated"] == expected.emulated
            np.testing.assert_allclose(hand["places"], expected.positions, atol=1e-6)
            identity = [np.transpose(t) @ t for t in np.array(hand["turns"])]
            np.testing.assert_allclose(identity, [np.eye(3)] * 26, atol=1e-5)


@needs_node
def test_axes_are_the_columns_of_the_rotation(tmp_path):
    shutil.copy(PAGE / "handstream.js", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    quarter_about_z = "0, 0, Math.SQRT1_2, Math.SQRT1_2"
    (tmp_path / "turn.js").write_text(
        'import { axesOf } from "./handstream.js";\n'
        f"console.log(JSON.stringify(axesOf([{quarter_about_z}])));\n"
    )
    done = subprocess.run(["node", "turn.js"], cwd=tmp_path, capture_output=True, check=True)
    np.testing.assert_allclose(
        json.loads(done.stdout), [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], atol=1e-12
    )
