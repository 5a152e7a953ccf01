"""Conformance: what a client may ask for, and what becomes of nonsense."""

import json
import random
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
from websockets.exceptions import ConnectionClosed

from tracker.stream.conformance_checks_base import (
    Check,
    FailedError,
    Line,
    SkippedError,
    Target,
    expect,
)
from tracker.stream.errors import ProtocolError
from tracker.stream.frames import AXES
from tracker.stream.messages import parse_client_message
from tracker.stream.protocol import JSON, MAX_BAD_MESSAGES, MAX_MESSAGE, PARTS
from tracker.stream.records import StreamFrame

_UNSUPPORTED, _POLICY, _TOO_BIG = 1003, 1008, 1009
_THINNED_HZ: Final = 5.0
_THINNED_S: Final = 2.0
_WINDOW: Final = 2
_DRAIN_S: Final = 0.1
"""Enough to read what has already come."""
_CLOSE: Final = 2e-5
"""Relative; float32 of numbers turned before and after."""
_Q16_QUATERNION, _Q16_RADIUS_M = 1 / 32767, 1e-5


def parts_are_honoured(target: Target) -> str:
    """A hand has the parts that were asked for and no others (velocities may be unknown yet)."""
    with target.line() as line:
        offered = line.control("hello")["parts"]
        for part in (p for p in PARTS if p in offered):
            granted = line.subscribe(parts=[part])
            expect(granted["parts"] == [part], f"asked for {part}, granted {granted['parts']}")
            for hand in _first_frame_with_hands(line).hands:
                found = {p for p in PARTS if getattr(hand, p) is not None}
                expect(found <= {part}, f"asked for {part}, got {sorted(found)}")
                expect(bool(found) or part in ("vel", "kp2d"), f"asked for {part}, got nothing")
    return ", ".join(offered)


def _first_frame_with_hands(line: Line) -> StreamFrame:
    for heard in line.frames():
        if heard.frame is not None and heard.frame.hands:
            return heard.frame
    raise SkippedError("no hand was seen; hold one in view and run again")


def hands_are_honoured(target: Target) -> str:
    """Only hands of the sides that were asked for are sent."""
    with target.line() as line:
        for side in ("left", "right"):
            line.subscribe(hands=[side])
            for heard in line.frames(target.settings.observe_s / 4):
                sides = {hand.side for hand in heard.frame.hands} if heard.frame else set[str]()
                expect(sides <= {side}, f"asked for {side}, got {sorted(sides)}")
    return "left, right"


def max_hz_is_honoured(target: Target) -> str:
    """`max_hz` thins the stream."""
    with target.line() as line:
        line.subscribe(max_hz=_THINNED_HZ)
        count = sum(1 for _ in line.frames(_THINNED_S))
    most = _THINNED_HZ * _THINNED_S + 2
    expect(1 <= count <= most, f"{count} frames in {_THINNED_S:g} s at {_THINNED_HZ:g} Hz")
    return f"{count} frames in {_THINNED_S:g} s at {_THINNED_HZ:g} Hz"


def axes_are_honoured(target: Target) -> str:
    """Each of the seven frames is OpenXR's, turned as its golden vectors say."""
    with target.line() as plain, target.line() as turned:
        plain.subscribe(parts=["joints", "kp3d"])
        for name in AXES:
            granted = turned.subscribe(parts=["joints", "kp3d"], frame=name)["frame"]
            expect(granted == name, f"asked for {name}, granted {granted}")
            a, b = _same_frame(plain, turned)
            _compare_axes(name, a, b)
    return ", ".join(AXES)


def _same_frame(one: Line, other: Line) -> tuple[StreamFrame, StreamFrame]:
    """Return a frame with hands that both lines get."""
    wanted = _first_frame_with_hands(other)
    for heard in one.frames():
        if heard.frame is not None and heard.seq >= wanted.seq:
            expect(heard.seq == wanted.seq, f"frame {wanted.seq} came on one line only")
            return heard.frame, wanted
    raise FailedError("the two lines have no frame in common")


