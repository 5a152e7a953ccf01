"""Conformance: what every frame must keep to; judged on one stretch of the stream."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np

from tracker.geometry.skeleton import OPENXR_JOINTS
from tracker.stream.conformance_checks_base import (
    Check,
    FailedError,
    Heard,
    SkippedError,
    Target,
    expect,
)
from tracker.stream.records import StreamHand

_PALM, _WRIST = 0, 1
_TIPS: Final = np.array([j for j, name in enumerate(OPENXR_JOINTS) if name.endswith("_tip")])
_BONES: Final = np.array([j for j in range(2, len(OPENXR_JOINTS)) if j not in _TIPS])
"""Joints whose bone leads to the joint after them."""
_MIDDLE, _INDEX_MCP, _LITTLE_MCP = (
    OPENXR_JOINTS.index(name) for name in ("middle_metacarpal", "index_proximal", "little_proximal")
)
_CLOSE: Final = 1e-5
"""Metres; also what JSON rounds to."""
_MAX_BONE_ANGLE: Final = 0.1
"""Degrees."""
_LONGEST_PAUSE_S: Final = 1.0


def seq_is_contiguous(target: Target) -> str:
    """`seq` goes up by one from frame to frame."""
    for heard in (target.recording.binary, target.recording.text):
        for before, after in pairwise(heard):
            expect(after.seq == before.seq + 1, f"seq {before.seq} is followed by {after.seq}")
    return f"{len(target.recording.binary)} frames without a gap"


def session_is_that_of_hello(target: Target) -> str:
    """Frames carry the session that `hello` names."""
    with target.line() as line:
        session = line.control("hello")["session"]
    found = {frame.session for frame in target.recording.frames}
    expect(found == {session}, f"frames carry {found}, hello says {session}")
    return f"session {session}"


def frames_can_be_read(target: Target) -> str:
    """Every frame has the shapes and lengths of the protocol, all 26 joints or no hand."""
    for heard in [*target.recording.binary, *target.recording.text]:
        if heard.frame is None:
            expect(_is_about_numbers(heard), f"frame {heard.seq}: {heard.fault}")
        else:
            bare = [hand.id for hand in heard.frame.hands if hand.joints is None]
            expect(not bare, f"frame {heard.seq}: hands {bare} have no joints")
    return f"{len(target.recording.frames)} binary frames"


def no_number_is_nan(target: Target) -> str:
    """No number is NaN or infinite, in text or binary."""
    for heard in target.recording.binary:
        expect(heard.frame is not None or not _is_about_numbers(heard), heard.fault)
    for heard in target.recording.text:
        expect(not _is_about_numbers(heard), f"frame {heard.seq} holds NaN or Infinity")
    return "all finite"


def _is_about_numbers(heard: Heard) -> bool:
    """Whether a frame holds numbers that are none."""
    if isinstance(heard.data, str):
        return not all(map(math.isfinite, _numbers(json.loads(heard.data))))
    return "not finite" in heard.fault


def _numbers(content: Any) -> Iterator[float]:
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from _numbers(item)
    elif isinstance(content, float):
        yield content


def capture_publish_receive_in_order(target: Target) -> str:
    """Captured before published, published before received, on the clock of `hello`."""
    recording = target.recording
    delays: list[float] = []
    for heard in recording.binary:
        if heard.frame is None:
            continue
        frame, received = heard.frame, heard.received_ns + recording.clock_offset_ns
        expect(frame.t_capture_ns <= frame.t_publish_ns, f"frame {frame.seq} is published first")
        late = received + recording.round_trip_ns - frame.t_publish_ns
        expect(late >= 0, f"frame {frame.seq} came {-late / 1e6:.1f} ms before it was published")
        delays.append((received - frame.t_publish_ns) / 1e6)
    return f"published to received: median {np.median(delays):.2f} ms" if delays else "no frames"


def stream_never_pauses(target: Target) -> str:
    """Frames keep coming, hands or none."""
    times = np.array([heard.received_ns for heard in target.recording.binary]) / 1e9
    gaps = np.diff(times)
    expect(len(gaps) > 0, "only one frame came")
    expect(float(gaps.max()) < _LONGEST_PAUSE_S, f"no frame for {gaps.max():.1f} s")
    return f"{1 / gaps.mean():.1f} frames/s, longest pause {gaps.max() * 1e3:.0f} ms"


def empty_frames_are_sent(target: Target) -> str:
    """A frame with `hands: []` is sent while nothing is in view."""
    empty = sum(not frame.hands for frame in target.recording.frames)
    if not empty:
        raise SkippedError("hands were in view all the time; take them away and run again")
    return f"{empty} of {len(target.recording.frames)} frames"


def quaternions_are_unit_and_radii_positive(target: Target) -> str:
    """Orientations are unit quaternions and radii above zero."""
    hands = target.recording.hands()
    off = max(float(np.abs(np.linalg.norm(h.orientations, axis=1) - 1).max()) for h in hands)
    expect(off < 1e-3, f"a quaternion's length is off by {off:.2g}")
    smallest = min(float(h.radii.min()) for h in hands)
    expect(smallest > 0, f"a radius is {smallest:g}")
    return f"length within {off:.1g}, radii from {smallest * 1e3:.1f} mm"


def quaternions_keep_their_sign(target: Target) -> str:
    """A joint's quaternion does not jump to its negative from frame to frame."""
    target.recording.hands()
    for track, hands in _tracks(target).items():
        for before, after in pairwise(hands):
            cosines = (before.orientations * after.orientations).sum(axis=1)
            expect(
                float(cosines.min()) > -0.5, f"track {track}: joint {cosines.argmin()} changes sign"
            )
    return f"{len(_tracks(target))} tracks"


