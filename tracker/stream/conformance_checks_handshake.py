"""Conformance: how a conversation begins."""

import json
from typing import Final

from tracker.geometry.skeleton import OPENXR_JOINTS
from tracker.stream.conformance_checks_base import Check, FailedError, Target, expect
from tracker.stream.openxr_skeleton import PARENTS
from tracker.stream.protocol import BINARY, JSON, VERSION


def hello_comes_first(target: Target) -> str:
    """The first message is `hello`, of this protocol and major version."""
    with target.line() as line:
        first = next(line.messages(), None)
    expect(isinstance(first, str), f"the first message is {type(first).__name__}, not text")
    content = json.loads(first or "")
    found = (content.get("type"), content.get("protocol"))
    expect(found == ("hello", "handstream"), f"the first message is {found}")
    expect(content["v"][0] == VERSION[0], f"version {content['v']}; this suite knows {VERSION}")
    return f"{content.get('server', 'unnamed server')}, version {content['v']}"


def hello_names_the_joints(target: Target) -> str:
    """`hello` gives the 26 names and parents of OpenXR, in its order."""
    with target.line() as line:
        skeleton = line.control("hello")["skeletons"]["openxr26"]
    expect(skeleton["joints"] == list(OPENXR_JOINTS), f"joints are {skeleton['joints']}")
    expect(skeleton["parents"] == list(PARENTS), f"parents are {skeleton['parents']}")
    return "26 names and parents"


def parents_form_a_tree(target: Target) -> str:
    """Every joint's chain of parents ends at the one root."""
    with target.line() as line:
        parents = line.control("hello")["skeletons"]["openxr26"]["parents"]
    roots = [joint for joint, parent in enumerate(parents) if parent == -1]
    expect(len(roots) == 1, f"roots are {roots}")
    for joint in range(len(parents)):
        chain = joint
        for _ in parents:
            chain = chain if parents[chain] == -1 else parents[chain]
        expect(chain == roots[0], f"the parents of joint {joint} run in a circle")
    return f"root {roots[0]}"


def hello_tells_limits_and_clock(target: Target) -> str:
    """`hello` tells the session, the clock, the parts and the limits."""
    with target.line() as line:
        hello = line.control("hello")
    expect(isinstance(hello["session"], int), f"session is {hello['session']!r}")
    expect(isinstance(hello["clock"]["now_ns"], int), f"clock is {hello['clock']}")
    expect("joints" in hello["parts"], f"parts are {hello['parts']}")
    limits = hello["limits"]
    return f"at most {limits['max_message']} bytes, window {limits['max_window']}"


_OFFERS: Final[dict[str, tuple[list[str] | None, str | None, type]]] = {
    "none": (None, None, str),
    "unknown": (["soap", "handstream.v9.bin"], None, str),
    "json": ([JSON], JSON, str),
    "binary": ([BINARY], BINARY, bytes),
}

_WORDS: Final = {str: "text", bytes: "binary"}


def _offer(target: Target, name: str) -> str:
    """Offer subprotocols, and see which is chosen and what frames come in."""
    offered, chosen, kind = _OFFERS[name]
    with target.dial(target.url, offered) as line:
        found = line.connection.subprotocol
        expect(found == chosen, f"{found!r} was chosen of {offered}")
        line.subscribe()
        for heard in line.frames():
            got = type(heard.data)
            expect(got is kind, f"frames come as {_WORDS[got]}")
            return f"{chosen or 'no subprotocol'}, frames are {_WORDS[kind]}"
    raise FailedError("no frame came")


def no_subprotocol_gives_json(target: Target) -> str:
    """A client that offers no subprotocol gets JSON."""
    return _offer(target, "none")


def unknown_subprotocol_gives_json(target: Target) -> str:
    """A client that offers unknown subprotocols gets JSON, none of them selected."""
    return _offer(target, "unknown")


def json_subprotocol_gives_text(target: Target) -> str:
    """The JSON subprotocol is selected and gives text frames."""
    return _offer(target, "json")


def binary_subprotocol_gives_bytes(target: Target) -> str:
    """The binary subprotocol is selected and gives binary frames."""
    return _offer(target, "binary")


CHECKS: Final[tuple[Check, ...]] = (
    hello_comes_first,
    hello_names_the_joints,
    parents_form_a_tree,
    hello_tells_limits_and_clock,
    no_subprotocol_gives_json,
    unknown_subprotocol_gives_json,
    json_subprotocol_gives_text,
    binary_subprotocol_gives_bytes,
)
