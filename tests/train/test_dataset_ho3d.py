import io
import json
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from train.augment import crop_sample
from train.datasets.ho3d import Ho3d
from train.datasets.numpy_pickle import read_number_pickle
from train.datasets.sample import DatasetError, SampleError

K = np.array([[614.6, 0, 320.3], [0, 614.7, 241.6], [0, 0, 1]])
GL = np.array([1, -1, -1])


def camera_points(rng: np.random.Generator) -> np.ndarray:
    return rng.normal([0.02, 0.03, 0.6], 0.03, (21, 3))


@pytest.fixture
def root(tmp_path: Path, rng: np.random.Generator) -> Path:
    """HO3D_v2 as it is unpacked, two frames of one sequence in each part."""
    for split, sequence, suffix in (("train", "ABF10", ".png"), ("evaluation", "SM1", ".jpg")):
        for folder in ("rgb", "meta", "depth"):
            (tmp_path / split / sequence / folder).mkdir(parents=True)
        for frame in ("0000", "0012"):
            picture = rng.integers(0, 255, (480, 640, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / split / sequence / "rgb" / f"{frame}{suffix}"), picture)
            joints = camera_points(rng) * GL
            meta = {
                "camMat": K,
                "handJoints3D": joints if split == "train" else joints[0],
                "objName": "021_bleach_cleanser",
                "objRot": np.zeros((3, 1)),
                "objTrans": np.zeros(3, np.float32),
            }
            meta |= (
                {"handPose": np.zeros(48), "handBeta": np.zeros(10), "handTrans": np.zeros(3)}
                if split == "train"
                else {"handBoundingBox": [250, 180, 400, 330]}
            )
            file = tmp_path / split / sequence / "meta" / f"{frame}.pkl"
            file.write_bytes(pickle.dumps(meta, 2 if frame == "0000" else 4))
        (tmp_path / f"{split}.txt").write_text(f"{sequence}/0000\n{sequence}/0012\n")
    return tmp_path


def meta_of(root: Path, frame: str = "0000") -> dict:
    return pickle.loads((root / "train" / "ABF10" / "meta" / f"{frame}.pkl").read_bytes())


def test_joints_are_in_our_order_and_frame(root: Path):
    sample = Ho3d(root)[1]
    gl = meta_of(root, "0012")["handJoints3D"]
    xyz = sample.truth.xyz
    assert (xyz[:, 2] > 0).all()
    # HO-3D: wrist, index 1-3, middle, pinky, ring, thumb, then the tips from the thumb on.
    np.testing.assert_array_equal(xyz[0], gl[0] * GL)
    np.testing.assert_array_equal(xyz[1], gl[13] * GL)
    np.testing.assert_array_equal(xyz[5], gl[1] * GL)
    np.testing.assert_array_equal(xyz[[4, 8, 12, 16, 20]], gl[16:] * GL)
    np.testing.assert_allclose(sample.uv, (xyz @ K.T)[:, :2] / xyz[:, 2:])
    assert sample.rgb.shape == (480, 640, 3)
    assert sample.clip == ("ABF10", 12)
    assert sample.source == "ho3d-train:ABF10/0012"


def test_evaluation_has_a_box_and_the_root(root: Path):
    data = Ho3d(root, "evaluation")
    sample = data[0]
    assert sample.truth is None
    assert not sample.confidence.any()
    made = crop_sample(sample, 128, None)
    centre = made.K[:2] @ np.linalg.inv(K) @ [325.0, 255, 1]
    np.testing.assert_allclose(centre, [64, 64], atol=1e-6)
    gl = pickle.loads((root / "evaluation" / "SM1" / "meta" / "0000.pkl").read_bytes())
    np.testing.assert_array_equal(data.root_xyz(0), gl["handJoints3D"] * GL)


def test_published_truth_of_the_evaluation_is_used(root: Path, rng: np.random.Generator):
    gl = np.stack([camera_points(rng) * GL for _ in range(2)])
    (root / "evaluation_xyz.json").write_text(json.dumps(gl.tolist()))
    sample = Ho3d(root, "evaluation")[1]
    np.testing.assert_allclose(sample.truth.xyz[0], gl[1, 0] * GL)
    assert (sample.confidence == 1).all()
    (root / "evaluation_xyz.json").write_text(json.dumps(gl[:1].tolist()))
    with pytest.raises(DatasetError, match=r"1 entries and evaluation\.txt 2"):
        Ho3d(root, "evaluation")


