"""Control messages, and frames as text: the JSON side of `handstream/1`."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import numpy as np

from tracker.stream.errors import ProtocolError
from tracker.stream.frames import AXES, Axes
from tracker.stream.protocol import MAX_HZ, MAX_WINDOW, PARTS, SIDES, Subscription
from tracker.stream.records import StreamFrame, StreamHand

_DECIMALS: Final = 5
"""A hundredth of a millimetre; of a pixel for `kp2d`."""
_SHAPES: Final[dict[str, tuple[int, ...]]] = {
    "joints": (26, 8),
    "kp3d": (21, 3),
    "kp2d": (21, 2),
    "mano": (61,),
    "verts": (-1, 3),
    "vel": (26, 6),
    "pinch": (4,),
}
_MAX_TIME: Final = 2**63


@dataclass(frozen=True)
class Ack:
    """The client is done with every frame up to `seq`; with one frame where it names none."""

    seq: int | None


@dataclass(frozen=True)
class TimeRequest:
    """The client asks for the server's clock; `t0` is sent back as it came."""

    t0: float | int


ClientMessage = Subscription | Ack | TimeRequest


def parse_client_message(text: str) -> ClientMessage:
    """Read what a client sent.

    Raises:
        ProtocolError: it is no JSON object (`bad_message`), of no known type (`unknown_type`), or a
            field has a wrong value (`bad_message`). Fields that are not known are ignored.
    """
    message = _parse_object(text)
    kind = message.get("type")
    if kind == "subscribe":
        return _parse_subscription(message)
    if kind == "ack":
        return Ack(_integer(message, "seq", 0, _MAX_TIME) if "seq" in message else None)
    if kind == "time":
        return TimeRequest(_number(message, "t0", -_MAX_TIME, _MAX_TIME))
    if not isinstance(kind, str):
        raise ProtocolError("type: missing, or not a string; expected subscribe, ack or time")
    raise ProtocolError(
        f"type: unknown {kind[:40]!r}; expected subscribe, ack or time", "unknown_type"
    )


def _refuse_constant(name: str) -> float:
    raise ProtocolError(f"{name} is not JSON")


def _parse_object(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text, parse_constant=_refuse_constant)
    except ProtocolError:
        raise
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {str(error)[:80]}") from error
    if not isinstance(message, dict):
        raise ProtocolError(f"expected a JSON object, found {type(message).__name__}")
    return cast("dict[str, Any]", message)


def _parse_subscription(message: dict[str, Any]) -> Subscription:
    default = Subscription()
    return Subscription(
        parts=_choices(message, "parts", PARTS, default.parts),
        frame=_choice(message, "frame", tuple(AXES), default.frame),
        hands=_choices(message, "hands", SIDES, default.hands),
        max_hz=float(_number(message, "max_hz", 0, MAX_HZ, default.max_hz)),
        flow=_choice(message, "flow", ("latest", "ack"), default.flow),
        window=_integer(message, "window", 1, MAX_WINDOW, default.window),
        precision=_choice(message, "precision", ("f32", "q16"), default.precision),
    )


def _choice(message: dict[str, Any], key: str, known: tuple[str, ...], default: str) -> Any:
    value = message.get(key, default)
    if not isinstance(value, str) or value not in known:
        raise ProtocolError(f"{key}: unknown {_shown(value)}; expected one of {', '.join(known)}")
    return value


