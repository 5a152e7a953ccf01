"""A real browser: the diagnostic page draws hands, and pages from elsewhere are refused.

Needs Chromium; another program than the installed one is named in HANDLOOM_CHROMIUM. With a folder in
HANDLOOM_SCREENSHOTS the pictures are kept there.
"""

import contextlib
import functools
import http.server
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from tests.stream.headless_chromium import Browser, Page, browser, chromium
from tests.stream.test_xr_hand_mesh_model import WEB_CLIENT, three_package
from tracker.stream import StreamServer
from tracker.stream.composer import Composer
from tracker.stream.errors import StreamError
from tracker.stream.frames import AXES

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="needs Chromium; name it in HANDLOOM_CHROMIUM"
)

FPS, PATIENCE_S = 30, 15
WRIST = 1
ENOUGH, SKIN = 500, 20_000
"""Pixels of a hand's colour that cannot be a label's, and those that cannot be joints and bones."""
BOX = "(({x, y, width, height}) => ({x, y, width, height, scale: 1}))(document.querySelector('%s').getBoundingClientRect())"
TOKEN = "a token/with & odd=signs"
ROWS = "[...document.querySelectorAll('#hands td:first-child')].map((cell) => cell.textContent)"
LINE_MS = "parseFloat(document.querySelectorAll('#stream dd')[3].textContent)"
OPENS = """new Promise((tell) => {
  let socket;
  try { socket = new WebSocket(%r, ['handstream.v1.bin']); } catch (error) { tell(error.name); }
  socket.onopen = () => tell('open');
  socket.onerror = () => tell('refused');
})"""


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser") / "profile") as started:
        yield started


@pytest.fixture
def page(chrome: Browser) -> Iterator[Page]:
    with chrome.page() as page:
        yield page
        assert page.faults() == []


