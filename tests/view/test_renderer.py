"""Getting a renderer that works, and what is said when one does not."""

import logging
import sys

import pytest

from tracker.errors import RenderError
from tracker.view import gl_shims, pyrender_renderer
from tracker.view.renderer import open_renderer
from tracker.view.software_renderer import SoftwareRenderer


@pytest.fixture
def no_opengl(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RenderError("there is no OpenGL here")

    monkeypatch.setattr(pyrender_renderer, "import_pyrender", fail)


@pytest.mark.usefixtures("no_opengl")
def test_auto_falls_back_to_software_and_says_why(caplog):
    with caplog.at_level(logging.INFO, logger="tracker.view.renderer"):
        renderer = open_renderer("auto")
    assert renderer.name == "software"
    assert [record.message for record in caplog.records] == [
        "drawing with the software renderer, because there is no OpenGL here"
    ]


@pytest.mark.usefixtures("no_opengl")
def test_pyrender_by_name_does_not_fall_back():
    with pytest.raises(RenderError, match="no OpenGL"):
        open_renderer("pyrender")


def test_software_by_name_touches_no_opengl(monkeypatch):
    monkeypatch.setattr(pyrender_renderer, "import_pyrender", None)
    assert isinstance(open_renderer("software"), SoftwareRenderer)


def test_auto_takes_opengl_where_there_is_some(pyrender):
    renderer = open_renderer()
    assert renderer.name == pyrender.name
    renderer.close()


@pytest.fixture
def unbound(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if OpenGL had not been imported yet."""
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)
    monkeypatch.delitem(sys.modules, "OpenGL", raising=False)
    return monkeypatch


def test_without_egl_osmesa_is_taken_and_without_both_the_message_helps(unbound):
    unbound.setattr(gl_shims, "_egl_starts", lambda: False)
    unbound.setattr(gl_shims, "_osmesa_loads", lambda: False)
    with pytest.raises(RenderError, match=r"libegl1.*libosmesa6.*--renderer software"):
        gl_shims._bind_platform()
    unbound.setattr(gl_shims, "_osmesa_loads", lambda: True)
    assert gl_shims._bind_platform() == "osmesa"
    assert gl_shims.os.environ["PYOPENGL_PLATFORM"] == "osmesa"


def test_a_process_bound_to_a_window_system_is_told_so(unbound):
    unbound.setitem(sys.modules, "OpenGL", object())
    with pytest.raises(RenderError, match="before opening a window"):
        gl_shims._bind_platform()


def test_a_platform_with_a_screen_is_refused(unbound):
    unbound.setenv("PYOPENGL_PLATFORM", "glx")
    with pytest.raises(RenderError, match="found PYOPENGL_PLATFORM=glx"):
        gl_shims._bind_platform()


def test_a_missing_egl_library_is_no_error(monkeypatch):
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(gl_shims.ctypes, "CDLL", missing)
    assert not gl_shims._egl_starts()
    assert not gl_shims._osmesa_loads()
