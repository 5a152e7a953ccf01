"""The table of the papers, against the official programs' definitions written out anew."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.linalg import orthogonal_procrustes

from tracker.geometry.hand_model import HandModel
from tracker.vision.network import NetworkConfig, S2HandNetwork
from tracker.vision.network_files import write_network
from train.__main__ import main
from train.batch import TrainBatch
from train.dataset_joints import TIP_VERTICES, joints_by_rule, rule_for
from train.datasets.mixing import ordered_batches
from train.datasets.sample import DatasetError
from train.datasets.synthetic import SyntheticConfig, SyntheticHands
from train.evaluate import measure
from train.evaluate_measures import bone_align, measured, summary
from train.evaluate_report import Evaluation, report
from train.predictor import MeanHandPredictor, Predicted, mean_hand

HANDS = SyntheticHands(SyntheticConfig(size_px=64, seed=3, count=5))


@pytest.fixture(scope="module")
def batch() -> TrainBatch:
    return next(ordered_batches(HANDS, batch=5, hw_px=64))


def truth_of(batch: TrainBatch) -> Predicted:
    assert batch.vertices is not None
    parts = (batch.xyz, batch.vertices, batch.uv_true)
    return Predicted(*(part.double().numpy() for part in parts))


def moved(hands: Predicted, scale: float = 1.0, shift_m: float = 0.0) -> Predicted:
    offset = np.array([shift_m, 0, 0])
    return dataclasses.replace(
        hands, joints=scale * hands.joints + offset, vertices=scale * hands.vertices + offset
    )


def test_a_perfect_predictor_has_no_error(batch):
    numbers, broken, count = measure({"perfect": truth_of}, HANDS, 64, batch=2)
    assert not broken
    assert count == 5
    for name, value in numbers["perfect"].items():
        if name.endswith(("_mm", "_px")):
            assert value < 1e-6, name
        else:
            # Rounding may lift errors above the first threshold, 0 mm: half a step of the area.
            assert 1 - 0.51 / 99 < value < 1 + 1e-9, name
    assert numbers["perfect"]["none_auc_j"] == pytest.approx(1)
    alignments = {name.partition("_")[0] for name in numbers["perfect"]} - {"uv"}
    assert alignments == {"official", "similarity", "scale", "wrist", "none"}


def test_a_shifted_hand_is_wrong_where_it_stands_only(batch):
    numbers = summary([measured(moved(truth_of(batch), shift_m=0.025), batch, one_mesh=True)])
    assert numbers["none_mpjpe_mm"] == pytest.approx(25)
    assert numbers["none_mpvpe_mm"] == pytest.approx(25)
    # Of 100 thresholds the upper 50 are above 25 mm: half of the area.
    assert numbers["none_auc_j"] == numbers["none_auc_v"] == pytest.approx(0.5)
    for name in ("wrist_mpjpe_mm", "wrist_mpvpe_mm", "scale_mpjpe_mm", "official_mpjpe_mm"):
        assert numbers[name] < 1e-6


def test_a_large_hand_is_right_once_its_bone_is(batch):
    numbers = summary([measured(moved(truth_of(batch), scale=1.5), batch, one_mesh=True)])
    reach = np.linalg.norm(batch.xyz - batch.xyz[:, :1], axis=-1).mean() * 1e3
    assert numbers["wrist_mpjpe_mm"] == pytest.approx(0.5 * reach, rel=1e-5)
    assert numbers["scale_mpjpe_mm"] < 1e-6
    assert numbers["official_mpvpe_mm"] < 1e-6


def test_pixels_count_in_a_crop_of_224(batch):
    truth = truth_of(batch)
    found = dataclasses.replace(truth, uv=truth.uv + np.array([2.0, 0.0]))
    numbers = summary([measured(found, batch, one_mesh=True)])
    assert numbers["uv_px"] == pytest.approx(7, rel=1e-4)
    assert (numbers["uv_within_5px"], numbers["uv_within_10px"]) == (0, 1)


def official(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The alignment of both evaluation programs, one frame."""
    centre, goal = predicted.mean(0), truth.mean(0)
    a, b = truth - goal, predicted - centre
    size_a, size_b = np.linalg.norm(a), np.linalg.norm(b)
    turn, stretch = orthogonal_procrustes(a / size_a, b / size_b)
    return (b / size_b) @ turn.T * stretch * size_a + goal


def official_auc(errors_m: np.ndarray) -> float:
    """Mean over points of the area below each one's curve, `errors_m` (frames, points)."""
    thresholds = np.linspace(0, 0.05, 100)
    curves = np.stack([(errors_m <= t).mean(0) for t in thresholds])
    return float((np.trapezoid(curves, thresholds, axis=0) / 0.05).mean())


def official_f(predicted: np.ndarray, truth: np.ndarray, limit_m: float) -> float:
    distance = np.linalg.norm(predicted[:, None] - truth, axis=-1)
    recall = (distance.min(1) < limit_m).mean()
    precision = (distance.min(0) < limit_m).mean()
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


