"""The binary encoding: what is written is read, and bytes from strangers are refused in one way only."""

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stream.stream_strategies import SHAPES, axes, frame_fields
from tracker.stream.binary import decode_frame, encode_frame
from tracker.stream.errors import ProtocolError
from tracker.stream.frames import AXES
from tracker.stream.records import StreamFrame, StreamHand

FUZZ, SHARDS = 2_000, 5


def small_hand(**parts) -> StreamHand:
    return StreamHand(7, "left", "tracked", 0.5, None, 1.0, 2164801, **parts)


def joints_of(rng: np.random.Generator) -> np.ndarray:
    joints = rng.normal(size=(26, 8)).astype(np.float32)
    joints[:, 3:7] /= np.linalg.norm(joints[:, 3:7], axis=1, keepdims=True)
    joints[:, 7] = rng.uniform(0.004, 0.03, 26)
    return joints


def frame_of(*hands: StreamHand) -> StreamFrame:
    return StreamFrame(9, 4, 1_000, 2_000, hands, 77)


@pytest.fixture
def full_frame(rng: np.random.Generator) -> StreamFrame:
    parts = {n: rng.uniform(-0.3, 0.3, s).astype(np.float32) for n, s in SHAPES.items()}
    hand = small_hand(**(parts | {"joints": joints_of(rng)}))
    return frame_of(hand, replace(hand, id=8, side="right", verts=None))


@given(fields=frame_fields())
def test_what_is_written_is_read(fields: dict):
    frame = StreamFrame(**fields)
    axes = frame.hands[0].axes if frame.hands else "openxr"
    found = decode_frame(encode_frame(frame), axes)
    assert replace(found, hands=()) == replace(frame, hands=())
    for hand, expected in zip(found.hands, frame.hands, strict=True):
        bare = dict.fromkeys(SHAPES)
        assert replace(hand, **bare) == replace(expected, **bare)
        for name in SHAPES:
            part, sent = getattr(hand, name), getattr(expected, name)
            if sent is None:
                assert part is None
            elif name == "verts":
                np.testing.assert_allclose(part, sent, atol=2.5e-4)
            else:
                np.testing.assert_array_equal(part, sent)


@given(axes=axes, seed=st.integers(0, 1000))
def test_sixteen_bits_keep_angles_and_radii(axes: str, seed: int):
    joints = joints_of(np.random.default_rng(seed))
    joints[:, 7] *= AXES[axes].units_per_m
    frame = frame_of(small_hand(axes=axes, joints=joints))
    found = decode_frame(encode_frame(frame, "q16"), axes).hands[0]
    np.testing.assert_array_equal(found.positions, joints[:, :3])
    cosine = np.abs(
        np.einsum("ji,ji->j", found.orientations.astype(float), joints[:, 3:7].astype(float))
    )
    norm = np.linalg.norm(found.orientations.astype(float), axis=1)
    norm *= np.linalg.norm(joints[:, 3:7].astype(float), axis=1)
    assert np.degrees(2 * np.arccos((cosine / norm).clip(max=1))).max() < 0.006
    np.testing.assert_allclose(found.radii, joints[:, 7], atol=6e-6 * AXES[axes].units_per_m)


def test_vertices_lose_less_than_a_tenth_of_a_millimetre(make_hand_in_view):
    vertices = make_hand_in_view(0).vertices
    found = decode_frame(encode_frame(frame_of(small_hand(verts=vertices)))).hands[0]
    assert np.linalg.norm(found.verts - vertices, axis=1).max() < 1e-4


def test_the_sizes_are_those_of_the_specification(rng):
    one = small_hand(joints=joints_of(rng))
    keypoints = {"kp3d": np.zeros((21, 3)), "kp2d": np.zeros((21, 2))}
    assert len(encode_frame(frame_of(one))) == 920
    assert len(encode_frame(frame_of(one, one))) == 1792
    assert len(encode_frame(frame_of(one), "q16")) == 712
    assert len(encode_frame(frame_of(replace(one, **keypoints)))) == 1356
    assert len(encode_frame(frame_of(replace(one, **keypoints, mano=np.zeros(61))))) == 1608
    assert len(encode_frame(frame_of())) == 48