@pytest.fixture
def stream(camera, make_hand_in_view) -> Iterator[Callable[[StreamServer], None]]:
    """Publish two hands, at FPS, to a server until the test ends."""
    hands = [make_hand_in_view(8), make_hand_in_view(8, "left", track_id=2)]
    stopping, threads = threading.Event(), []

    def publish(server: StreamServer) -> None:
        n = 0
        with contextlib.suppress(StreamError):  # the server may be closed first
            while not stopping.wait(1 / FPS):
                server.publish(hands, camera, time.monotonic_ns(), n)
                n += 1

    def start(server: StreamServer) -> None:
        threads.append(threading.Thread(target=publish, args=(server,)))
        threads[-1].start()

    yield start
    stopping.set()
    for thread in threads:
        thread.join()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[int]:
    """The port of another server of pages on this machine, which has one empty page."""
    (tmp_path / "index.html").write_text("<!doctype html><title>elsewhere</title>")
    with serve_files(tmp_path) as port:
        yield port


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serve_files(folder: Path) -> Iterator[int]:
    handler = functools.partial(QuietFiles, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        thread = threading.Thread(target=files.serve_forever, args=(0.02,))
        thread.start()
        yield files.server_port
        files.shutdown()
        thread.join()


def coloured(page: Page, element: str, path: Path) -> tuple[int, int]:
    """How many pixels of an element are about as blue as left hands, and as orange as right ones."""
    page.screenshot(path, page.evaluate(BOX % element))
    red, _, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB"), float), 2, 0)
    brightest = np.maximum(red, blue)
    return tuple(
        int(((a > 1.4 * b) & (brightest > 90)).sum()) for a, b in ((blue, red), (red, blue))
    )


def keep_picture(page: Page, name: str) -> None:
    if folder := os.environ.get("HANDLOOM_SCREENSHOTS"):
        page.screenshot(Path(folder) / f"{name}.png")


def opens(page: Page, server: StreamServer, host: str = "127.0.0.1", query: str = "") -> str:
    """What becomes of a WebSocket of the page in view: `open` or `refused`."""
    return page.evaluate(OPENS % f"ws://{host}:{server.port}/v1/stream{query}")


def test_the_page_draws_both_hands(server: StreamServer, stream, page: Page, tmp_path: Path):
    stream(server)
    page.open(f"http://127.0.0.1:{server.port}/")
    page.wait_for(f"{ROWS}.join() === 'right 1,left 2'")
    assert page.handshakes() == [101]
    assert min(coloured(page, "#scene", tmp_path / "seen.png")) > ENOUGH
    binary = [e for e in page.events if e["method"] == "Network.webSocketFrameReceived"]
    assert any(event["params"]["response"]["opcode"] == 2 for event in binary)
    page.wait_for(f"{LINE_MS} < 200")
    keep_picture(page, "page")


@pytest.mark.parametrize("axes", ["user", "unreal"])
def test_the_page_draws_other_frames_the_same(
    server: StreamServer, stream, page: Page, axes: str, tmp_path: Path, models, make_hand_in_view
):
    stream(server)
    (hand,) = Composer(models["right"]).compose([make_hand_in_view(8)], 0)
    page.open(f"http://127.0.0.1:{server.port}/")
    page.wait_for(f"{ROWS}.length === 2")
    before = coloured(page, "#scene", tmp_path / "before.png")
    chosen = "document.getElementById('frame')"
    page.evaluate(f"{chosen}.value = '{axes}'; {chosen}.dispatchEvent(new Event('change'))")
    page.wait_for(f"document.querySelector('#hands').textContent.includes('wrist ({axes}')")
    wrist = page.evaluate("document.querySelector('#hands td:last-child').textContent")
    expected = AXES[axes].points(hand.positions[WRIST])
    np.testing.assert_allclose(np.array(wrist.split(), float), expected, atol=0.05)
    after = coloured(page, "#scene", tmp_path / "after.png")
    assert after == pytest.approx(before, rel=0.1)  # numbers change, the picture stays
    keep_picture(page, f"page-{axes}")


def test_a_late_answer_of_the_clock_is_not_taken_for_latency(
    server: StreamServer, stream, page: Page
):
    """The first question is held back, as by a server that is busy when the page loads."""
    late = """
      const send = WebSocket.prototype.send;
      let held = false;
      WebSocket.prototype.send = function (message) {
        if (held || !message.includes('"time"')) return send.call(this, message);
        held = true;
        setTimeout(() => send.call(this, message), 700);
      };
    """
    stream(server)
    page.call("Page.addScriptToEvaluateOnNewDocument", source=late)
    page.open(f"http://127.0.0.1:{server.port}/")
    shown: list[float] = []
    page.wait_for(f"{ROWS}.length === 2")
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        shown.append(page.evaluate(f"{LINE_MS} || 0"))
    assert shown[-1] > 0
    assert max(shown) < 200, max(shown)


def test_pages_of_this_machine_may_connect(server: StreamServer, page: Page, elsewhere: int):
    for host in ("localhost", "127.0.0.1"):
        page.open(f"http://{host}:{elsewhere}/")
        page.wait_for("document.title === 'elsewhere'")
        assert opens(page, server) == "open"
    assert page.handshakes(2) == [101, 101]


def test_a_foreign_page_may_not_connect(server: StreamServer, page: Page, elsewhere: int):
    page.open(f"http://evil.example:{elsewhere}/")
    page.wait_for("document.title === 'elsewhere'")
    assert opens(page, server) == "refused"
    assert page.handshakes() == [403]
    assert server.clients == 0


def test_a_page_that_rebinds_its_name_may_not_connect(
    server: StreamServer, page: Page, elsewhere: int
):
    """The Host of the request is then the page's own name, though it reaches this machine."""
    page.open(f"http://evil.example:{elsewhere}/")
    page.wait_for("document.title === 'elsewhere'")
    assert opens(page, server, "evil.example") == "refused"
    assert page.handshakes() == [403]
    page.open(f"http://evil.example:{server.port}/")
    page.wait_for("document.body?.textContent.includes('this Host is not served here')")


def test_pages_without_an_origin_may_not_connect(server: StreamServer, page: Page, tmp_path: Path):
    """`data:` pages and files have the Origin `null`."""
    (tmp_path / "page.html").write_text("<!doctype html><title>file</title>")
    data = "data:text/html," + quote("<!doctype html><title>data</title>")
    for url, title in ((data, "data"), ((tmp_path / "page.html").as_uri(), "file")):
        page.open(url)
        page.wait_for(f"document.title === '{title}'")
        assert opens(page, server) == "refused"
    assert page.handshakes(2) == [403, 403]
    assert server.clients == 0


def test_without_the_token_nothing_comes(models, stream, page: Page):
    with StreamServer(port=0, token=TOKEN, model=models["right"]) as server:
        page.open(f"http://127.0.0.1:{server.port}/")
        page.wait_for("document.getElementById('hint').textContent.includes('#token=')")
        assert set(page.handshakes()) == {401}
        assert opens(page, server, query="?token=wrong") == "refused"
        assert opens(page, server, query=f"?token={quote(TOKEN, safe='')}") == "open"


def own_address() -> str | None:
    """An address of this machine that is not loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # reserved for documentation
        return probe.getsockname()[0]
    return None


@pytest.mark.parametrize("everywhere", [False, True])
def test_the_page_works_on_an_address_of_the_network(
    models, stream, page: Page, elsewhere: int, everywhere: bool
):
    """Its own Origin is then none of loopback's; other pages are still refused, token or not."""
    host = own_address()
    if host is None or host.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    listen, secret = "0.0.0.0" if everywhere else host, quote(TOKEN, safe="")
    with StreamServer(listen, 0, TOKEN, model=models["right"]) as server:
        stream(server)
        page.open(f"http://{host}:{server.port}/#token={secret}")
        page.wait_for(f"{ROWS}.length === 2")
        assert page.handshakes() == [101]
        page.open(f"http://evil.example:{elsewhere}/")
        page.wait_for("document.title === 'elsewhere'")
        assert opens(page, server, host, f"?token={secret}") == "refused"
        assert page.handshakes(2) == [101, 403]


@pytest.fixture
def web_client(tmp_path: Path) -> Iterator[int]:
    """The port where the example for three.js is served, three.js beside it."""
    three = three_package()
    if three is None:
        pytest.skip("needs `npm install three`; name another place in HANDLOOM_THREE")
    shutil.copytree(WEB_CLIENT, tmp_path / "web", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "web" / "node_modules").mkdir()
    (tmp_path / "web" / "node_modules" / "three").symlink_to(three.resolve())
    with serve_files(tmp_path / "web") as port:
        yield port


def test_the_example_for_three_js_draws_both_hands(
    models, stream, page: Page, web_client: int, tmp_path: Path
):
    with StreamServer(port=0, token=TOKEN, model=models["right"]) as server:
        stream(server)
        url, secret = quote(server.url, safe=""), quote(TOKEN, safe="")
        page.open(f"http://localhost:{web_client}/#url={url}&token={secret}")
        page.wait_for("document.querySelector('canvas') !== null")
        seen, deadline = (0, 0), time.monotonic() + PATIENCE_S
        while min(seen) <= SKIN:
            assert time.monotonic() < deadline, (seen, page.evaluate("document.body.textContent"))
            seen = coloured(page, "canvas", tmp_path / "seen.png")
        keep_picture(page, "three")