@pytest.fixture(scope="module")
def guess(batch) -> Predicted:
    rng = np.random.default_rng(4)
    truth = truth_of(batch)
    joints = truth.joints + rng.normal(0, 0.012, truth.joints.shape)
    vertices = truth.vertices + rng.normal(0, 0.006, truth.vertices.shape)
    # The first hand is a mirror image, which the official programs forgive.
    joints[0, :, 0] *= -1
    vertices[0, :, 0] *= -1
    return Predicted(1.3 * joints + 0.02, 0.8 * vertices - 0.03, None)


def test_the_official_definitions_are_met(batch, guess):
    numbers = summary([measured(guess, batch, one_mesh=True)])
    truth = truth_of(batch)
    pairs = {
        "j": (guess.joints, truth.joints, "mpjpe"),
        "v": (guess.vertices, truth.vertices, "mpvpe"),
    }
    for kind, (points, target, mean) in pairs.items():
        aligned = np.stack([official(p, t) for p, t in zip(points, target, strict=True)])
        errors = np.linalg.norm(aligned - target, axis=-1)
        assert numbers[f"official_{mean}_mm"] == pytest.approx(1e3 * errors.mean(0).mean())
        assert numbers[f"official_auc_{kind}"] == pytest.approx(official_auc(errors))
        assert numbers[f"similarity_{mean}_mm"] > numbers[f"official_{mean}_mm"] + 1
    for mm in (5, 15):
        scores = [official_f(a, t, mm / 1e3) for a, t in zip(aligned, target, strict=True)]
        assert numbers[f"official_f{mm}"] == pytest.approx(np.mean(scores))


def test_ho3d_scales_by_the_bone_to_the_middle_knuckle(batch, guess):
    truth = truth_of(batch).joints
    aligned = bone_align(guess.joints, truth)
    for found, point, target in zip(aligned, guess.joints, truth, strict=True):
        # Joints 0 and 4 of HO-3D are the wrist and the middle knuckle, our 0 and 9.
        scaled = point / np.linalg.norm(point[9] - point[0]) * np.linalg.norm(target[9] - target[0])
        np.testing.assert_allclose(found, scaled - scaled[0] + target[0])


def test_another_mesh_is_carried_by_the_joints(batch):
    truth = truth_of(batch)
    other = dataclasses.replace(truth, vertices=truth.vertices[:, ::2])
    numbers = summary([measured(moved(other, 1.2, 0.1), batch, one_mesh=False)])
    assert not [name for name in numbers if name.endswith(("auc_v", "mpvpe_mm"))]
    assert numbers["official_f15"] > 0.99
    assert numbers["official_f5"] < 1  # half of the points have no partner nearby
    assert numbers["none_f5"] < 0.05


def test_unknown_truth_is_left_out(batch, guess):
    unknown = dataclasses.replace(batch, xyz=batch.xyz.clone(), uv_true=batch.uv_true.clone())
    unknown.xyz[0], unknown.uv_true[0] = torch.nan, torch.nan
    numbers = summary([measured(guess, unknown, one_mesh=True)])
    rest = Predicted(guess.joints[1:], guess.vertices[1:], None)
    fields = [field.name for field in dataclasses.fields(batch)]
    part = TrainBatch(**{name: getattr(batch, name)[1:] for name in fields})
    assert numbers == summary([measured(rest, part, one_mesh=True)])


def test_the_mean_hand_has_no_place(batch):
    numbers, _, _ = measure({"mean-hand": MeanHandPredictor(HandModel.load())}, HANDS, 64)
    names = set(numbers["mean-hand"])
    assert {name.partition("_")[0] for name in names} == {"official", "similarity"}
    assert 8 < numbers["mean-hand"]["official_mpjpe_mm"] < 30


def test_joints_are_read_as_the_data_sets_do():
    hand = HandModel.load()
    mano = dataclasses.replace(hand, model_id="mano")
    mesh = mean_hand(mano)
    assert joints_by_rule(mesh, mano, "own") is mesh.joints
    for rule in ("freihand", "ho3d"):
        joints = joints_by_rule(mesh, mano, rule)[0]
        tips = mesh.vertices[0, list(TIP_VERTICES[rule])]
        assert torch.equal(joints[4::4], tips)
        regressed = mano.J_regressor @ mesh.vertices[0]
        inner = regressed[[0, 1, 13]] if rule == "freihand" else mesh.joints[0, [0, 5, 1]]
        assert torch.equal(joints[[0, 5, 1]], inner)
        with pytest.raises(ValueError, match="open_hand"):
            joints_by_rule(mesh, hand, rule)
    assert [rule_for(kind, mano) for kind in ("freihand", "ho3d", "synthetic")] == [
        *("freihand", "ho3d", "own")
    ]
    assert rule_for("freihand", hand) == "own"


