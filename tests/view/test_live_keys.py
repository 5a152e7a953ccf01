"""Keys without a window."""

import pytest

from tracker.view.live_keys import KEYS, ViewState, help_lines, press
from tracker.view.live_stage import Orbit
from tracker.view.live_view import Command


def test_no_key_has_two_meanings():
    names = [name for key in KEYS for name in key.names]
    assert len(names) == len(set(names))
    assert len(help_lines()) == len(KEYS)


def test_every_command_has_a_key():
    asked = {press(ViewState(), key.names[0])[1] for key in KEYS}
    assert asked >= set(Command)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.action)
def test_every_key_does_something(key):
    start = ViewState(orbit=Orbit(30.0, 5.0, 2.0))
    for name in key.names:
        state, command = press(start, name.upper())
        assert state != start or command is not None


def test_pressing_a_switch_twice_changes_nothing():
    for name in ("b", "t", "v", "o", "i", "h"):
        once, _ = press(ViewState(), name)
        assert once != ViewState()
        assert press(once, name)[0] == ViewState()


def test_mesh_and_wireframe_take_turns():
    wires, _ = press(ViewState(), "w")
    assert wires.surface == "wireframe"
    assert press(wires, "m")[0].surface == "mesh"
    assert press(wires, "w")[0].surface == "none"


def test_pyglets_names_of_digits_are_understood():
    turned = ViewState(orbit=Orbit(40.0))
    assert press(turned, "_0")[0].orbit == Orbit()


def test_unknown_keys_do_nothing():
    assert press(ViewState(), "NUM_LOCK") == (ViewState(), None)
    assert press(ViewState(), "") == (ViewState(), None)
