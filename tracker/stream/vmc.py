"""Hands for avatar programs: bones of the Virtual Motion Capture protocol, as OSC over UDP.

VMC (protocol.vmc.info) knows Unity's humanoid bones: the hand and three for each finger, with a
rotation relative to the avatar's T-pose. Each frame is one small bundle that says the sender lives,
and one bundle of 16 bones for each hand in view; with no hand in view an avatar keeps its last pose.

MANO's flat hand and the hand of a T-pose point the same way once x is mirrored (right fingers along
-x in right-handed axes, along +x in Unity's left-handed ones; backs up, thumbs forward), so a
finger's rotation (x, y, z, w) becomes (x, -y, -z, w) on both sides. The thumb at rest differs from
avatar to avatar, so thumbs are the least exact. Positions are sent as zero: receivers take rotations.

Needs python-osc, which the `osc` extra installs.
"""

import importlib
import socket
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from tracker.geometry.skeleton import MANO_JOINTS
from tracker.stream.errors import StreamError
from tracker.stream.records import Side, StreamFrame, StreamHand

DEFAULT_PORT: Final = 39539
"""Where VMC's receivers of whole motions ("marionettes") listen."""
_BONE_ADDRESS: Final = "/VMC/Ext/Bone/Pos"
_SEGMENTS: Final = {"mcp": "Proximal", "pip": "Intermediate", "dip": "Distal"}
# Unity calls the thumb's first bone, which lies in the palm, proximal; so do VRM 0 and VMC.
_THUMB_SEGMENTS: Final = {"cmc": "Proximal", "mcp": "Intermediate", "ip": "Distal"}
_FINGERS: Final = {"pinky": "Little"}
_MIRRORED: Final = np.array([1.0, -1.0, -1.0, 1.0])
_FLOATS: Final = 7
"""Numbers at the end of a bone's message: place, then quaternion."""


def bone_names(side: Side) -> tuple[str, ...]:
    """Return the 16 names of `HumanBodyBones` of a hand, in MANO's order of joints."""
    return tuple(side.capitalize() + _bone(joint) for joint in MANO_JOINTS)


def _bone(joint: str) -> str:
    if joint == "wrist":
        return "Hand"
    finger, _, part = joint.partition("_")
    segments = _THUMB_SEGMENTS if finger == "thumb" else _SEGMENTS
    return _FINGERS.get(finger, finger.capitalize()) + segments[part]


def bone_rotations(mano: Float[np.ndarray, " 61"]) -> Float[np.ndarray, "16 4"]:
    """Return local rotations (x, y, z, w) in Unity's axes of `bone_names`, relative to the T-pose.

    The hand's own is relative to an arm stretched out to its side, as in the T-pose, of a person who
    faces the camera.

    Args:
        mano: `global_orient` (3), `hand_pose` (45) and more, in the OpenCV frame; see `records`.
    """
    turns = Rotation.from_rotvec(mano[:48].astype(np.float64).reshape(16, 3))
    rotations = turns.as_quat() * _MIRRORED
    # MANO's rest to Unity mirrors x, the camera to an avatar that faces it mirrors x, y and z:
    # together `-turn @ diag(-1, 1, 1)`, which is `turn` after half a turn about x.
    rotations[0] = (turns[0] * Rotation.from_quat([1.0, 0.0, 0.0, 0.0])).as_quat()
    return np.where(rotations[:, 3:] < 0, -rotations, rotations)


class HandBundle:
    """The OSC bundle of one hand, made once; every frame only writes its numbers.

    Args:
        side: whose bones.
        wrist: whether the hand's own bone is sent; leave it to whatever moves the arms otherwise.

    Raises:
        StreamError: python-osc is not installed.
    """

    def __init__(self, side: Side, *, wrist: bool = True) -> None:
        self._first = 0 if wrist else 1
        messages = [_message(_BONE_ADDRESS, name) for name in bone_names(side)[self._first :]]
        self._words = np.frombuffer(bytearray(_bundle(messages)), ">f4")
        ends = 16 + np.cumsum([4 + message.size for message in messages])
        self._quaternions = ends[:, None] // 4 + np.arange(-4, 0)

    def encode(self, mano: Float[np.ndarray, " 61"]) -> bytes:
        """Return the bundle for a hand's parameters."""
        self._words[self._quaternions] = bone_rotations(mano)[self._first :]
        return self._words.tobytes()


class VmcSink:
    """Send frames of hands to an avatar program.

    Args:
        host: where the program runs.
        port: where it listens.
        wrist: whether to turn the hands too, not only the fingers.

    Example:
        >>> wanted = Subscription(parts=("mano",), flow="ack")
        >>> with HandStreamClient(subscription=wanted) as client, VmcSink("127.0.0.1") as sink:
        ...     for frame in client:
        ...         sink.send(frame)

    Raises:
        StreamError: python-osc is not installed, or the host is not known.
    """

    def __init__(self, host: str, port: int = DEFAULT_PORT, *, wrist: bool = True) -> None:
        self._bundles = {s: HandBundle(s, wrist=wrist) for s in ("left", "right")}
        self._name = f"{host}:{port}"
        try:
            family, _, _, _, self._to = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except (OSError, OverflowError) as error:
            raise StreamError(f"cannot send to {self._name}: {error}; give host:port") from error
        self._socket = socket.socket(family, socket.SOCK_DGRAM)

    def __enter__(self) -> "VmcSink":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def send(self, frame: StreamFrame) -> int:
        """Send one frame; returns how many hands were in it.

        Raises:
            StreamError: the network refuses, or the hands come without the part `mano`.
        """
        hands = [hand for hand in (frame.left, frame.right) if hand is not None]
        self._send(_alive(frame.t_capture_ns * 1e-9))
        for hand in hands:
            self._send(self._bundles[hand.side].encode(_parameters(hand)))
        return len(hands)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, bundle: bytes) -> None:
        try:
            self._socket.sendto(bundle, self._to)
        except OSError as error:
            raise StreamError(f"cannot send to {self._name}: {error.strerror}") from error


def _parameters(hand: StreamHand) -> np.ndarray:
    if hand.mano is None:
        raise StreamError("this hand has no parameters; subscribe to the part 'mano'")
    return hand.mano


def _alive(time_s: float) -> bytes:
    """Say that the sender is ready (1), and its clock."""
    return _bundle([_message("/VMC/Ext/OK", 1), _message("/VMC/Ext/T", time_s)])


def _message(address: str, first: str | int | float) -> Any:
    """An OSC message; one with a name gets room for a place at zero and a rotation of nothing."""
    builder = _osc("osc_message_builder").OscMessageBuilder(address)
    builder.add_arg(first)
    for number in (0.0,) * (_FLOATS - 1) + (1.0,) if isinstance(first, str) else ():
        builder.add_arg(number, "f")
    return builder.build()


def _bundle(messages: list[Any]) -> bytes:
    module = _osc("osc_bundle_builder")
    builder = module.OscBundleBuilder(module.IMMEDIATELY)
    for message in messages:
        builder.add_content(message)
    return builder.build().dgram


def _osc(module: str) -> Any:
    try:
        return importlib.import_module(f"pythonosc.{module}")
    except ImportError as error:
        raise StreamError(
            "VMC needs python-osc, which is not installed; type: pip install 'handloom[osc]'"
        ) from error