def write_freihand(root: Path, hands: int = 3) -> None:
    """FreiHAND's evaluation part with its truth, as it is unpacked."""
    (root / "evaluation" / "rgb").mkdir(parents=True)
    mesh = mean_hand(HandModel.load())
    centre = mesh.joints[0].mean(0)
    place = np.array([0.02, 0.01, 0.6]) - centre.numpy()
    for i in range(hands):
        picture = np.full((224, 224, 3), 40 * i, np.uint8)
        cv2.imwrite(str(root / "evaluation" / "rgb" / f"{i:08d}.jpg"), picture)
    K = [[480.0, 0.0, 112.0], [0.0, 480.0, 112.0], [0.0, 0.0, 1.0]]
    tables = {
        "K": [K] * hands,
        "xyz": [(mesh.joints[0].numpy() + place).tolist()] * hands,
        "verts": [(mesh.vertices[0].numpy() + place).tolist()] * hands,
    }
    for name, table in tables.items():
        (root / f"evaluation_{name}.json").write_text(json.dumps(table))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    hand = HandModel.load()
    config = NetworkConfig(encoder="mobilenetv4_conv_small", input_px=128)
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    write_network(path, S2HandNetwork(config.for_hand(hand)), hand, {"step": "7"})
    return path


def test_the_command_prints_and_writes_the_table(tmp_path, weights, capsys):
    write_freihand(tmp_path)
    (tmp_path / "evaluation" / "rgb" / "00000001.jpg").write_bytes(b"broken")
    words = f"freihand:{tmp_path},split=evaluation"
    both = ["--weights", str(weights), "--baseline", "mean-hand", "--batch", "2"]
    out = tmp_path / "numbers.json"
    assert main(["evaluate", "--data", words, *both, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    for word in ("AUC_V", "F15", "network", "mean-hand", "TRUE joints", "step 7", "00000001.jpg"):
        assert word in told
    document = json.loads(out.read_text())
    assert document["samples"] == 2
    assert list(document["broken"]) == ["freihand-evaluation:1"]
    assert document["hand"] == "open_hand-1"
    numbers = document["numbers"]
    assert numbers["mean-hand"]["official_mpjpe_mm"] < 1e-3
    # FreiHAND's surface is MANO's, whose vertices are not the open hand's.
    assert "official_mpvpe_mm" not in numbers["network"]
    assert {"none_mpjpe_mm", "scale_auc_j", "uv_px", "official_f5"} < set(numbers["network"])


def test_a_box_tells_nothing_of_the_joints(tmp_path, weights, capsys):
    write_freihand(tmp_path)
    words = f"freihand:{tmp_path},split=evaluation"
    command = ["evaluate", "--data", words, "--weights", str(weights), "--crop", "box"]
    found = []
    for shift in (0.0, 0.05):
        truth = np.array(json.loads((tmp_path / "evaluation_xyz.json").read_text()))
        (tmp_path / "evaluation_xyz.json").write_text(
            json.dumps((truth + np.array([shift, 0, 0])).tolist())
        )
        assert main([*command, "--out", str(tmp_path / "out.json")]) == 0
        found.append(json.loads((tmp_path / "out.json").read_text())["numbers"]["network"])
    assert "upright box" in capsys.readouterr().out
    assert found[0]["wrist_mpjpe_mm"] == pytest.approx(found[1]["wrist_mpjpe_mm"])
    assert found[1]["uv_px"] > found[0]["uv_px"] + 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "synthetic,count=2"], "nothing to measure"),
        (["--data", "synthetic", "--baseline", "mean-hand"], "no end"),
        (["--data", "moon", "--baseline", "mean-hand"], "unknown"),
        (["--data", "synthetic,count=2", "--weights", "none.safetensors"], "none.safetensors"),
        (["--data", "synthetic,count=2", "--baseline", "mean-hand", "--joints", "ho3d"], "MANO"),
        (
            ["--data", "synthetic,count=1", "--baseline", "mean-hand", "--out", "no/such/a.json"],
            "no/such/a.json",
        ),
    ],
)
def test_mistakes_are_one_line(capsys, arguments: list[str], said: str):
    assert main(["evaluate", *arguments]) == 2
    message = capsys.readouterr().err
    assert said in message.replace("\n", "")
    assert "Traceback" not in message


def test_nothing_to_measure_is_an_error(tmp_path):
    class Broken:
        name = "broken"

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int):
            raise DatasetError("no") if index > 1 else sample_error(index)

    with pytest.raises(DatasetError, match=r"nothing of broken .* picture 0"):
        measure({"perfect": truth_of}, Broken(), 64)


def sample_error(index: int):
    from train.datasets.sample import SampleError

    return SampleError(f"picture {index} is damaged")


def test_the_report_names_alignment_and_crop():
    numbers = {
        "network": {"official_auc_j": 0.77, "official_mpjpe_mm": 11.8, "none_mpjpe_mm": 60.0}
    }
    evaluation = Evaluation(
        "ho3d:x", "w", "0", "mano", "chain", "the box", "same mesh", 3, {}, numbers
    )
    console = Console(record=True, width=120)
    report(console, evaluation, {})
    told = console.export_text()
    for word in ("0.770", "11.80", "60.00", "none", "the box", "chain", "Procrustes"):
        assert word in told
