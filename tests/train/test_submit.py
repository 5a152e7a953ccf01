"""Archives for the evaluation servers, on tiny copies of both data sets."""

import dataclasses
import io
import json
import pickle
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from rich.progress import Progress

import train.submit
from tracker.geometry.hand_model import HandModel
from tracker.vision.network import NetworkConfig, S2HandNetwork
from tracker.vision.network_files import write_network
from train.__main__ import main
from train.batch import TrainBatch
from train.errors import TrainingError
from train.predictor import Predicted
from train.submission_file import Answers, write_submission
from train.submit import Hands, all_answers, evaluation_set, in_server_terms

GL = np.array([1, -1, -1])
K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


def freihand(root: Path, hands: int = 3) -> Path:
    (root / "evaluation" / "rgb").mkdir(parents=True)
    for i in range(hands):
        picture = np.full((224, 224, 3), 60 * i, np.uint8)
        cv2.imwrite(str(root / "evaluation" / "rgb" / f"{i:08d}.jpg"), picture)
    (root / "evaluation_K.json").write_text(json.dumps([K.tolist()] * hands))
    return root


def ho3d(root: Path) -> Path:
    frames = ("SM1/0003", "SM1/0000", "MPM10/0007")  # the file's order is the submission's
    for i, name in enumerate(frames):
        sequence, frame = name.split("/")
        for folder in ("rgb", "meta"):
            (root / "evaluation" / sequence / folder).mkdir(parents=True, exist_ok=True)
        file = root / "evaluation" / sequence / "rgb" / f"{frame}.png"
        cv2.imwrite(str(file), np.full((480, 640, 3), 60 * i, np.uint8))
        meta = {"camMat": K, "handJoints3D": np.array([0.0, 0, -0.5])}
        meta["handBoundingBox"] = [250, 180, 400, 330]
        (root / "evaluation" / sequence / "meta" / f"{frame}.pkl").write_bytes(pickle.dumps(meta))
    (root / "evaluation.txt").write_text("\n".join(frames))
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    hand = HandModel.load()
    config = NetworkConfig(encoder="mobilenetv4_conv_small", input_px=128)
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    write_network(path, S2HandNetwork(config.for_hand(hand)), hand)
    return path


def archived(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["pred.json"]
        joints, vertices = json.loads(archive.read("pred.json"))
    return np.array(joints), np.array(vertices)


@pytest.mark.parametrize("server", ["freihand", "ho3d"])
def test_the_command_writes_what_the_server_takes(server, tmp_path, weights, capsys):
    root = {"freihand": freihand, "ho3d": ho3d}[server](tmp_path)
    out = tmp_path / "answers.zip"
    command = ["submit", server, "--weights", str(weights), "--data", str(root), "--batch", "2"]
    assert main([*command, "--out", str(out)]) == 0
    joints, vertices = archived(out)
    assert joints.shape == (3, 21, 3)
    assert vertices.shape == (3, 778, 3)
    forward = vertices[..., 2] if server == "freihand" else -vertices[..., 2]
    assert (forward > 0.1).all()  # metres before the camera
    reach = np.linalg.norm(joints - joints[:, :1], axis=-1).max()
    assert 0.1 < reach < 0.3
    assert "vertices are not MANO's" in capsys.readouterr().err.replace("\n", " ")
    first = out.read_bytes()
    assert main([*command, "--out", str(out)]) == 0
    assert out.read_bytes() == first


def test_ho3d_has_its_own_order_and_frame(rng):
    hands = Hands(rng.normal(size=(2, 21, 3)), rng.normal(size=(2, 778, 3)))
    answers = in_server_terms("ho3d", hands)
    # HO-3D: wrist, index, middle, pinky, ring, thumb (3 each), then tips from the thumb on.
    expected = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20]
    np.testing.assert_array_equal(answers.joints, hands.joints[:, expected] * GL)
    np.testing.assert_array_equal(answers.vertices, hands.vertices * GL)
    same = in_server_terms("freihand", hands)
    assert same.joints is hands.joints
    assert same.vertices is hands.vertices


