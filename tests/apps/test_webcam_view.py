"""Which view is opened, and what is said when it cannot be."""

import sys

import pytest

from apps.webcam_view import open_view
from tracker.errors import RenderError
from tracker.view.live_headless import HeadlessView


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("the display is a variable on Linux only")
    monkeypatch.delenv("DISPLAY", raising=False)


@pytest.mark.parametrize("kind", ["auto", "window"])
def test_without_a_display_there_is_no_view_and_a_hint(kind, no_display):
    said: list[str] = []
    view = open_view(kind, say=said.append)
    assert isinstance(view, HeadlessView)
    assert len(said) == 1
    assert "--view browser" in said[0]


def test_none_says_nothing():
    said: list[str] = []
    assert isinstance(open_view("none", say=said.append), HeadlessView)
    assert said == []


def test_the_hint_goes_to_standard_error(no_display, capsys):
    open_view("auto")
    out, err = capsys.readouterr()
    assert out == ""
    assert "DISPLAY" in err


def test_without_viser_the_browser_view_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(RenderError, match=r"run setup viewer"):
        open_view("browser")
