from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.metrics import pa_mpjpe_mm
from tracker.geometry.skinning import RuntimeHand
from tracker.vision.crops import roi_from_landmarks
from tracker.vision.records import Landmarks, Roi
from train import lift as command
from train.datasets import open_dataset
from train.datasets.image_files import read_rgb
from train.datasets.image_folder import ImageFolder
from train.datasets.keypoint_files import HandLabel, labels_as_json, read_labels, write_labels
from train.datasets.sample import DatasetError
from train.label_hands import HandLabeller
from train.lift import lift
from train.lift_hands import HandLifter
from train.pack_folder import pack_folder

HW = (240, 320)
GREY = np.full((*HW, 3), 120, np.uint8)
CAMERA = Camera.from_fov(HW, assumed=True)


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    """A hand half a metre away, its fingers a little bent."""
    bent = np.tile([0.0, 0.1, 0.35], (15, 1))
    params = HandParams(np.array([2.6, 0.3, 0.2]), bent, np.zeros(10), np.array([0, 0, 0.5]), 1.0)
    return RuntimeHand(HandModel.load()).skin(params)[1].astype(np.float64)


@pytest.fixture(scope="module")
def lifter() -> HandLifter:
    return HandLifter()


def label_of(joints: np.ndarray, name: str = "a.png") -> HandLabel:
    return HandLabel(name, "right", CAMERA.project(joints), np.full(21, 0.9))


class Seeing:
    """Stands in for the landmark model: it sees this hand, wherever it is asked to look."""

    def __init__(self, uv: np.ndarray, xyz: np.ndarray) -> None:
        self.uv, self.xyz = uv, xyz

    def __call__(self, rgb: np.ndarray, rois: list[Roi]) -> list[Landmarks]:
        return [Landmarks(self.uv, self.xyz, 0.9, 1.0)]


def test_lifted_joints_are_those_of_the_hand(
    joints: np.ndarray, lifter: HandLifter, monkeypatch: pytest.MonkeyPatch
):
    label = label_of(joints)
    blind = lifter(GREY, label)  # nothing is seen in grey, so from keypoints alone
    monkeypatch.setattr(lifter, "_landmarker", Seeing(label.uv, joints - joints.mean(0)))
    told = lifter(GREY, label)
    assert blind.xyz is not None
    assert told.xyz is not None
    assert pa_mpjpe_mm(told.xyz[None], joints[None]) < 5
    assert pa_mpjpe_mm(told.xyz[None], joints[None]) < pa_mpjpe_mm(blind.xyz[None], joints[None])
    assert told.K is not None
    np.testing.assert_array_equal(told.K, CAMERA.K)
    np.testing.assert_allclose(CAMERA.project(told.xyz), label.uv, atol=2.5)


def test_another_hand_in_the_picture_says_nothing(
    joints: np.ndarray, lifter: HandLifter, monkeypatch: pytest.MonkeyPatch
):
    label = label_of(joints)
    blind = lifter(GREY, label)
    monkeypatch.setattr(lifter, "_landmarker", Seeing(label.uv + 90, -joints))
    assert blind.xyz is not None
    again = lifter(GREY, label).xyz
    assert again is not None
    np.testing.assert_array_equal(again, blind.xyz)


def test_left_hands_are_lifted_as_mirrored_right_ones(joints: np.ndarray, lifter: HandLifter):
    right = label_of(joints)
    uv = right.uv * [-1, 1] + [HW[1], 0]
    left = lifter(GREY, replace(right, side="left", uv=uv))
    lifted = lifter(GREY, right)
    assert left.xyz is not None
    assert lifted.xyz is not None
    np.testing.assert_allclose(left.xyz * [-1, 1, 1], lifted.xyz, atol=1e-6)


def test_keypoints_that_no_hand_has_are_not_lifted(lifter: HandLifter, rng: np.random.Generator):
    wild = HandLabel("a.png", "right", rng.uniform(20, 220, (21, 2)), np.ones(21))
    assert lifter(GREY, wild).xyz is None


def test_lifted_joints_keep_in_both_forms(joints: np.ndarray, tmp_path: Path):
    plain, lifted = label_of(joints), replace(label_of(joints, "b.png"), xyz=joints, K=CAMERA.K)
    write_labels(tmp_path / "labels.npz", [plain, lifted])
    (tmp_path / "labels.json").write_text(labels_as_json([plain, lifted]), "utf-8")
    for form in ("npz", "json"):
        first, second = read_labels(tmp_path / f"labels.{form}")
        assert (first.xyz, first.K) == (None, None)
        assert second.xyz is not None
        assert second.K is not None
        np.testing.assert_allclose(second.xyz, joints, atol=1e-6)
        np.testing.assert_allclose(second.K, CAMERA.K, rtol=1e-6)
    arrays = dict(np.load(tmp_path / "labels.npz")) | {"xyz": np.zeros((2, 20, 3), np.float32)}
    np.savez(tmp_path / "bad.npz", allow_pickle=False, **arrays)
    with pytest.raises(DatasetError, match="xyz of shape"):
        read_labels(tmp_path / "bad.npz")


