"""What the browser view sends, to a server that only notes it down."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from tracker.view import browser_view
from tracker.view.browser_view import BrowserView, retuned
from tracker.view.live_view import Command, Hud, LivePicture
from tracker.vision.records import Frame
from tracker.vision.smoothing import SmoothingConfig


class Things:
    """Buttons and sliders by their label, which a test may use as a person would."""

    def __init__(self) -> None:
        self.by_label: dict[str, SimpleNamespace] = {}
        self.folder = MagicMock()

    def _thing(self, label: str, value: Any = None) -> SimpleNamespace:
        thing = SimpleNamespace(value=value, call=None, remove=MagicMock())
        thing.on_click = thing.on_update = lambda call: setattr(thing, "call", call)
        self.by_label[label] = thing
        return thing

    def use(self, label: str, value: Any = None) -> None:
        thing = self.by_label[label]
        thing.value = value
        thing.call(SimpleNamespace(target=thing))

    def add_button(self, label: str) -> SimpleNamespace:
        return self._thing(label)

    def add_checkbox(self, label: str, value: bool) -> SimpleNamespace:
        return self._thing(label, value)

    def add_dropdown(self, label: str, choices: tuple[str, ...], initial_value: str):
        assert initial_value in choices
        return self._thing(label, initial_value)

    def add_slider(self, label: str, *given: float, hint: str) -> SimpleNamespace:
        return self._thing(label, given[-1])

    def add_markdown(self, text: str) -> SimpleNamespace:
        self.words = SimpleNamespace(content=text)
        return self.words

    def add_folder(self, label: str) -> MagicMock:
        return self.folder

    def configure_theme(self, **choices: bool) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    server = MagicMock()
    server.gui = Things()
    server.get_clients.return_value = {0: object()}
    server.get_port.return_value = 4264
    monkeypatch.setattr(browser_view, "open_server", lambda port, title: (MagicMock(), server))
    monkeypatch.setattr(browser_view, "_MESH_S", 0.0)
    monkeypatch.setattr(browser_view, "_PICTURE_S", 0.0)
    monkeypatch.setattr(browser_view, "_WORDS_S", 0.0)
    return server


@pytest.fixture
def picture(tracked_hands, golden) -> LivePicture:
    rgb = np.full((*golden.camera.hw, 3), 90, np.uint8)
    return LivePicture(
        Frame(rgb), golden.camera, tuple(tracked_hands), Hud(("30 fps",), "recording")
    )


def test_nothing_is_sent_while_nobody_looks(server, picture):
    server.get_clients.return_value = {}
    BrowserView().show(picture)
    server.scene.add_mesh_trimesh.assert_not_called()
    server.scene.add_camera_frustum.assert_not_called()


def test_hands_picture_and_words_are_sent(server, picture):
    view = BrowserView()
    view.show(picture)
    meshes = [call.args for call in server.scene.add_mesh_trimesh.call_args_list]
    assert [name for name, _ in meshes] == [f"/hands/{h.track_id}" for h in picture.hands]
    np.testing.assert_allclose(meshes[0][1].vertices, picture.hands[0].vertices)
    assert meshes[0][1].visual.material.metallicFactor == 0
    frustum = server.scene.add_camera_frustum.call_args
    assert frustum.args[1] == pytest.approx(2 * np.arctan(135 / picture.camera.K[1, 1]))
    assert "**recording**" in server.gui.words.content
    assert "30 fps" in server.gui.words.content
    assert view.url == "http://127.0.0.1:4264"


def test_hands_that_went_away_are_taken_off(server, picture):
    view = BrowserView()
    view.show(picture)
    view.show(replace(picture, hands=picture.hands[:1]))
    handle = server.scene.add_mesh_trimesh.return_value
    assert handle.remove.call_count == 1
    view.show(replace(picture, hands=(replace(picture.hands[0], state="lost"),)))
    assert handle.remove.call_count == 2


def test_pictures_and_meshes_keep_to_their_pace(server, picture, monkeypatch):
    for name in ("_MESH_S", "_PICTURE_S", "_WORDS_S"):
        monkeypatch.setattr(browser_view, name, 1000.0)
    view = BrowserView()
    for _ in range(5):
        view.show(picture)
    assert server.scene.add_mesh_trimesh.call_count == len(picture.hands)
    assert server.scene.add_camera_frustum.call_count == 1


def test_buttons_ask(server):
    view = BrowserView()
    for label in ("Pause", "Record", "Screenshot", "Calibrate"):
        server.gui.use(label)
    expected = [Command.PAUSE, Command.RECORD, Command.SCREENSHOT, Command.CALIBRATE]
    assert view.commands() == expected
    assert view.commands() == []


def test_surfaces_and_bones_can_be_chosen(server, picture):
    view = BrowserView()
    server.gui.use("Surface", "none")
    server.gui.use("Skeleton", True)
    view.show(picture)
    server.scene.add_mesh_trimesh.assert_not_called()
    assert server.scene.add_line_segments.call_count == 2
    assert server.scene.add_line_segments.call_args.args[1].shape == (20, 2, 3)
    server.gui.use("Surface", "wireframe")
    view.show(picture)
    assert server.scene.add_mesh_simple.call_args.kwargs["wireframe"] is True


def test_sliders_speak_to_the_program_on_its_own_thread(server):
    heard: list[SmoothingConfig] = []
    view = BrowserView(on_smoothing=heard.append)
    server.gui.use("Steady at rest ... quick", -1.0)
    server.gui.use("Calm ... follows speed", 2.0)
    assert heard == []
    view.commands()
    view.commands()
    start = SmoothingConfig()
    assert heard == [retuned(start, 0.5, 4.0)]
    assert heard[0].fingers.min_cutoff_hz == start.fingers.min_cutoff_hz / 2
    assert heard[0].direction.beta == start.direction.beta * 4
    assert heard[0].shape == start.shape


def test_without_a_listener_there_are_no_sliders(server):
    BrowserView()
    assert not any("rest" in label for label in server.gui.by_label)


def test_words_from_outside_stay_words(server, picture):
    view = BrowserView()
    view.show(replace(picture, hud=Hud(("<img src=x> [a](b) *c*",))))
    assert "\\<img src=x\\>" in server.gui.words.content
    assert "\\[a\\]\\(b\\) \\*c\\*" in server.gui.words.content


def test_a_screenshot_is_what_a_window_would_show(server, picture):
    view = BrowserView()
    assert view.shown() is None
    view.show(picture)
    shown = view.shown()
    assert shown is not None
    assert (shown != 90).any()


def test_closing_twice_stops_once(server, picture):
    view = BrowserView()
    view.close()
    view.close()
    server.stop.assert_called_once()
    view.show(picture)
    server.scene.add_mesh_trimesh.assert_not_called()