def _compare_axes(name: str, plain: StreamFrame, turned: StreamFrame) -> None:
    change = AXES[name]
    for a, b in zip(plain.hands, turned.hands, strict=True):
        pairs = {
            "positions": (change.points(a.positions), b.positions),
            "orientations": (change.quaternions(a.orientations), b.orientations),
            "radii": (a.radii * change.units_per_m, b.radii),
        }
        for what, (expected, found) in pairs.items():
            allowed = _CLOSE * max(1.0, float(np.abs(expected).max()))
            off = float(np.abs(expected - found).max())
            expect(off <= allowed, f"{name}: {what} are off by {off:.2g}")


def q16_is_close_to_f32(target: Target) -> str:
    """`precision: q16` changes quaternions and radii by no more than a step."""
    with target.line() as plain, target.line() as coarse:
        plain.subscribe(parts=["joints"])
        coarse.subscribe(parts=["joints"], precision="q16")
        a, b = _same_frame(plain, coarse)
    for x, y in zip(a.hands, b.hands, strict=True):
        turn = float(np.abs(x.orientations - y.orientations).max())
        radius = float(np.abs(x.radii - y.radii).max())
        expect(turn <= _Q16_QUATERNION, f"quaternions are off by {turn:.2g}")
        expect(radius <= _Q16_RADIUS_M, f"radii are off by {radius:.2g} m")
    return "within a step of 16 bits"


def time_is_echoed(target: Target) -> str:
    """`time` comes back with `t0` as it was and the server's clock, which goes forward."""
    with target.line() as line:
        clocks: list[int] = []
        for t0 in (12345, 0, -7):
            line.send(type="time", t0=t0)
            reply = line.control("time")
            expect(reply["t0"] == t0, f"t0 {t0} came back as {reply['t0']}")
            clocks.append(reply["t1"])
    expect(clocks == sorted(clocks), f"the clock went {clocks}")
    return "three times"


def acks_keep_the_newest(target: Target) -> str:
    """A silent client gets its window of frames; one `ack` then brings the newest, not the next."""
    with target.line() as line, target.line() as witness:
        witness.subscribe()
        line.subscribe(flow="ack", window=_WINDOW)
        before = [h.seq for h in line.frames(target.settings.silence_s)]
        expect(len(before) == _WINDOW, f"{len(before)} frames came without ack, not {_WINDOW}")
        known = max((h.seq for h in witness.frames(_DRAIN_S)), default=0)
        line.send(type="ack", seq=before[0])
        newest = line.frame().seq
    expect(newest > before[-1] + 1, f"after frames {before}, the ack brought {newest}")
    expect(newest >= known, f"the ack brought frame {newest}; frame {known} was out already")
    return f"{_WINDOW} frames in {target.settings.silence_s:g} s, then {newest - before[-1]} on"


def _nonsense(target: Target, text: str) -> str:
    """Send nonsense: an `error` that is not fatal comes back, and the connection lives."""
    with target.line() as line:
        line.connection.send(text)
        error = line.control("error")
        expect(error.get("fatal") is False, f"the answer is {error}")
        line.send(type="time", t0=1)
        line.control("time")
    return str(error.get("message", ""))[:60]


def invalid_json_is_an_error(target: Target) -> str:
    """Text that is no JSON is answered with `error`."""
    return _nonsense(target, "{nope")


def unknown_type_is_an_error(target: Target) -> str:
    """A message of unknown type is answered with `error`."""
    return _nonsense(target, '{"type":"reboot"}')


def deep_nesting_is_an_error(target: Target) -> str:
    """2 000 brackets are answered with `error`."""
    return _nonsense(target, "[" * 2000)


def bad_parts_are_an_error(target: Target) -> str:
    """Unknown parts are answered with `error`."""
    return _nonsense(target, '{"type":"subscribe","parts":["rm -rf"]}')


def unknown_frame_is_an_error(target: Target) -> str:
    """Unknown axes are answered with `error`."""
    return _nonsense(target, '{"type":"subscribe","frame":"cobol"}')


def the_fifth_bad_message_ends_it(target: Target) -> str:
    """Five bad messages close the connection with 1008; four do not."""
    with target.line() as line:
        for count in range(1, MAX_BAD_MESSAGES + 1):
            line.connection.send("{nope")
            fatal = line.control("error").get("fatal")
            expect(fatal is (count == MAX_BAD_MESSAGES), f"error {count} has fatal {fatal}")
        code = line.close_code()
    expect(code == _POLICY, f"closed with {code}")
    return f"closed with {code}"


