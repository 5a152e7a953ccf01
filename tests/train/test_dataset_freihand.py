import json
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from train.augment import crop_sample
from train.datasets.freihand import COMPOSITE_WEIGHT, ORIGINAL_WEIGHT, FreiHand
from train.datasets.mixing import BatchStream, StreamConfig
from train.datasets.sample import DatasetError, SampleError

HANDS = 3
K = [[480.0, 0.0, 112.0], [0.0, 480.0, 112.0], [0.0, 0.0, 1.0]]


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path: Path, rng: np.random.Generator) -> Path:
    """FreiHAND_pub_v2 as it is unpacked, with three hands instead of 32,560."""
    xyz = rng.normal([0, 0, 0.7], 0.04, (HANDS, 21, 3))
    for split, versions in (("training", 4), ("evaluation", 1)):
        for folder in ("rgb", "mask"):
            (tmp_path / split / folder).mkdir(parents=True)
        for i in range(HANDS * versions):
            picture = rng.integers(0, 255, (224, 224, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / split / "rgb" / f"{i:08d}.jpg"), picture)
        write_json(tmp_path / f"{split}_K.json", [K] * HANDS)
        write_json(tmp_path / f"{split}_scale.json", [0.03] * HANDS)
    for i in range(HANDS):
        mask = np.zeros((224, 224), np.uint8)
        mask[60 : 150 + i, 80:140] = 255
        cv2.imwrite(str(tmp_path / "training" / "mask" / f"{i:08d}.jpg"), mask)
    write_json(tmp_path / "training_xyz.json", xyz.tolist())
    write_json(tmp_path / "training_mano.json", [[[0.0] * 61]] * HANDS)
    write_json(
        tmp_path / "training_verts.json", rng.normal([0, 0, 0.7], 0.04, (HANDS, 778, 3)).tolist()
    )
    return tmp_path


def test_every_background_is_a_sample_of_the_same_hand(root: Path):
    data = FreiHand(root)
    assert len(data) == 12
    for i in range(HANDS):
        first, later = data[i], data[i + 2 * HANDS]
        np.testing.assert_array_equal(first.uv, later.uv)
        assert not np.array_equal(first.rgb, later.rgb)
        assert first.photometric_weight == ORIGINAL_WEIGHT
        assert later.photometric_weight == COMPOSITE_WEIGHT
    assert data[4].source == "freihand-training:00000004.jpg"
    assert len(FreiHand(root, versions=1)) == HANDS
    with pytest.raises(IndexError, match="asked for 12"):
        data[12]


def test_annotated_joints_are_projected(root: Path):
    sample = FreiHand(root, with_vertices=True)[1]
    xyz = np.array(json.loads((root / "training_xyz.json").read_text()))[1]
    np.testing.assert_array_equal(sample.truth.xyz, xyz)
    np.testing.assert_allclose(sample.uv, 480 * xyz[:, :2] / xyz[:, 2:] + 112)
    assert (sample.confidence == 1).all()
    assert sample.truth.vertices.shape == (778, 3)
    assert sample.truth.mask[100, 100]
    assert not sample.truth.mask[10, 10]


def test_detections_of_the_original_serve_all_backgrounds(root: Path, tmp_path: Path):
    pixels = np.arange(HANDS * 42).reshape(HANDS, 21, 2).tolist()
    sure = np.full((HANDS, 21, 1), 0.5).tolist()
    names = [[f"{i:08d}.jpg"] for i in range(HANDS)]
    write_json(tmp_path / "detect.json", [pixels, sure, names])
    data = FreiHand(root, keypoints=tmp_path / "detect.json")
    for index in (1, 1 + 3 * HANDS):
        np.testing.assert_array_equal(data[index].uv, np.array(pixels[1]) + 0.5)
        assert (data[index].confidence == 0.5).all()


def test_evaluation_without_joints_is_the_whole_crop(root: Path):
    data = FreiHand(root, "evaluation")
    sample = data[0]
    assert sample.truth.xyz is None
    assert not sample.confidence.any()
    made = crop_sample(sample, 224, None)
    np.testing.assert_allclose(made.K, K, atol=0.5)
    write_json(root / "evaluation_xyz.json", json.loads((root / "training_xyz.json").read_text()))
    assert FreiHand(root, "evaluation")[0].truth.xyz.shape == (21, 3)


@pytest.mark.parametrize("name", ["training_K.json", "training_xyz.json"])
def test_a_missing_annotation_file_is_named(root: Path, name: str):
    (root / name).unlink()
    with pytest.raises(DatasetError, match=name):
        FreiHand(root)


def test_a_damaged_annotation_file_is_named(root: Path):
    (root / "training_K.json").write_text("[[1, 2")
    with pytest.raises(DatasetError, match=r"training_K\.json .* damaged"):
        FreiHand(root)


def test_wrong_counts_are_told(root: Path):
    xyz = json.loads((root / "training_xyz.json").read_text())
    write_json(root / "training_xyz.json", xyz[:2])
    with pytest.raises(DatasetError, match=r"3 entries and training_xyz\.json 2"):
        FreiHand(root)
    write_json(root / "training_xyz.json", xyz)
    (root / "training" / "rgb" / "00000011.jpg").unlink()
    with pytest.raises(DatasetError, match="holds 11 pictures"):
        FreiHand(root)


def test_broken_samples_name_their_file(root: Path):
    picture = root / "training" / "rgb" / "00000002.jpg"
    whole = picture.read_bytes()
    data = FreiHand(root)
    for content in (b"", whole[:300], b"no picture at all"):
        picture.write_bytes(content)
        with pytest.raises(SampleError, match=r"00000002\.jpg"):
            data[2]
    cv2.imwrite(str(picture), np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(SampleError, match="1x1 pixels"):
        data[2]
    picture.unlink()
    with pytest.raises(SampleError, match="cannot be read"):
        data[2]
    assert data[1].rgb.shape == (224, 224, 3)


def test_nan_and_unsure_keypoints_are_broken_samples(root: Path, tmp_path: Path):
    pixels, sure = np.ones((HANDS, 21, 2)), np.full((HANDS, 21, 1), 0.5)
    pixels[0, 3], sure[1] = np.nan, 0
    names = [[f"{i:08d}.jpg"] for i in range(HANDS)]
    write_json(tmp_path / "detect.json", [pixels.tolist(), sure.tolist(), names])
    data = FreiHand(root, keypoints=tmp_path / "detect.json")
    for index in (0, 1):
        with pytest.raises(SampleError, match=f"{index:08d}.jpg"):
            data[index]
    xyz = json.loads((root / "training_xyz.json").read_text())
    xyz[2][5][2] = float("nan")
    write_json(root / "training_xyz.json", xyz)
    with pytest.raises(SampleError, match="entry 2"):
        FreiHand(root)[2]


def test_a_stream_survives_and_counts(root: Path):
    (root / "training" / "rgb" / "00000002.jpg").write_bytes(b"broken")
    config = StreamConfig(hw_px=64)
    with BatchStream(FreiHand(root), batch=2, config=config) as stream:
        with pytest.raises(DatasetError, match="more than 5%"):
            list(islice(stream, 6))  # one of twelve
        assert list(stream.broken) == ["freihand-training:2"]
