"""VMC: what an avatar program receives, and that its fingers end up where ours are."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.stream.stream_lines import PATIENCE_S
from tracker.geometry.hand_model import HandModel
from tracker.geometry.skeleton import JOINTS, MANO_JOINTS, MANO_PARENTS
from tracker.stream import StreamServer
from tracker.stream.composer import Composer
from tracker.stream.errors import StreamError
from tracker.stream.records import StreamFrame
from tracker.stream.vmc import VmcSink, bone_names, bone_rotations
from tracker.stream.vmc_command import main as vmc
from tracker.vision.records import Side

osc_packet = pytest.importorskip("pythonosc.osc_packet", reason="python-osc is not installed")

REPOSITORY = Path(__file__).resolve().parents[2]
BONES = "/VMC/Ext/Bone/Pos"
MTU = 1400
START_S = 30
UNITY_FROM_MANO = np.diag([-1.0, 1.0, 1.0])
"""A hand at rest to the hand of a T-pose: right fingers from -x to +x, in left-handed axes."""
UNITY_FROM_CAMERA = -np.eye(3)
"""The camera's right, down, forward to left, up, backward of the person it sees, who faces +z."""


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(PATIENCE_S)
        yield receiver


def receive(receiver: socket.socket) -> list[tuple[str, list]]:
    """Address and arguments of each message of the next bundle."""
    data = receiver.recv(65536)
    assert data.startswith(b"#bundle\0")
    assert len(data) <= MTU
    return [(m.message.address, list(m.message)) for m in osc_packet.OscPacket(data).messages]


def receive_bones(receiver: socket.socket) -> dict[str, np.ndarray]:
    """Rotation of each bone in the next bundle, which holds nothing else."""
    messages = receive(receiver)
    assert {address for address, _ in messages} == {BONES}
    assert all(arguments[1:4] == [0.0, 0.0, 0.0] for _, arguments in messages)
    return {arguments[0]: np.array(arguments[4:]) for _, arguments in messages}


@pytest.fixture
def frame(models, make_hand_in_view) -> StreamFrame:
    hands = [make_hand_in_view(3), make_hand_in_view(5, "left", track_id=2)]
    return StreamFrame(7, 5, 2 * 10**9, 3 * 10**9, Composer(models["right"]).compose(hands, 10**9))


def t_pose_avatar(model: HandModel, betas: np.ndarray, scale: float) -> np.ndarray:
    """Places (16, 3) of an avatar's hand bones, in Unity's axes, from the wrist."""
    shapes = model.v_template.numpy() + model.shapedirs.numpy() @ betas
    joints = model.J_regressor.numpy() @ shapes
    return scale * (joints - joints[0]) @ UNITY_FROM_MANO


