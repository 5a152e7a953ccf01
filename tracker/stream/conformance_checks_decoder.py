"""Conformance: binary frames that are damaged, or newer than their reader."""

import struct
from typing import Final

import numpy as np

from tracker.stream.binary import decode_frame, encode_frame
from tracker.stream.conformance_checks_base import Check, FailedError, Target, expect
from tracker.stream.errors import ProtocolError
from tracker.stream.records import StreamFrame, StreamHand

_HEADER_BYTES, _HAND_BYTES = 48, 32
_PAYLOAD_LENGTH_AT, _SECTION_COUNT_AT = 44, 10
_UNKNOWN_SECTION: Final = struct.pack("<BBHI", 200, 9, 1, 8) + b"whatever"
_MAX_SHOWN: Final = 80


def mutated_frames_are_survived(target: Target) -> str:
    """Damaged frames give a valid result or a `ProtocolError`, nothing else."""
    rng = np.random.default_rng(0)
    seeds = _seed_frames(target)
    refused = 0
    for _ in range(target.settings.mutated_frames):
        data = _mutated(seeds[rng.integers(len(seeds))], rng)
        try:
            decode_frame(data)
        except ProtocolError:
            refused += 1
        except Exception as error:
            text = f"{type(error).__name__} {error}"[:_MAX_SHOWN]
            raise FailedError(f"{len(data)} damaged bytes raise {text}") from error
    return f"{target.settings.mutated_frames} damaged frames, {refused} refused"


def _seed_frames(target: Target) -> list[bytes]:
    """Return frames to damage: the server's own, and made-up ones with every kind of section."""
    heard = [h.data for h in target.recording.binary[:20] if isinstance(h.data, bytes)]
    return [encode_frame(_made_up_frame()), encode_frame(_made_up_frame(), "q16"), *heard]


def _made_up_frame() -> StreamFrame:
    rng = np.random.default_rng(1)
    hand = StreamHand(
        *(7, "right", "tracked", 0.9, None, 1.0, 0),
        joints=rng.uniform(0.01, 0.5, (26, 8)).astype(np.float32),
        kp3d=rng.uniform(size=(21, 3)).astype(np.float32),
        verts=rng.uniform(size=(50, 3)).astype(np.float32),
        pinch=rng.uniform(size=4).astype(np.float32),
    )
    return StreamFrame(1, 1, 10, 20, (hand, hand), 5)


def _mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite a few bytes, most often where the lengths are, and cut one frame in three short."""
    damaged = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        reach = len(data) if rng.random() < 0.5 else min(len(data), 100)
        damaged[rng.integers(reach)] = int(rng.choice([0, 1, 127, 255, int(rng.integers(256))]))
    if rng.random() < 1 / 3:
        del damaged[rng.integers(len(damaged)) :]
    return bytes(damaged)


def unknown_sections_are_skipped(_: Target) -> str:
    """A section of an unknown type changes nothing of what is read."""
    frame = _made_up_frame()
    known = decode_frame(encode_frame(frame))
    newer = decode_frame(_with_unknown_section(encode_frame(frame)))
    expect(len(newer.hands) == len(known.hands), f"{len(newer.hands)} hands are left")
    for a, b in zip(known.hands, newer.hands, strict=True):
        expect(np.array_equal(a.positions, b.positions), "the joints differ")
    return "joints as without it"


def _with_unknown_section(data: bytes) -> bytes:
    """Append a section to the first hand, as a newer server might."""
    (hand_bytes,) = struct.unpack_from("<I", data, _HEADER_BYTES)
    end = _HEADER_BYTES + hand_bytes
    grown = bytearray(data[:end] + _UNKNOWN_SECTION + data[end:])
    struct.pack_into("<I", grown, _HEADER_BYTES, hand_bytes + len(_UNKNOWN_SECTION))
    struct.pack_into("<I", grown, _PAYLOAD_LENGTH_AT, len(grown) - _HEADER_BYTES)
    grown[_HEADER_BYTES + _SECTION_COUNT_AT] += 1
    return bytes(grown)


CHECKS: Final[tuple[Check, ...]] = (mutated_frames_are_survived, unknown_sections_are_skipped)
