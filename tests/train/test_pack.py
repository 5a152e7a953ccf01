"""Packed hands: what the trainer cuts out of them is what it cuts out of the whole pictures."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracker.vision.crops import frame_from_crop
from tracker.vision.records import Roi
from train.__main__ import main
from train.augment import Augmentation, crop_sample
from train.crop_view import RoiJitter
from train.datasets import open_dataset
from train.datasets.image_files import read_rgb
from train.datasets.image_folder import ImageFolder
from train.datasets.keypoint_files import (
    HandLabel,
    labels_as_json,
    no_hand,
    read_labels,
    write_labels,
)
from train.datasets.sample import DatasetError, SampleError
from train.pack_crop import seen_part
from train.pack_folder import QUALITIES, PackConfig, evenly, pack_folder

# A hand as wide as high, wrist below, in units of its height.
HAND = np.random.default_rng(3).uniform((-0.4, -0.5), (0.4, 0.3), (21, 2))
HAND[[0, 5, 9, 13, 17]] = [[0, 0.5], [-0.2, 0.1], [-0.05, 0.05], [0.1, 0.08], [0.2, 0.12]]


def label(name: str, center: tuple[float, float], size: float, side="right", turn=0.0) -> HandLabel:
    cos, sin = np.cos(turn), np.sin(turn)
    uv = HAND @ np.array([[cos, sin], [-sin, cos]]) * size + center
    return HandLabel(name, side, uv, np.linspace(0.3, 1, 21))


def picture(path: Path, hw: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 255, (hw[0] // 40, hw[1] // 40, 3), np.uint8)
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(coarse, hw[::-1], interpolation=cv2.INTER_CUBIC))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small, large, turned, left, at the border, two in one picture; and nothing in one."""
    root = tmp_path_factory.mktemp("pack") / "whole"
    root.mkdir()
    picture(root / "small.png", (480, 640), 0)
    picture(root / "a" / "large.png", (1200, 1600), 1)
    picture(root / "empty.png", (64, 64), 2)
    labels = [
        label("small.png", (200, 240), 80),
        label("small.png", (420, 200), 90, "left", 0.6),
        label("a/large.png", (800, 600), 500, turn=2.0),
        label("a/large.png", (1500, 1100), 300, "left", -0.8),
        no_hand("empty.png"),
    ]
    write_labels(root / "labels.npz", labels)
    return root


@pytest.fixture(scope="module")
def packed(folder: Path) -> ImageFolder:
    out = folder.parent / "small"
    report = pack_folder(folder, out, config=PackConfig(quality=100))
    assert (report.hands, len(report.labels), report.broken) == (4, 4, [])
    assert report.megabytes == sum(f.stat().st_size for f in out.iterdir()) / 1e6
    return ImageFolder(out)


def pairs(folder: Path, packed: ImageFolder):
    """Return each hand in the whole picture and packed."""
    whole = ImageFolder(folder)
    order = {hand.source.partition(":")[2]: hand for hand in map(packed.__getitem__, range(4))}
    names = sorted(order)  # a_large_..., a_large_..., small_..., small_...
    originals = sorted(map(whole.__getitem__, range(4)), key=lambda s: s.source)
    for name in names:
        hand = order[name]
        # Two hands of one picture are told apart by their shape, which packing keeps.
        fits = [o for o in originals if same_shape(o.uv, hand.uv)]
        assert len(fits) == 1, name
        yield fits[0], hand


def same_shape(a: np.ndarray, b: np.ndarray) -> bool:
    first, second = ((x - x.mean(0)) / (x - x.mean(0)).std() for x in (a, b))
    return bool(np.abs(first - second).max() < 0.05)


