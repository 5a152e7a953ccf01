r"""Frames as bytes: the encoding of `handstream.v1.bin`.

Little-endian, every block starts on a multiple of four bytes:

======== ===== =====================================================================================
header   48 B  "HS1\0", minor u8, type u8 (1 = frame), header length u16, camera frame u32,
               session u32, seq u64, capture i64 ns, publish i64 ns, hands u8, flags u8, pad u16,
               payload length u32
hand     32 B  block length u32, id u32, side u8 (1 left, 2 right), state u8 (0 lost, 1 tracked,
               2 predicted), sections u8, pad u8, score f32, side score f32 (-1 unknown),
               emulated joints u32, scale f32, pad u32
section   8 B  type u8, encoding u8, count u16, bytes u32; then the bytes, then zeros up to 4
======== ===== =====================================================================================

==== ======= ==================== ================================================================
type part    encoding             content
==== ======= ==================== ================================================================
1    joints  0 f32, 832 B         26 x (x y z, qx qy qz qw, radius); always the first section
1    joints  1 q16, 624 B         26 x (3 f32, 4 i16 / 32767, radius u16 in 10 micrometres, pad u16)
2    kp3d    0 f32, 252 B         21 x (x y z)
3    kp2d    0 f32, 168 B         21 x (u v)
4    mano    0 f32, 244 B         3 global orientation, 45 pose, 10 shape, 3 translation
5    verts   2 f16, 12 + 6 n B    origin (3 f32), then n x (3 f16) relative to it
6    vel     0 f32, 624 B         26 x (3 linear, 3 angular)
7    pinch   0 f32, 16 B          index, middle, ring, little
==== ======= ==================== ================================================================

A reader goes by the lengths it finds, so anything newer is skipped. Every length is checked before
memory is looked at. What is read are views of the message, not copies.
"""

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np

from tracker.stream.errors import ProtocolError
from tracker.stream.frames import AXES, Axes
from tracker.stream.protocol import Precision
from tracker.stream.records import Side, State, StreamFrame, StreamHand

_MAGIC: Final = b"HS1\0"
_FRAME: Final = 1
_HEADER: Final = struct.Struct("<4sBBHIIQqqBBHI")
_HAND: Final = struct.Struct("<IIBBBBffIfI")
_SECTION: Final = struct.Struct("<BBHI")

_SIDES: Final[dict[int, Side]] = {1: "left", 2: "right"}
_STATES: Final[dict[int, State]] = {0: "lost", 1: "tracked", 2: "predicted"}
_SIDE_CODES: Final = {side: code for code, side in _SIDES.items()}
_STATE_CODES: Final = {state: code for code, state in _STATES.items()}

_F32, _Q16, _F16_AROUND_ORIGIN = 0, 1, 2
_JOINTS, _VERTS = 1, 5
_PLAIN: Final = {
    1: ("joints", (26, 8)),
    2: ("kp3d", (21, 3)),
    3: ("kp2d", (21, 2)),
    4: ("mano", (61,)),
    6: ("vel", (26, 6)),
    7: ("pinch", (4,)),
}
"""Section types of plain f32 numbers: name of the part and its shape."""
_Q16_JOINT: Final = np.dtype(
    [("xyz", "<f4", 3), ("quaternion", "<i2", 4), ("radius", "<u2"), ("pad", "<u2")]
)
_QUATERNION_STEPS: Final = 32767
_RADIUS_STEPS_PER_M: Final = 1e5
_NO_SIDE_SCORE: Final = -1.0


def encode_frame(frame: StreamFrame, precision: Precision = "f32") -> bytes:
    """Write a frame with the parts that its hands have.

    Args:
        frame: what to write.
        precision: `q16` stores the quaternions and radii of `joints` in 16 bits each: a quarter
            fewer bytes for at most 0.003 degrees.
    """
    payload = b"".join(_encode_hand(hand, precision) for hand in frame.hands)
    header = _HEADER.pack(
        *(_MAGIC, 0, _FRAME, _HEADER.size, frame.frame & 0xFFFFFFFF, frame.session, frame.seq),
        *(frame.t_capture_ns, frame.t_publish_ns, len(frame.hands), 0, 0, len(payload)),
    )
    return header + payload


def _encode_hand(hand: StreamHand, precision: Precision) -> bytes:
    sections = list(_sections(hand, precision))
    body = b"".join(sections)
    head = _HAND.pack(
        *(_HAND.size + len(body), hand.id, _SIDE_CODES[hand.side], _STATE_CODES[hand.state]),
        *(len(sections), 0, hand.score),
        _NO_SIDE_SCORE if hand.side_score is None else hand.side_score,
        *(hand.emulated, hand.scale, 0),
    )
    return head + body


def _sections(hand: StreamHand, precision: Precision) -> Iterator[bytes]:
    for kind, (part, _) in _PLAIN.items():
        values = getattr(hand, part)
        if values is None:
            continue
        if kind == _JOINTS and precision == "q16":
            yield _section(kind, _Q16, len(values), _quantised(values, hand.axes))
        else:
            yield _section(kind, _F32, len(values), values.astype("<f4").tobytes())
    if hand.verts is not None:
        origin = hand.verts[0].astype("<f4")
        offsets = (hand.verts - origin).astype("<f2")
        content = origin.tobytes() + offsets.tobytes()
        yield _section(_VERTS, _F16_AROUND_ORIGIN, len(hand.verts), content)