class Fixed:
    """A hand that stands still in the camera of the whole picture, seen in rolled crops."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.joints, self.vertices = rng.normal(size=(21, 3)), rng.normal(size=(778, 3))

    def __call__(self, batch: TrainBatch) -> Predicted:
        turn = batch.crop_from_cam.double().numpy().transpose(0, 2, 1)
        assert np.abs(turn - np.eye(3)).max() > 0.1
        return Predicted(self.joints @ turn, self.vertices @ turn, None)


def test_the_roll_of_the_crop_is_undone_and_the_order_kept(tmp_path, rng):
    uv = rng.uniform(250, 380, (21, 2))
    uv[9] = uv[0] + [100, 0]  # fingers to the right, so that the crop is turned
    names = ("SM1/0003.png", "SM1/0000.png", "MPM10/0007.png")
    images = [{"name": n, "hands": [{"side": "right", "uv": uv.tolist()}]} for n in names]
    (tmp_path / "labels.json").write_text(json.dumps({"images": images}))
    dataset = evaluation_set("ho3d", ho3d(tmp_path), tmp_path / "labels.json")
    assert [dataset[i].clip for i in range(3)] == [("SM1", 3), ("SM1", 0), ("MPM10", 7)]
    fixed = Fixed(rng)
    with Progress(console=Console(file=io.StringIO())) as progress:
        hands = all_answers(fixed, dataset, 128, 2, progress)
        assert progress.tasks[0].completed == 3
    for joints, vertices in zip(hands.joints, hands.vertices, strict=True):
        np.testing.assert_allclose(joints, fixed.joints, atol=1e-6)
        np.testing.assert_allclose(vertices, fixed.vertices, atol=1e-6)


def test_the_truth_is_never_a_guide(tmp_path, weights):
    root = freihand(tmp_path)
    command = ["submit", "freihand", "--weights", str(weights), "--data", str(root)]
    out = tmp_path / "a.zip"
    assert main([*command, "--out", str(out)]) == 0
    first = out.read_bytes()
    truth = np.random.default_rng(0).normal([0.05, 0, 0.6], 0.03, (3, 21, 3))
    (root / "evaluation_xyz.json").write_text(json.dumps(truth.tolist()))
    assert main([*command, "--out", str(out)]) == 0
    assert out.read_bytes() == first


def test_a_broken_picture_stops_the_submission(tmp_path, weights, capsys):
    root = freihand(tmp_path)
    (root / "evaluation" / "rgb" / "00000002.jpg").write_bytes(b"broken")
    out = tmp_path / "a.zip"
    out.write_bytes(b"the last one")
    command = ["submit", "freihand", "--weights", str(weights), "--data", str(root)]
    assert main([*command, "--out", str(out)]) == 2
    assert "00000002.jpg" in capsys.readouterr().err.replace("\n", "")
    assert out.read_bytes() == b"the last one"


def test_hands_of_another_size_are_refused(tmp_path, weights, monkeypatch, capsys):
    hand = HandModel.load()
    parts = (hand.v_template, hand.shapedirs, hand.posedirs, hand.lbs_weights)
    names = ("v_template", "shapedirs", "posedirs", "lbs_weights")
    few = {name: part[:700] for name, part in zip(names, parts, strict=True)}
    small = dataclasses.replace(hand, **few, J_regressor=hand.J_regressor[:, :700])
    monkeypatch.setattr(train.submit.HandModel, "load", lambda path: small)
    command = ["submit", "ho3d", "--weights", str(weights), "--data", str(tmp_path)]
    assert main(command) == 2
    assert "778 vertices" in capsys.readouterr().err.replace("\n", " ")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    hands = Answers(np.zeros((1, 21, 3)), np.zeros((1, 778, 3)))
    with pytest.raises(Exception, match="cannot write"):
        write_submission(tmp_path / "no" / "a.zip", hands)
    monkeypatch.setattr("tracker.whole_file.os.fsync", full_disk)
    with pytest.raises(Exception, match="disk is full"):
        write_submission(tmp_path / "a.zip", hands)
    assert not list(tmp_path.iterdir())
    with pytest.raises(TrainingError, match="not all finite"):
        Answers(np.full((1, 21, 3), np.nan), np.zeros((1, 778, 3)))


def full_disk(descriptor: int) -> None:
    raise OSError(28, "No space left on device")
