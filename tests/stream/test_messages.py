"""The JSON side: frames as text, and what clients may and may not say."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stream.stream_strategies import SHAPES, frame_fields
from tracker.stream.errors import ProtocolError
from tracker.stream.messages import (
    Ack,
    TimeRequest,
    encode_frame_text,
    error_message,
    parse_client_message,
    parse_server_message,
    subscribe_message,
    subscribed_message,
)
from tracker.stream.protocol import PARTS, SIDES, Subscription
from tracker.stream.records import StreamFrame, StreamHand

subscription_fields = st.fixed_dictionaries(
    {
        "parts": st.sets(st.sampled_from(PARTS)).map(lambda s: tuple(p for p in PARTS if p in s)),
        "frame": st.sampled_from(["openxr", "unity", "ros"]),
        "hands": st.sets(st.sampled_from(SIDES)).map(lambda s: tuple(p for p in SIDES if p in s)),
        "max_hz": st.floats(0, 1000),
        "flow": st.sampled_from(["latest", "ack"]),
        "window": st.integers(1, 16),
        "precision": st.sampled_from(["f32", "q16"]),
    }
)


@given(fields=frame_fields())
def test_frames_survive_as_text(fields: dict):
    frame = StreamFrame(**fields)
    axes = frame.hands[0].axes if frame.hands else "openxr"
    found = parse_server_message(encode_frame_text(frame), axes)
    assert isinstance(found, StreamFrame)
    assert replace(found, hands=()) == replace(frame, hands=())
    for hand, sent in zip(found.hands, frame.hands, strict=True):
        assert (hand.id, hand.side, hand.state, hand.axes) == (sent.id, sent.side, sent.state, axes)
        assert hand.emulated == sent.emulated
        assert hand.score == pytest.approx(sent.score, abs=6e-4)
        assert (hand.side_score is None) == (sent.side_score is None)
        for name in SHAPES:
            part, expected = getattr(hand, name), getattr(sent, name)
            assert (part is None) == (expected is None)
            if expected is not None:
                np.testing.assert_allclose(part, expected, rtol=1e-6, atol=6e-6)


def test_numbers_are_short(make_hand_in_view):
    joints = np.full((26, 8), 0.123456789, np.float32)
    hand = StreamHand(1, "right", "tracked", 0.9, None, 1.0, 0, joints=joints)
    text = encode_frame_text(StreamFrame(1, 1, 0, 0, (hand,)))
    assert json.loads(text)["hands"][0]["joints"][3][2] == 0.12346
    assert len(text) < 2000


@given(fields=subscription_fields)
def test_subscriptions_survive(fields: dict):
    subscription = Subscription(**fields)
    assert parse_client_message(subscribe_message(subscription)) == subscription
    reply = json.loads(subscribed_message(subscription, "handstream.v1.bin"))
    assert reply["type"] == "subscribed"
    assert reply["encoding"] == "handstream.v1.bin"
    assert tuple(reply["parts"]) == subscription.parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"type":"subscribe"}', Subscription()),
        (
            '{"type":"subscribe","parts":["pinch","joints","pinch"]}',
            Subscription(("joints", "pinch")),
        ),
        ('{"type":"subscribe","max_hz":60,"colour":"red","v":2}', Subscription(max_hz=60.0)),
        ('{"type":"ack"}', Ack(None)),
        ('{"type":"ack","seq":1041}', Ack(1041)),
        ('{"type":"time","t0":123}', TimeRequest(123)),
        ('{"type":"time","t0":0.5}', TimeRequest(0.5)),
    ],
)
def test_messages_are_understood(text: str, expected: object):
    assert parse_client_message(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "{nope", "[]", "7", "null", '"subscribe"', "{}", '{"type":7}', '{"type":null}'),
        *("[" * 4000, '{"type":' * 1000, '{"type":"ack","seq":' + "9" * 4000 + "}"),
        '{"type":"subscribe","parts":["rm -rf"]}',
        '{"type":"subscribe","parts":"joints"}',
        '{"type":"subscribe","parts":[["joints"]]}',
        '{"type":"subscribe","parts":{"joints":1}}',
        '{"type":"subscribe","frame":"martian"}',
        '{"type":"subscribe","frame":null}',
        '{"type":"subscribe","hands":["both"]}',
        '{"type":"subscribe","max_hz":-1}',
        '{"type":"subscribe","max_hz":"60"}',
        '{"type":"subscribe","max_hz":true}',
        '{"type":"subscribe","max_hz":NaN}',
        '{"type":"subscribe","max_hz":1e999}',
        '{"type":"subscribe","flow":"fast"}',
        '{"type":"subscribe","window":0}',
        '{"type":"subscribe","window":17}',
        '{"type":"subscribe","window":2.5}',
        '{"type":"subscribe","precision":"f64"}',
        '{"type":"ack","seq":-1}',
        '{"type":"ack","seq":1.5}',
        '{"type":"ack","seq":null}',
        '{"type":"time"}',
        '{"type":"time","t0":"now"}',
        '{"type":"time","t0":' + "[" * 300 + "]" * 300 + "}",
    ],
)
def test_nonsense_is_refused(text: str):
    with pytest.raises(ProtocolError) as caught:
        parse_client_message(text)
    assert caught.value.code == "bad_message"
    assert len(error_message(caught.value, fatal=False)) < 400


def test_an_unknown_type_is_told_apart():
    with pytest.raises(ProtocolError) as caught:
        parse_client_message('{"type":"reboot","now":true}')
    assert caught.value.code == "unknown_type"
    assert json.loads(error_message(caught.value, fatal=True)) == {
        "type": "error",
        "code": "unknown_type",
        "message": "type: unknown 'reboot'; expected subscribe, ack or time",
        "fatal": True,
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = ("parts", "frame", "hands", "max_hz", "flow", "window", "precision", "seq", "t0")


@given(
    kind=st.sampled_from(["subscribe", "ack", "time"]) | json_values,
    fields=st.dictionaries(st.sampled_from(FIELDS), json_values),
)
def test_any_json_is_understood_or_refused(kind: object, fields: dict):
    try:
        parse_client_message(json.dumps({"type": kind, **fields}))
    except ProtocolError as error:
        assert str(error)  # noqa: PT017  (either outcome is right)


@given(
    changed=st.sampled_from(
        ["seq", "hands", "t_capture_ns", "joints", "side", "score", "id", "kp3d"]
    ),
    value=json_values,
)
def test_a_strange_servers_frames_are_read_or_refused(changed: str, value: object):
    hand = {"id": 1, "side": "left", "state": "tracked", "score": 1, "scale": 1, "emulated": 0}
    message = {"type": "frame", "seq": 1, "frame": 1, "t_capture_ns": 0, "t_publish_ns": 0}
    target = hand if changed in (*hand, "joints", "kp3d") else message
    message["hands"] = [hand]
    target[changed] = value
    try:
        found = parse_server_message(json.dumps(message))
    except ProtocolError:
        return
    assert isinstance(found, StreamFrame)


def test_other_messages_of_a_server_come_as_they_are():
    assert parse_server_message('{"type":"bye","reason":"shutdown"}') == {
        "type": "bye",
        "reason": "shutdown",
    }