def test_training_takes_lifted_joints_only_when_asked(joints: np.ndarray, tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), GREY)
    left = replace(label_of(joints), side="left", xyz=joints, K=CAMERA.K)
    write_labels(tmp_path / "labels.npz", [left])
    assert ImageFolder(tmp_path)[0].truth is None
    truth = open_dataset(f"images:{tmp_path},lifted=yes")[0].truth
    assert truth is not None
    assert truth.xyz is not None
    np.testing.assert_allclose(truth.xyz, joints * [-1, 1, 1], atol=1e-6)
    write_labels(tmp_path / "labels.npz", [replace(left, xyz=None)])
    with pytest.raises(DatasetError, match="train lift"):
        ImageFolder(tmp_path, lifted=True)


def test_packed_hands_keep_their_lifted_joints(joints: np.ndarray, tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    cv2.imwrite(str(photos / "a.png"), GREY)
    write_labels(photos / "labels.npz", [replace(label_of(joints), xyz=joints, K=CAMERA.K)])
    pack_folder(photos, tmp_path / "small")
    whole, packed = (ImageFolder(f, lifted=True)[0] for f in (photos, tmp_path / "small"))
    assert whole.truth is not None
    assert whole.truth.xyz is not None
    assert packed.truth is not None
    assert packed.truth.xyz is not None
    np.testing.assert_array_equal(packed.truth.xyz, whole.truth.xyz)
    np.testing.assert_allclose(
        (packed.truth.xyz @ packed.K.T / packed.truth.xyz[:, 2:]),
        np.c_[packed.uv, np.ones(21)],
        rtol=1e-3,
    )


def test_the_command_goes_on_where_it_stopped(
    joints: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    names = ["a.png", "b.png", "c.png"]
    for name in names:
        cv2.imwrite(str(tmp_path / name), GREY)
    hands = [label_of(joints, name) for name in names]
    nothing = HandLabel("d.png", "none", np.zeros((21, 2)), np.zeros(21), 0.0)
    write_labels(tmp_path / "labels.npz", [*hands, nothing])

    class Stops(HandLifter):
        """Stopped by hand at the second picture."""

        def __call__(self, rgb: np.ndarray, label: HandLabel) -> HandLabel:
            if label.name == "b.png":
                raise KeyboardInterrupt
            return super().__call__(rgb, label)

    with monkeypatch.context() as patch:
        patch.setattr(command, "HandLifter", Stops)
        with pytest.raises(KeyboardInterrupt):
            lift(tmp_path)
    assert [label.xyz is not None for label in read_labels(tmp_path / "labels.npz")][:2] == [
        True,
        False,
    ]
    (tmp_path / "c.png").write_bytes(b"broken")
    lift(tmp_path)
    shown = " ".join(capsys.readouterr().err.split())
    assert "2 hands with joints in space, 1 of them lifted now" in shown
    assert "1 broken" in shown
    assert len(read_labels(tmp_path / "labels.npz")) == 4


def test_frames_of_videos_are_lifted(joints: np.ndarray, tmp_path: Path):
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = HW[1], HW[0], "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(GREY, format="rgb24")))
        container.mux(stream.encode())
    frames = [label_of(joints, f"clip.mp4#{i}") for i in (0, 2, 9)]
    write_labels(tmp_path / "labels.npz", frames)
    lift(tmp_path)
    found = read_labels(tmp_path / "labels.npz")
    assert [label.xyz is not None for label in found] == [True, True, False]
    write_labels(tmp_path / "labels.npz", found[:2])
    clips = open_dataset(f"videos:{tmp_path},lifted=yes")
    assert len(clips) == 2
    truth = clips[1].truth
    assert truth is not None
    assert truth.xyz is not None
    far = CAMERA.project(truth.xyz) - CAMERA.project(joints)
    assert np.linalg.norm(far, axis=1).mean() < 2.5
    write_labels(tmp_path / "labels.npz", frames)
    with pytest.raises(DatasetError, match="train lift"):
        open_dataset(f"videos:{tmp_path},lifted=yes")


def test_a_folder_without_labels_is_told(tmp_path: Path):
    with pytest.raises(DatasetError, match="train labels"):
        lift(tmp_path)


def test_a_real_hand_is_lifted_as_the_tracker_fits_it(real_data: Path, lifter: HandLifter):
    path = real_data / "gt" / "consensus2d" / "images" / "hagrid380_00318.jpg"
    rgb = read_rgb(path)
    label = HandLabeller()(rgb, path.name)[0]
    lifted = lifter(rgb, label)
    assert lifted.xyz is not None
    assert lifted.K is not None
    camera = Camera(lifted.K, (rgb.shape[0], rgb.shape[1]))
    far = np.linalg.norm(camera.project(lifted.xyz) - label.uv, axis=1)
    assert far.mean() < 0.05 * roi_from_landmarks(label.uv).size_px
    assert 0.1 < float(np.linalg.norm(lifted.xyz[12] - lifted.xyz[0])) < 0.22