def _ends_with(target: Target, data: str | bytes, expected: int) -> str:
    with target.line() as line:
        line.connection.send(data)
        code = line.close_code()
    expect(code == expected, f"closed with {code}, not {expected}")
    return f"closed with {code}"


def a_long_message_ends_it(target: Target) -> str:
    """A message above 4 KiB closes the connection with 1009."""
    return _ends_with(target, "x" * (MAX_MESSAGE + 1), _TOO_BIG)


def a_binary_message_ends_it(target: Target) -> str:
    """A binary message closes the connection with 1003."""
    return _ends_with(target, b"\0\1", _UNSUPPORTED)


def malformed_messages_are_survived(target: Target) -> str:
    """Thousands of malformed messages: each line is closed with 1008, and the server goes on."""
    texts = malformed_messages(random.Random(0))
    lines = -(-target.settings.malformed_messages // MAX_BAD_MESSAGES)
    start = time.monotonic()
    for _ in range(lines):
        with target.line(JSON) as line:
            try:
                for _ in range(MAX_BAD_MESSAGES):
                    line.connection.send(next(texts))
                code = line.close_code()
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else None
            expect(code == _POLICY, f"closed with {code}, not {_POLICY}")
    with target.line() as line:
        line.frame()
    took = time.monotonic() - start
    return f"{lines * MAX_BAD_MESSAGES} messages on {lines} lines in {took:.1f} s"


def malformed_messages(rng: random.Random) -> Iterator[str]:
    """Yield messages that break the protocol, without end."""
    while True:
        text = rng.choice(_MUTATIONS)(rng)
        try:
            parse_client_message(text)
        except ProtocolError as error:
            if error.code == "bad_message" and 0 < len(text.encode()) <= MAX_MESSAGE:
                yield text


_VALID: Final = (
    '{"type":"subscribe","parts":["joints","kp3d"],"frame":"unity","max_hz":60,"window":2}',
    '{"type":"ack","seq":7}',
    '{"type":"time","t0":123}',
)
_STRANGE: Final = (
    *(None, True, -1, 1e308, 10**400, "", "joints", [], [[]], {}, [None]),
    *(["joints"] * 99 + [0], {"a": {"b": []}}, "\u0000\ud83d\ude00", float("nan"), float("inf")),
)


def _flipped(rng: random.Random) -> str:
    text = list(rng.choice(_VALID))
    for _ in range(rng.randint(1, 4)):
        text[rng.randrange(len(text))] = chr(rng.randint(32, 126))
    return "".join(text)


def _cut(rng: random.Random) -> str:
    text = rng.choice(_VALID)
    return text[: rng.randint(1, len(text) - 1)]


def _misused(rng: random.Random) -> str:
    """Write a known message with a strange value in one of its fields."""
    kind, field = rng.choice(
        [("subscribe", key) for key in ("parts", "frame", "hands", "max_hz", "flow", "window")]
        + [("ack", "seq"), ("time", "t0"), ("subscribe", "precision"), ("ack", "type")]
    )
    return json.dumps({"type": kind, field: rng.choice(_STRANGE)})


def _nested(bracket: str, rng: random.Random) -> str:
    return bracket * rng.randint(1, MAX_MESSAGE // len(bracket))


def _noise(rng: random.Random) -> str:
    return "".join(chr(rng.choice((rng.randint(1, 0x7F), 0x20AC, 0x1F44B))) for _ in range(40))


_MUTATIONS: Final = (
    *(_flipped, _cut, _misused, _noise),
    *(partial(_nested, bracket) for bracket in ("[", '{"a":', '"')),
)

CHECKS: Final[tuple[Check, ...]] = (
    parts_are_honoured,
    hands_are_honoured,
    max_hz_is_honoured,
    axes_are_honoured,
    q16_is_close_to_f32,
    time_is_echoed,
    acks_keep_the_newest,
    invalid_json_is_an_error,
    unknown_type_is_an_error,
    deep_nesting_is_an_error,
    bad_parts_are_an_error,
    unknown_frame_is_an_error,
    the_fifth_bad_message_ends_it,
    a_long_message_ends_it,
    a_binary_message_ends_it,
    malformed_messages_are_survived,
)
