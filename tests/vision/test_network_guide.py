"""The network inside the tracker: modes, what they make of a hand, and what goes wrong in one line."""

import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import demo_clip
from tracker.errors import ModelFileError
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandShape
from tracker.vision import model_files, network_guide
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.network import NetworkConfig, S2HandNetwork
from tracker.vision.network_files import write_network
from tracker.vision.records import Frame


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, hand: HandModel) -> Path:
    """A network that knows the mean hand, and sees a green one."""
    torch.manual_seed(0)
    config = NetworkConfig("mobilenetv4_conv_small", 128)
    network = S2HandNetwork(config.for_hand(hand))
    with torch.no_grad():
        network.appearance.texture[-1].bias.copy_(torch.tensor([-6.0, 2, -6]).repeat(778))
    path = tmp_path_factory.mktemp("network") / "hand.safetensors"
    write_network(path, network, hand, half=True)
    return path


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return demo_clip.with_hands(2)[:8]


def config(file: Path, **other) -> HandTrackerConfig:
    return HandTrackerConfig(network=str(file), network_engine="torch", **other)


def joints(tracker: HandTracker, frames: list[Frame]) -> dict[str, np.ndarray]:
    hands = [tracker(frame) for frame in frames][-1]
    return {hand.side: hand.joints for hand in hands}


@pytest.fixture(scope="module")
def plain(frames: list[Frame]) -> dict[str, np.ndarray]:
    return joints(HandTracker(HandTrackerConfig(mode="landmarks")), frames)


def spread_mm(joints: np.ndarray, other: np.ndarray) -> float:
    return 1e3 * float(np.linalg.norm(joints - joints[0] - (other - other[0]), axis=-1).mean())


def test_network_mode_shows_the_networks_own_hand(file, frames, plain):
    found = joints(HandTracker(config(file, mode="network", smoothing=None)), frames)
    assert set(found) == {"left", "right"}
    # Untrained: the same mean hand on both sides, mirrored, and nowhere near the landmarks' one.
    lengths = [np.linalg.norm(found[side] - found[side][0], axis=-1) for side in found]
    np.testing.assert_allclose(*lengths, atol=2e-3)
    assert min(spread_mm(found[side], plain[side]) for side in found) > 10


def test_fused_hands_stay_with_what_is_seen(file, frames, plain):
    found = joints(HandTracker(config(file, mode="fused")), frames)
    camera = frames[-1].camera
    assert camera is not None
    assert set(found) == set(plain)
    for side, hand in found.items():
        assert 1 < spread_mm(hand, plain[side]) < 16
        before, after = (camera.project(joints) for joints in (plain[side], hand))
        assert np.linalg.norm(before - after, axis=-1).mean() < 0.02 * np.ptp(before, axis=0).max()


def test_the_networks_time_is_told_where_there_is_one(file, frames):
    for plain in (HandTrackerConfig(mode="landmarks"), config(file, mode="fused")):
        tracker = HandTracker(plain)
        tracker(frames[0])
        assert ("network" in tracker.stages_ms) == (tracker.mode == "fused")
        assert all(ms >= 0 for ms in tracker.stages_ms.values())


def test_fast_looks_now_and_then_and_one_hand_at_a_time(file, frames, monkeypatch):
    tracker = HandTracker(config(file, mode="fast", network_every=3, texture_every=0))
    looks = watched(tracker, monkeypatch)
    hands = [tracker(frame) for frame in frames]
    assert looks[0] == 2  # both, when they are new
    assert set(looks[1:]) == {1}
    assert len(looks) < len(frames)
    # Never looked at by the camera's pixels here: the network's colour is what there is.
    assert all(hand.colors[:, 1].mean() > 0.9 for hand in hands[-1])
    assert all(hand.colors[:, 0].mean() < 0.1 for hand in hands[-1])