def _choices(
    message: dict[str, Any], key: str, known: tuple[str, ...], default: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the named words in the order of `known`, so that equal wishes are equal."""
    values = message.get(key, list(default))
    if not isinstance(values, list):
        raise ProtocolError(f"{key}: expected a list, found {_shown(values)}")
    for value in cast("list[Any]", values):
        if not isinstance(value, str) or value not in known:
            raise ProtocolError(f"{key}: unknown {_shown(value)}; expected {', '.join(known)}")
    return tuple(word for word in known if word in values)


def _number(
    message: dict[str, Any],
    key: str,
    low: float | int,
    high: float | int,
    default: float | int | None = None,
) -> float | int:
    value = message.get(key, default)
    right_kind = isinstance(value, int | float) and not isinstance(value, bool)
    if not right_kind or not low <= value <= high:
        raise ProtocolError(
            f"{key}: expected a number from {low:g} to {high:g}, found {_shown(value)}"
        )
    return value


def _integer(
    message: dict[str, Any], key: str, low: int, high: int, default: int | None = None
) -> int:
    value = _number(message, key, low, high, default)
    if not isinstance(value, int):
        raise ProtocolError(f"{key}: expected a whole number, found {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """A value short enough for a message."""
    try:
        return repr(value)[:40]
    except (RecursionError, ValueError):  # too deep, or an integer of thousands of digits
        return f"a {type(value).__name__}"


def subscribe_message(subscription: Subscription) -> str:
    """Write what a client wants."""
    return json.dumps({"type": "subscribe", **asdict(subscription)})


def subscribed_message(subscription: Subscription, encoding: str) -> str:
    """Write what a client gets."""
    return json.dumps({"type": "subscribed", "encoding": encoding, **asdict(subscription)})


def error_message(error: ProtocolError, *, fatal: bool) -> str:
    """Write what was wrong with a client's message."""
    content = {"type": "error", "code": error.code, "message": str(error), "fatal": fatal}
    return json.dumps(content)


def encode_frame_text(frame: StreamFrame) -> str:
    """Write a frame with the parts that its hands have, numbers rounded to 5 decimals."""
    content = {
        "type": "frame",
        "seq": frame.seq,
        "frame": frame.frame,
        "session": frame.session,
        "t_capture_ns": frame.t_capture_ns,
        "t_publish_ns": frame.t_publish_ns,
        "hands": [_hand_content(hand) for hand in frame.hands],
    }
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _hand_content(hand: StreamHand) -> dict[str, Any]:
    content: dict[str, Any] = {
        "id": hand.id,
        "side": hand.side,
        "state": hand.state,
        "score": round(hand.score, 3),
        "scale": round(hand.scale, 4),
        "emulated": hand.emulated,
    }
    if hand.side_score is not None:
        content["side_score"] = round(hand.side_score, 3)
    for part in PARTS:
        values = getattr(hand, part)
        if values is not None:
            # As float64: a rounded float32 would be written with all its stray digits.
            content[part] = values.astype(np.float64).round(_DECIMALS).tolist()
    return content


def parse_server_message(text: str, axes: Axes = "openxr") -> dict[str, Any] | StreamFrame:
    """Read what a server sent: a frame, or another message as decoded JSON.

    Args:
        text: one text message.
        axes: the frame that was subscribed to, which the message itself does not name.

    Raises:
        ProtocolError: it is no JSON object, or a frame lacks something or has wrong shapes.
    """
    message = _parse_object(text)
    if message.get("type") != "frame":
        return message
    try:
        hands = tuple(
            _parse_hand(hand, axes)
            for hand in message["hands"]
            if hand["side"] in SIDES and hand["state"] in ("tracked", "predicted", "lost")
        )
        whole: Callable[[str], int] = lambda key: _integer(message, key, 0, _MAX_TIME)  # noqa: E731
        return StreamFrame(
            seq=whole("seq"),
            frame=whole("frame"),
            t_capture_ns=whole("t_capture_ns"),
            t_publish_ns=whole("t_publish_ns"),
            hands=hands,
            session=whole("session") if "session" in message else 0,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"frame: {type(error).__name__} {str(error)[:80]}") from error


def _parse_hand(hand: dict[str, Any], axes: Axes) -> StreamHand:
    with np.errstate(over="ignore"):  # what is too large for float32 is refused as infinite
        parts = {
            part: np.array(hand[part], np.float32).reshape(shape)
            for part, shape in _SHAPES.items()
            if part in hand
        }
    numbers = [float(hand[key]) for key in ("score", "scale")]
    certain = float(hand["side_score"]) if "side_score" in hand else None
    if not all(map(math.isfinite, numbers)) or not all(
        np.isfinite(p).all() for p in parts.values()
    ):
        raise ProtocolError("a hand has numbers that are not finite")
    return StreamHand(
        id=_integer(hand, "id", 0, 2**32 - 1),
        side=hand["side"],
        state=hand["state"],
        score=numbers[0],
        side_score=certain,
        scale=numbers[1],
        emulated=_integer(hand, "emulated", 0, 2**32 - 1),
        axes=axes,
        **parts,
    )