@pytest.mark.parametrize("seed", [None, 1, 2, 3, 4, 5])
def test_a_training_crop_is_the_same_from_the_whole_picture_and_packed(folder, packed, seed):
    for whole, part in pairs(folder, packed):
        crops = []
        for sample in (whole, part):
            rng = None if seed is None else np.random.default_rng(seed)
            crops.append(crop_sample(sample, 128, rng, STILL))
        first, second = crops
        np.testing.assert_allclose(second.uv, first.uv, atol=1e-4)
        np.testing.assert_allclose(second.K, first.K, rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(second.crop_from_cam, first.crop_from_cam, atol=1e-5)
        np.testing.assert_array_equal(second.confidence, first.confidence)
        apart = np.abs(first.rgb.astype(int) - second.rgb)
        assert apart.mean() < 2.5, whole.source
        # Nothing that the crop shows is missing: black is black in both.
        assert np.mean((first.rgb.max(2) < 20) != (second.rgb.max(2) < 20)) < 0.02


STILL = dataclasses.replace(
    Augmentation(), brightness=0.0, contrast=0.0, tint=0.0, saturation=0.0, blur=0.0, noise=0.0
)
"""Regions moved as in training, colours as they are."""


@pytest.mark.parametrize("angle", [0.0, 0.5, -0.7, 2.0, 3.1, -2.5])
def test_the_part_holds_every_region_and_little_more(angle):
    jitter, roi = RoiJitter(), Roi(np.array([3000.0, 2000.0]), 400.0, angle)
    left, top, right, bottom = seen_part(roi, jitter, (4000, 6000))
    corners = []
    for turn in np.linspace(-1, 1, 41) * jitter.rotation_rad:
        grown = Roi(roi.center_uv, roi.size_px * jitter.scale, angle + turn)
        square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
        affine = frame_from_crop(grown, 1)
        corners.append(square @ affine[:, :2].T + affine[:, 2])
    shift = jitter.shift * roi.size_px
    low, high = np.min(corners, (0, 1)) - shift, np.max(corners, (0, 1)) + shift
    np.testing.assert_array_less([left, top], low - 1)
    np.testing.assert_array_less(high + 1, [right, bottom])
    np.testing.assert_allclose([left, top, right, bottom], [*low, *high], atol=4)


def test_small_hands_keep_their_pixels_and_large_ones_are_averaged_down(folder, packed):
    for whole, part in pairs(folder, packed):
        ratio = part.uv.std(0).sum() / whole.uv.std(0).sum()
        large = "large" in whole.source
        assert ratio < 0.9 if large else ratio == pytest.approx(1, abs=1e-5)
        assert part.rgb.size < whole.rgb.size


def test_the_folder_is_used_by_name_and_its_cameras_survive_json(folder, packed, tmp_path):
    out = folder.parent / "small"
    named = open_dataset(f"images:{out}")
    np.testing.assert_array_equal(named[0].K, packed[0].K)
    file = tmp_path / "labels.json"
    file.write_text(labels_as_json(read_labels(out / "labels.npz")), "utf-8")
    for one, other in zip(read_labels(file), read_labels(out / "labels.npz"), strict=True):
        np.testing.assert_allclose(one.K, other.K)


def test_packing_a_packed_folder_moves_the_camera_along(folder, packed, tmp_path):
    pack_folder(folder.parent / "small", tmp_path / "again", config=PackConfig(quality=100))
    for one, other in zip(
        map(packed.__getitem__, range(4)), ImageFolder(tmp_path / "again"), strict=False
    ):
        first, second = crop_sample(one, 128, None), crop_sample(other, 128, None)
        np.testing.assert_allclose(second.K, first.K, rtol=1e-4, atol=1e-2)


def test_a_budget_keeps_an_even_part(folder, tmp_path):
    picture(tmp_path / "p" / "0.png", (200, 200), 7)
    labels = [label("0.png", (100, 100), 60) for _ in range(40)]
    write_labels(tmp_path / "p" / "labels.npz", labels)
    report = pack_folder(tmp_path / "p", tmp_path / "out", config=PackConfig(megabytes=0.06))
    assert report.quality == QUALITIES[-1]
    assert 2 <= len(report.labels) < 40
    assert report.megabytes <= 0.06
    assert len(ImageFolder(tmp_path / "out")) == len(report.labels)
    generous = pack_folder(tmp_path / "p", tmp_path / "all", config=PackConfig(megabytes=60.0))
    assert (generous.quality, len(generous.labels)) == (QUALITIES[0], 40)


@pytest.mark.parametrize("count", [1, 2, 7, 64, 100])
def test_every_beginning_is_even(count):
    hands = [HandLabel(f"{i:03d}", "right", np.zeros((21, 2)), np.ones(21)) for i in range(count)]
    places = [int(hand.name) for hand in evenly(hands[::-1])]
    assert sorted(places) == list(range(count))
    half = sorted(places[: max(count // 2, 1)])
    assert max(np.diff([-1, *half, count])) <= 5


def test_broken_pictures_are_left_out_and_named(folder, tmp_path):
    (tmp_path / "p").mkdir()
    picture(tmp_path / "p" / "good.png", (200, 200), 7)
    (tmp_path / "p" / "bad.png").write_bytes(b"no picture")
    labels = [label(f"{name}.png", (100, 100), 60) for name in ("good", "bad", "gone")]
    labels.append(label("good.png", (100, 100), 3))
    write_labels(tmp_path / "p" / "labels.npz", labels)
    report = pack_folder(tmp_path / "p", tmp_path / "out")
    assert (len(report.labels), len(report.broken)) == (1, 3)
    assert any("bad.png" in problem for problem in report.broken)
    assert read_rgb(tmp_path / "out" / report.labels[0].name).ndim == 3


def test_nothing_is_left_behind_where_packing_fails(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("train.pack_folder.write_labels", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pack_folder(folder, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_hostile_names_stay_in_the_folder(folder, tmp_path):
    (tmp_path / "p").mkdir()
    picture(tmp_path / "evil.png", (200, 200), 7)
    write_labels(tmp_path / "p" / "labels.npz", [label("../evil.png", (100, 100), 60)])
    report = pack_folder(tmp_path / "p", tmp_path / "deep" / "out")
    assert [hand.name for hand in report.labels] == ["evil_00000.jpg"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_intrinsics_that_no_camera_has_are_refused(folder, tmp_path):
    picture(tmp_path / "0.png", (200, 200), 7)
    broken = dataclasses.replace(label("0.png", (100, 100), 60), K=np.diag([-5.0, 5, 1]))
    write_labels(tmp_path / "labels.npz", [broken])
    with pytest.raises(SampleError, match="label"):
        ImageFolder(tmp_path)[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "{whole}"], "exists"),
        (["--out", "{new}", "--megabytes", "0.0001"], "hold not even one"),
        (["--out", "{new}", "--megabytes", "-1"], "above 0"),
        (["--out", "{new}", "--quality", "101"], "between 1 and 100"),
        (["--out", "{new}", "--labels", "{new}.npz"], "cannot be read"),
    ],
)
def test_mistakes_are_one_line(folder, tmp_path, capsys, options, said):
    given = [o.format(whole=folder, new=tmp_path / "new") for o in options]
    assert main(["pack", str(folder), *given]) == 2
    message = capsys.readouterr().err
    assert said in message.replace("\n", " ")
    assert not (tmp_path / "new").exists()


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="train labels"):
        pack_folder(tmp_path, tmp_path / "out")


def test_the_command_says_what_it_did(folder, tmp_path, capsys):
    assert main(["pack", str(folder), "--out", str(tmp_path / "new")]) == 0
    assert "4 of 4 hands in 0." in capsys.readouterr().err