def _section(kind: int, encoding: int, count: int, content: bytes) -> bytes:
    return _SECTION.pack(kind, encoding, count, len(content)) + content + bytes(-len(content) % 4)


def _quantised(joints: np.ndarray, axes: Axes) -> bytes:
    packed = np.zeros(len(joints), _Q16_JOINT)
    packed["xyz"] = joints[:, :3]
    packed["quaternion"] = np.rint(joints[:, 3:7] * _QUATERNION_STEPS)
    steps = joints[:, 7] * (_RADIUS_STEPS_PER_M / AXES[axes].units_per_m)
    packed["radius"] = np.rint(steps).clip(1, 0xFFFF)
    return packed.tobytes()


def decode_frame(data: bytes, axes: Axes = "openxr") -> StreamFrame:
    """Read a frame; sections, sides and states that are not known are left out.

    Args:
        data: one binary message.
        axes: the frame that was subscribed to, which the message itself does not name.

    Raises:
        ProtocolError: the message is damaged, cut short, or holds numbers that are not finite.
    """
    try:
        return _decode_frame(data, axes)
    except struct.error as error:
        raise ProtocolError(f"frame of {len(data)} bytes is cut short: {error}") from error


def _decode_frame(data: bytes, axes: Axes) -> StreamFrame:
    (magic, _, kind, start, number, session, seq, capture, publish, count, _, _, length) = (
        _HEADER.unpack_from(data)
    )
    end = start + length
    if magic != _MAGIC or kind != _FRAME or start < _HEADER.size or end > len(data):
        raise ProtocolError(f"{len(data)} bytes that begin with {data[:8]!r} are no whole frame")
    hands: list[StreamHand] = []
    for _ in range(count):
        hand, start = _decode_hand(data, start, end, axes)
        if hand is not None:
            hands.append(hand)
    return StreamFrame(seq, number, capture, publish, tuple(hands), session)


def _decode_hand(data: bytes, start: int, end: int, axes: Axes) -> tuple[StreamHand | None, int]:
    """Return the hand at `start`, None for one of an unknown side or state, and where it ends."""
    (length, track, side, state, count, _, score, side_score, emulated, scale, _) = (
        _HAND.unpack_from(data, start)
    )
    stop = start + length
    if length < _HAND.size or length % 4 or stop > end:
        raise ProtocolError(f"hand block of {length} bytes at {start} does not fit its frame")
    if not (np.isfinite(score) and np.isfinite(side_score) and np.isfinite(scale)):
        raise ProtocolError(f"hand {track} has a score or scale that is not finite")
    parts = dict(_decode_sections(data, start + _HAND.size, stop, count))
    if side not in _SIDES or state not in _STATES:
        return None, stop
    if "joints" in parts:
        parts["joints"] = _readable_joints(parts["joints"], axes)
    for part, values in parts.items():
        if not np.isfinite(values).all():
            raise ProtocolError(f"hand {track} has numbers in {part!r} that are not finite")
    certain = None if side_score < 0 else side_score
    hand = StreamHand(
        track, _SIDES[side], _STATES[state], score, certain, scale, emulated, axes, **parts
    )
    return hand, stop


def _decode_sections(
    data: bytes, start: int, stop: int, count: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and numbers of every section that is known."""
    for _ in range(count):
        if start + _SECTION.size > stop:
            raise ProtocolError(f"section at {start} overruns its hand")
        kind, encoding, rows, length = _SECTION.unpack_from(data, start)
        start += _SECTION.size
        if start + length > stop:
            raise ProtocolError(f"section of {length} bytes at {start} overruns its hand")
        if kind in _PLAIN and encoding == _F32:
            part, shape = _PLAIN[kind]
            _expect_bytes(part, length, 4 * int(np.prod(shape)))
            yield part, np.frombuffer(data, "<f4", length // 4, start).reshape(shape)
        elif kind == _JOINTS and encoding == _Q16:
            _expect_bytes("joints", length, 26 * _Q16_JOINT.itemsize)
            yield "joints", np.frombuffer(data, _Q16_JOINT, 26, start)
        elif kind == _VERTS and encoding == _F16_AROUND_ORIGIN:
            _expect_bytes("verts", length, 12 + 6 * rows)
            origin = np.frombuffer(data, "<f4", 3, start)
            offsets = np.frombuffer(data, "<f2", 3 * rows, start + 12).reshape(rows, 3)
            with np.errstate(invalid="ignore", over="ignore"):  # refused later, as not finite
                yield "verts", origin + offsets.astype(np.float32)
        start += length + -length % 4


def _expect_bytes(part: str, found: int, expected: int) -> None:
    if found != expected:
        raise ProtocolError(f"section {part!r} has {found} bytes; expected {expected}")


def _readable_joints(joints: np.ndarray, axes: Axes) -> np.ndarray:
    """Return rows of eight f32 whichever way the joints were stored."""
    if joints.dtype != _Q16_JOINT:
        return joints
    rows = np.empty((26, 8), np.float32)
    rows[:, :3] = joints["xyz"]
    rows[:, 3:7] = joints["quaternion"] / np.float32(_QUATERNION_STEPS)
    rows[:, 7] = joints["radius"] * (AXES[axes].units_per_m / _RADIUS_STEPS_PER_M)
    return rows