def tips_copy_their_distal_joint(target: Target) -> str:
    """A tip is oriented as the joint before it."""
    hands = target.recording.hands()
    off = max(float(np.abs(h.orientations[_TIPS] - h.orientations[_TIPS - 1]).max()) for h in hands)
    expect(off < 1e-4, f"a tip's quaternion is off by {off:.2g}")
    return f"within {off:.1g}"


def z_points_back_along_each_bone(target: Target) -> str:
    """+Z of a joint points back along its bone, to 0.1 degrees."""
    worst = max(float(_bone_angles(hand).max()) for hand in target.recording.hands())
    expect(worst < _MAX_BONE_ANGLE, f"off by {worst:.2f} degrees")
    return f"within {worst:.3f} degrees"


def _axis(hand: StreamHand, joints: np.ndarray | int, axis: int) -> np.ndarray:
    """Return an axis of joints in the frame their orientations are in."""
    quaternions = hand.orientations[joints].astype(np.float64)
    lengths = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    x, y, z, w = np.moveaxis(quaternions / np.maximum(lengths, 1e-9), -1, 0)
    columns = (
        (1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)),
        (2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)),
        (2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack(columns[axis], axis=-1)


def _bone_angles(hand: StreamHand) -> np.ndarray:
    places = hand.positions.astype(np.float64)
    back = places[_BONES] - places[_BONES + 1]
    z = _axis(hand, _BONES, 2)
    aside = np.linalg.norm(np.cross(z, back), axis=1)
    return np.degrees(np.arctan2(aside, (z * back).sum(axis=1)))


def palm_is_the_middle_of_its_bone(target: Target) -> str:
    """The palm lies half-way between metacarpal and proximal joint of the middle finger."""
    places = [hand.positions for hand in target.recording.hands()]
    off = max(float(np.abs(p[_PALM] - (p[_MIDDLE] + p[_MIDDLE + 1]) / 2).max()) for p in places)
    expect(off < _CLOSE, f"off by {off * 1e3:.2f} mm")
    return f"within {off * 1e3:.1g} mm"


def side_fits_the_joint_axes(target: Target) -> str:
    """+X of the wrist points to the little finger of right hands, to the thumb of left ones."""
    hands = target.recording.hands()
    for hand in hands:
        across = hand.positions[_LITTLE_MCP] - hand.positions[_INDEX_MCP]
        found = "right" if _axis(hand, _WRIST, 0) @ across > 0 else "left"
        expect(found == hand.side, f"track {hand.id} is called {hand.side}, looks {found}")
    return f"{', '.join(sorted({hand.side for hand in hands}))}"


def a_track_keeps_its_side(target: Target) -> str:
    """An `id` never changes side."""
    target.recording.hands()
    for track, hands in _tracks(target).items():
        sides = {hand.side for hand in hands}
        expect(len(sides) == 1, f"track {track} is left and right")
    return f"{len(_tracks(target))} tracks"


def lost_comes_once(target: Target) -> str:
    """A hand is `lost` in one frame, with its last pose, and its `id` is not used again."""
    lost = 0
    for track, hands in _tracks(target).items():
        states = [hand.state for hand in hands]
        if "lost" in states:
            lost += 1
            expect(states.index("lost") == len(states) - 1, f"track {track} goes on after 'lost'")
    if not lost:
        raise SkippedError("no hand was lost; move one out of view and run again")
    return f"{lost} tracks ended"


def _tracks(target: Target) -> dict[int, list[StreamHand]]:
    """Return the appearances of each track in order."""
    tracks: dict[int, list[StreamHand]] = defaultdict(list)
    for frame in target.recording.frames:
        for hand in frame.hands:
            if hand.joints is not None:
                tracks[hand.id].append(hand)
    return tracks


def two_clients_hear_the_same(target: Target) -> str:
    """Two clients get the same frames: neither takes any from the other."""
    binary, text = ({h.seq for h in heard} for heard in _both(target))
    low, high = max(min(binary), min(text)), min(max(binary), max(text))
    apart = {seq for seq in binary ^ text if low <= seq <= high}
    expect(not apart, f"{len(apart)} frames came on one line only, e.g. {min(apart, default=0)}")
    expect(high > low, "the two lines have no frame in common")
    return f"{high - low + 1} frames"


def text_and_binary_agree(target: Target) -> str:
    """Text and binary of one frame say the same, to 1e-5."""
    texts = {h.seq: h.frame for h in target.recording.text if h.frame is not None}
    pairs = [(a, texts[a.seq]) for a in target.recording.frames if a.seq in texts]
    expect(bool(pairs), "the two lines have no frame in common")
    worst = 0.0
    for a, b in pairs:
        one, other = ([(h.id, h.side, h.state) for h in f.hands] for f in (a, b))
        expect(one == other, f"frame {a.seq} has hands {one} and {other}")
        for x, y in zip(a.hands, b.hands, strict=True):
            if x.joints is not None and y.joints is not None:
                worst = max(worst, float(np.abs(x.joints - y.joints).max()))
    expect(worst <= 1.01 * _CLOSE, f"joints differ by {worst:.2g}")
    return f"{len(pairs)} frames within {worst:.1g}"


def _both(target: Target) -> tuple[list[Heard], list[Heard]]:
    if not target.recording.text:
        raise FailedError("no text frame came")
    return target.recording.binary, target.recording.text


CHECKS: Final[tuple[Check, ...]] = (
    seq_is_contiguous,
    session_is_that_of_hello,
    frames_can_be_read,
    no_number_is_nan,
    capture_publish_receive_in_order,
    stream_never_pauses,
    empty_frames_are_sent,
    quaternions_are_unit_and_radii_positive,
    quaternions_keep_their_sign,
    tips_copy_their_distal_joint,
    z_points_back_along_each_bone,
    palm_is_the_middle_of_its_bone,
    side_fits_the_joint_axes,
    a_track_keeps_its_side,
    lost_comes_once,
    two_clients_hear_the_same,
    text_and_binary_agree,
)