def test_joints_lie_where_readers_without_a_parser_look(rng):
    joints = joints_of(rng)
    data = encode_frame(frame_of(small_hand(joints=joints, pinch=np.zeros(4))))
    assert data[:4] == b"HS1\0"
    assert struct.unpack_from("<H", data, 6) == (48,)
    assert struct.unpack_from("<IIQqq", data, 8) == (4, 77, 9, 1000, 2000)
    assert data[40] == 1  # hands
    assert struct.unpack_from("<II4B", data, 48) == (len(data) - 48, 7, 1, 1, 2, 0)
    assert np.array_equal(np.frombuffer(data, "<f4", 208, 88).reshape(26, 8), joints)


def with_section(data: bytes, section: bytes) -> bytes:
    """Put one more section behind those of the only hand."""
    out = bytearray(data + section)
    struct.pack_into("<I", out, 44, len(out) - 48)
    struct.pack_into("<I", out, 48, len(out) - 48)
    out[58] += 1
    return bytes(out)


def test_unknown_sections_encodings_and_longer_headers_are_skipped(rng):
    data = encode_frame(frame_of(small_hand(joints=joints_of(rng))))
    expected = decode_frame(data).hands[0].joints
    newer = with_section(data, struct.pack("<BBHI", 99, 0, 1, 3) + b"abc\0")
    newer = with_section(newer, struct.pack("<BBHI", 5, 9, 1, 4) + b"abcd")
    longer = bytearray(newer[:48] + bytes(8) + newer[48:])
    struct.pack_into("<H", longer, 6, 56)
    for message in (newer, bytes(longer), data + b"trailing"):
        hand = decode_frame(message).hands[0]
        np.testing.assert_array_equal(hand.joints, expected)
        assert hand.verts is None


@pytest.mark.parametrize(("offset", "value"), [(56, 3), (57, 9)], ids=["side", "state"])
def test_hands_of_an_unknown_kind_are_left_out(rng, offset: int, value: int):
    hand = small_hand(joints=joints_of(rng))
    data = bytearray(encode_frame(frame_of(hand, replace(hand, id=8))))
    data[offset] = value
    assert [h.id for h in decode_frame(bytes(data)).hands] == [8]


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, b"HS2\0"),
        (5, b"\x02"),
        (6, struct.pack("<H", 47)),
        (44, struct.pack("<I", 10**6)),
        (48, struct.pack("<I", 31)),
        (48, struct.pack("<I", 10**6)),
        (60, struct.pack("<f", np.nan)),
        (84, struct.pack("<I", 828)),
        (84, struct.pack("<I", 10**6)),
        (88, struct.pack("<f", np.inf)),
    ],
)
def test_damage_is_refused(rng, offset: int, value: bytes):
    data = bytearray(encode_frame(frame_of(small_hand(joints=joints_of(rng)))))
    data[offset : offset + len(value)] = value
    with pytest.raises(ProtocolError):
        decode_frame(bytes(data))


def test_every_shortening_is_refused(full_frame):
    data = encode_frame(replace(full_frame, hands=full_frame.hands[1:]))
    for length in range(len(data)):
        with pytest.raises(ProtocolError):
            decode_frame(data[:length])


@pytest.mark.parametrize("shard", range(SHARDS))
def test_mutated_frames_are_read_or_refused(full_frame, shard: int):
    """Nothing but `ProtocolError` comes out, and no part of another shape."""
    rng = np.random.default_rng(shard)
    bases = [encode_frame(full_frame), encode_frame(full_frame, "q16"), encode_frame(frame_of())]
    read = refused = 0
    for case in range(FUZZ):
        data = bytearray(bases[case % 3])
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(0, min(len(data), 200) if case % 2 else len(data))] = rng.integers(
                256
            )
        if case % 5 == 0:
            del data[rng.integers(0, len(data)) :]
        try:
            frame = decode_frame(bytes(data))
        except ProtocolError:
            refused += 1
            continue
        read += 1
        for hand in frame.hands:
            assert hand.joints is None or hand.joints.shape == (26, 8)
    assert read > FUZZ / 10
    assert refused > FUZZ / 10