def watched(tracker: HandTracker, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what will hold how many hands the network saw in each start."""
    seen: list[int] = []
    guide = tracker._guide
    assert guide is not None
    engine = guide.regressor.engine
    start = engine.start
    monkeypatch.setattr(engine, "start", lambda *a: seen.append(len(a[0])) or start(*a))
    return seen


def test_fused_hands_take_turns_and_keep_the_last_look_for_one_frame(file, frames, monkeypatch):
    tracker = HandTracker(config(file, mode="fused", texture_every=0))
    seen, guide = watched(tracker, monkeypatch), tracker._guide
    numbers: list[int] = []
    assert guide is not None
    for frame in frames:
        numbers = [hand.track_id for hand in tracker(frame)]
        assert all(guide.guess(number, None) is not None for number in numbers)
    assert seen == [2] + [1] * (len(frames) - 1)
    # Nobody looks for a while: what was seen is of no use now.
    blank = Frame(np.zeros_like(frames[0].rgb), frames[0].camera, frames[-1].timestamp_s + 0.03)
    for _ in range(2):
        tracker(blank)
    assert all(guide.guess(number, None) is None for number in numbers)
    assert guide.seen(numbers[0]) is not None


def test_warming_up_looks_once_and_remembers_nothing(file, monkeypatch):
    for mode in ("network", "fused", "fast"):
        tracker = HandTracker(config(file, mode=mode))
        seen, guide = watched(tracker, monkeypatch), tracker._guide
        tracker.warmup()
        assert seen == [1]
        assert guide is not None
        assert guide.seen(0) is None


def test_one_hand_is_looked_at_in_every_frame(file, frames, monkeypatch):
    tracker = HandTracker(config(file, mode="fused", texture_every=0, max_hands=1))
    seen = watched(tracker, monkeypatch)
    for frame in frames:
        tracker(frame)
    assert seen == [1] * len(frames)


def test_an_answer_of_fast_comes_with_the_next_frame(file, frames):
    tracker = HandTracker(config(file, mode="fast", network_every=100, texture_every=0))
    tracker(frames[0])
    guide = tracker._guide
    assert guide is not None
    track = tracker._tracks[0]
    first = guide.seen(track.track_id)
    assert first is not None
    track.frames = 100 - track.track_id  # its turn
    tracker(frames[1])
    assert guide.seen(track.track_id) is first
    tracker(frames[2])
    assert guide.seen(track.track_id) is not first


def test_a_known_shape_is_kept_in_every_mode(file, frames):
    shape = HandShape((0.5,) + (0.0,) * 9, 1.1)
    for mode in ("network", "fused", "fast"):
        tracker = HandTracker(config(file, mode=mode, hand_shape=shape, smoothing=None))
        for found in tracker(frames[0]):
            np.testing.assert_allclose(found.params.betas, shape.betas, atol=1e-9)
            assert found.params.scale == pytest.approx(1.1)


def test_a_network_that_is_not_there_or_broken_says_so_in_one_line(file, tmp_path, hand):
    with pytest.raises(ModelFileError) as missing:
        HandTracker(HandTrackerConfig(mode="network", network=str(tmp_path / "none.safetensors")))
    cut_off = tmp_path / "short.safetensors"
    cut_off.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ModelFileError) as short:
        HandTracker(HandTrackerConfig(mode="fused", network=str(cut_off)))
    other = tmp_path / "other.safetensors"
    config = NetworkConfig("mobilenetv4_conv_small", 128).for_hand(hand)
    write_network(other, S2HandNetwork(config), replace(hand, model_id="mano", sha256="f" * 64))
    with pytest.raises(ModelFileError, match="trained for the hand mano") as strange:
        HandTracker(HandTrackerConfig(mode="auto", network=str(other)))
    assert all("\n" not in str(error.value) for error in (missing, short, strange))


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that stands for the one with Handloom's own weights."""
    monkeypatch.setattr(model_files, "search_folders", lambda: [tmp_path])
    monkeypatch.setattr(model_files, "manifest", dict)
    return tmp_path / model_files.NETWORK_FILE


def choice(mode: network_guide.Mode) -> network_guide.NetworkChoice:
    return network_guide.NetworkChoice(mode, None, "torch", 5, 1, "auto")


def test_auto_takes_the_network_that_ships_if_it_knows_the_hand(shipped, file, hand, caplog):
    shipped.write_bytes(file.read_bytes())
    guide = network_guide.open_guide(choice("auto"), hand)
    assert guide is not None
    assert guide.mode == "fused"
    assert network_guide.open_guide(choice("landmarks"), hand) is None
    assert not caplog.records


def damaged(shipped: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped.write_bytes(file.read_bytes()[:-1])
    listed = {model_files.NETWORK_FILE: {"sha256": sha256(file.read_bytes()).hexdigest()}}
    monkeypatch.setattr(model_files, "manifest", lambda: listed)


def unreadable(shipped: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged(shipped, file, monkeypatch)
    forbidden = PermissionError(13, "Permission denied")
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(forbidden))


def no_network(shipped: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped.write_text("not a network, and listed nowhere")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda *_: None, "was found in none of"),
        (damaged, "not the one that weights/manifest.json lists"),
        (unreadable, "cannot be read: Permission denied"),
        (no_network, "cannot be used"),
        (lambda shipped, file, _: shipped.write_bytes(file.read_bytes()), "in use is mano"),
    ],
    ids=["absent", "damaged", "unreadable", "no network", "of another hand"],
)
def test_auto_does_without_a_network_that_is_of_no_use_and_a_named_mode_does_not(
    shipped, file, hand, monkeypatch, caplog, spoil, told
):
    mine = replace(hand, model_id="mano") if "mano" in told else hand
    spoil(shipped, file, monkeypatch)
    assert network_guide.open_guide(choice("auto"), mine) is None
    (line,) = caplog.messages
    assert line.startswith("hands come from landmarks alone: ")
    assert told in line
    assert "\n" not in line
    for mode in ("fused", "network", "fast"):
        with pytest.raises(ModelFileError) as error:
            network_guide.open_guide(choice(mode), mine)
        assert told in str(error.value)
    assert len(caplog.records) == 1


def test_auto_takes_a_named_engine_at_its_word(shipped, file, hand, monkeypatch):
    shipped.write_bytes(file.read_bytes())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelFileError):
        network_guide.open_guide(replace(choice("auto"), engine="cuda"), hand)


def test_without_openvino_auto_takes_the_next_engine(shipped, file, hand, monkeypatch, caplog):
    shipped.write_bytes(file.read_bytes())
    monkeypatch.setitem(sys.modules, "tracker.vision.engines.on_openvino", None)
    guide = network_guide.open_guide(replace(choice("auto"), engine="auto"), hand)
    assert guide is not None
    assert guide.regressor.engine.name.startswith("torch")
    (line,) = caplog.messages
    assert line.startswith("engine openvino is passed over")