def moved(rest: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Where an engine's bones end up, each turned within its parent."""
    turns, places = [Rotation.from_quat(rotations[0])], [rest[0]]
    for bone, parent in enumerate(MANO_PARENTS[1:], start=1):
        places.append(places[parent] + turns[parent].apply(rest[bone] - rest[parent]))
        turns.append(turns[parent] * Rotation.from_quat(rotations[bone]))
    return np.array(places)


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_avatars_fingers_end_up_where_ours_are(
    models: dict[Side, HandModel], make_hand_in_view, side: Side
):
    for seed in range(5):
        hand = make_hand_in_view(seed, side)
        (sent,) = Composer(models["right"]).compose([hand], 0)
        avatar = t_pose_avatar(models[side], hand.params.betas, hand.params.scale)
        joints = hand.joints[[JOINTS.index(name) for name in MANO_JOINTS]]
        expected = (joints - joints[0]) @ UNITY_FROM_CAMERA
        np.testing.assert_allclose(moved(avatar, bone_rotations(sent.mano)), expected, atol=2e-6)


def test_a_t_pose_is_no_rotation():
    """Facing the camera, arms out to the sides, palms down: MANO's rest after half a turn about x."""
    mano = np.zeros(61)
    mano[:3] = [np.pi, 0.0, 0.0]
    np.testing.assert_allclose(bone_rotations(mano), [[0, 0, 0, 1]] * 16, atol=1e-12)


def test_bones_carry_unitys_names():
    left = bone_names("left")
    assert left[0] == "LeftHand"
    assert left[MANO_JOINTS.index("thumb_cmc")] == "LeftThumbProximal"
    assert left[MANO_JOINTS.index("thumb_ip")] == "LeftThumbDistal"
    assert left[MANO_JOINTS.index("pinky_pip")] == "LeftLittleIntermediate"
    fingers = ("Thumb", "Index", "Middle", "Ring", "Little")
    parts = ("Proximal", "Intermediate", "Distal")
    assert set(left) == {"LeftHand", *(f"Left{f}{p}" for f in fingers for p in parts)}
    assert [name.replace("Right", "Left") for name in bone_names("right")] == list(left)


def test_one_bundle_for_each_hand(receiver: socket.socket, frame: StreamFrame):
    with VmcSink(*receiver.getsockname()) as sink:
        assert sink.send(frame) == 2
    assert receive(receiver) == [("/VMC/Ext/OK", [1]), ("/VMC/Ext/T", [2.0])]
    for side in ("left", "right"):
        bones, hand = receive_bones(receiver), frame.hand(side)
        assert tuple(bones) == bone_names(side)
        np.testing.assert_allclose([*bones.values()], bone_rotations(hand.mano), atol=1e-6)


def test_a_bundle_is_not_changed_by_the_next(receiver: socket.socket, frame: StreamFrame):
    one_hand = [StreamFrame(1, 1, 0, 0, (hand,)) for hand in frame.hands]
    same_side = [one_hand[0], StreamFrame(2, 2, 0, 0, (frame.hands[0],))]
    with VmcSink(*receiver.getsockname()) as sink:
        for each in same_side:
            sink.send(each)
    first, second = [(receive(receiver), receive_bones(receiver))[1] for _ in range(2)]
    np.testing.assert_array_equal([*first.values()], [*second.values()])


def test_wrists_can_be_left_to_others(receiver: socket.socket, frame: StreamFrame):
    with VmcSink(*receiver.getsockname(), wrist=False) as sink:
        sink.send(frame)
    receive(receiver)
    bones = receive_bones(receiver)
    assert tuple(bones) == bone_names("left")[1:]
    np.testing.assert_allclose([*bones.values()], bone_rotations(frame.left.mano)[1:], atol=1e-6)


def test_without_hands_it_says_that_it_lives(receiver: socket.socket):
    with VmcSink(*receiver.getsockname()) as sink:
        assert sink.send(StreamFrame(1, 1, 0, 0, ())) == 0
    assert [address for address, _ in receive(receiver)] == ["/VMC/Ext/OK", "/VMC/Ext/T"]


def test_hands_without_parameters_are_refused(frame: StreamFrame, receiver: socket.socket):
    bare = StreamFrame(1, 1, 0, 0, tuple(type(h)(**vars(h) | {"mano": None}) for h in frame.hands))
    with (
        VmcSink(*receiver.getsockname()) as sink,
        pytest.raises(StreamError, match="subscribe to the part 'mano'"),
    ):
        sink.send(bare)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pythonosc", None)
    for name in [name for name in sys.modules if name.startswith("pythonosc.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(StreamError, match=r"pip install 'handloom\[osc\]'"):
        VmcSink("127.0.0.1")


@pytest.mark.parametrize("to", ["host:port", ":39539", "127.0.0.1:0", "127.0.0.1:70000", ""])
def test_addresses_that_cannot_be_are_refused(to: str, capsys: pytest.CaptureFixture[str]):
    assert vmc(["--to", to]) == 2
    assert capsys.readouterr().err == f"error: --to: expected HOST:PORT, found {to!r}\n"


def test_a_refusing_server_is_one_line(models, capsys: pytest.CaptureFixture[str]):
    with StreamServer(port=0, token="secret", model=models["right"]) as server:
        assert vmc([server.url, "--token", "wrong"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert "token is missing or wrong" in last


def test_the_command_forwards_a_stream_until_it_is_stopped(
    server: StreamServer, camera, make_hand_in_view, receiver: socket.socket
):
    host, port = receiver.getsockname()
    command = [sys.executable, "-m", "tracker.stream", "vmc", server.url, "--to", f"{host}:{port}"]
    program = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + START_S
        while not server.clients:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        hand = make_hand_in_view(3)
        receiver.settimeout(0.05)
        bones: dict[str, np.ndarray] = {}
        for n in range(100):
            server.publish([hand], camera, n, n)
            try:
                receive(receiver)
                bones = receive_bones(receiver)
                break
            except TimeoutError:
                continue
        expected = bone_rotations(np.concatenate([hand.params.global_orient, np.zeros(58)]))[0]
        np.testing.assert_allclose(bones["RightHand"], expected, atol=1e-6)
        program.send_signal(signal.SIGINT)
        assert program.wait(PATIENCE_S) == 0
    finally:
        program.kill()
        said = program.communicate()[1]
    assert said.count("\n") == 1
    assert f"go to {host}:{port} as VMC" in said