def test_detections_lie_beside_or_in_one_file(root: Path, tmp_path: Path):
    frames = [[f"{i:04d}.png"] for i in range(13)]
    pixels = np.full((13, 21, 2), 300) + np.arange(13)[:, None, None]
    pixels = pixels + np.arange(21)[:, None]
    content = json.dumps([pixels.tolist(), np.full((13, 21, 1), 0.7).tolist(), frames])
    (tmp_path / "openpose" / "ABF10").mkdir(parents=True)
    (tmp_path / "openpose" / "ABF10" / "detect.json").write_text(content)
    sample = Ho3d(root, keypoints=tmp_path / "openpose")[1]
    np.testing.assert_array_equal(sample.uv, pixels[12] + 0.5)
    images = [
        {"name": "train/ABF10/rgb/0012.png", "hands": [{"side": "right", "uv": pixels[3].tolist()}]}
    ]
    (tmp_path / "labels.json").write_text(json.dumps({"images": images}))
    data = Ho3d(root, keypoints=tmp_path / "labels.json")
    np.testing.assert_array_equal(data[1].uv, pixels[3])
    with pytest.raises(SampleError, match="no keypoints were detected"):
        data[0]


def test_missing_lists_and_folders_are_named(root: Path, tmp_path: Path):
    with pytest.raises(DatasetError, match=r"SEQUENCE/detect\.json"):
        Ho3d(root, keypoints=tmp_path)
    (root / "train.txt").write_text("ABF10-0000\n")
    with pytest.raises(DatasetError, match="ABF10-0000"):
        Ho3d(root)
    (root / "train.txt").unlink()
    with pytest.raises(DatasetError, match=r"train\.txt"):
        Ho3d(root)


def test_broken_frames_are_named(root: Path):
    data, file = Ho3d(root), root / "train" / "ABF10" / "meta" / "0000.pkl"
    for change in (
        {"handJoints3D": None},
        {"camMat": None},
        {"handJoints3D": np.full((21, 3), np.nan)},
    ):
        file.write_bytes(pickle.dumps(meta_of(root, "0012") | change))
        with pytest.raises(SampleError, match=r"0000\.pkl"):
            data[0]
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(SampleError, match=r"0000\.pkl is damaged"):
        data[0]
    file.unlink()
    with pytest.raises(SampleError, match=r"0000\.pkl cannot be read"):
        data[0]
    assert data[1].confidence.all()


class _Harm:
    def __reduce__(self) -> tuple:
        return os.system, ("true",)


def test_a_pickle_cannot_run_anything():
    with pytest.raises(SampleError, match=r"asks to run posix\.system|asks to run nt\.system"):
        read_number_pickle(pickle.dumps({"camMat": _Harm()}), "frame.pkl")
    with pytest.raises(SampleError, match="not of numbers"):
        read_number_pickle(pickle.dumps({"a": np.array([None, 1], object)}), "frame.pkl")
    with pytest.raises(SampleError, match="more than any annotation"):
        read_number_pickle(b"x" * (5 * 2**20), "frame.pkl")
    with pytest.raises(SampleError, match="holds a list"):
        read_number_pickle(pickle.dumps([1]), "frame.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_numbers_come_back_as_they_were(protocol: int):
    content = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        "c": np.float32(2.5),
        "d": [1, "two", None],
    }
    found = read_number_pickle(pickle.dumps(content, protocol), "frame.pkl")
    np.testing.assert_array_equal(found["a"], content["a"])
    np.testing.assert_array_equal(found["b"], content["b"])
    assert found["c"] == 2.5
    assert found["d"] == content["d"]
    assert np.dtype("i4").byteorder == "="


def test_an_array_that_claims_more_than_it_has_is_refused():
    stream = io.BytesIO()
    pickle.Pickler(stream, 2).dump({"a": np.zeros(3)})
    lie = stream.getvalue().replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85")
    assert lie != stream.getvalue()
    with pytest.raises(SampleError, match="damaged"):
        read_number_pickle(lie, "frame.pkl")
