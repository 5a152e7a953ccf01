import json
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tracker.geometry.camera import Camera
from train.augment import crop_sample
from train.datasets import open_dataset
from train.datasets.image_folder import ImageFolder
from train.datasets.keypoint_files import (
    HandLabel,
    labels_as_json,
    no_hand,
    read_labels,
    write_labels,
)
from train.datasets.mixing import BatchStream, StreamConfig
from train.datasets.sample import Dataset, DatasetError, SampleError
from train.datasets.synthetic import SyntheticHands
from train.datasets.video_folder import CACHE_NAME, VideoFolder, clip_and_frame


def hand_at(name: str, x: float, y: float, side: str = "right", sure: float = 0.9) -> HandLabel:
    uv = np.random.default_rng(4).normal([x, y], 18, (21, 2))
    return HandLabel(name, side, uv, np.full(21, sure))


def dotted(label: HandLabel, hw: tuple[int, int] = (240, 320)) -> np.ndarray:
    """A dark picture with a bright blot at the label's middle knuckle."""
    picture = np.full((*hw, 3), 20, np.uint8)
    u, v = label.uv[9] - 0.5
    cv2.circle(picture, (round(u), round(v)), 5, (255, 255, 255), -1)
    return picture


def blot(rgb: np.ndarray) -> np.ndarray:
    weight = (rgb.mean(-1) > 120).astype(float)
    v, u = np.mgrid[0 : rgb.shape[0], 0 : rgb.shape[1]] + 0.5
    return np.array([(u * weight).sum(), (v * weight).sum()]) / weight.sum()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    labels = [
        hand_at("a.png", 120, 100),
        hand_at("more/b.jpg", 180, 130, "left"),
        hand_at("more/b.jpg", 90, 110, "right"),
        no_hand("empty.png"),
        hand_at("vague.png", 150, 120, sure=0.05),
    ]
    (tmp_path / "more").mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), dotted(labels[0]))
    both = np.maximum(dotted(labels[1]), dotted(labels[2]))
    cv2.imwrite(str(tmp_path / "more" / "b.jpg"), both)
    write_labels(tmp_path / "labels.npz", labels)
    return tmp_path


def test_each_sure_hand_is_a_right_hand(photos: Path):
    data = ImageFolder(photos)
    assert isinstance(data, Dataset)
    assert len(data) == 3
    first, left, right = (data[i] for i in range(3))
    assert np.linalg.norm(blot(first.rgb) - first.uv[9]) < 1
    assert left.rgb[0, 0, 0] == right.rgb[0, 0, 0]
    np.testing.assert_array_equal(left.rgb, right.rgb[:, ::-1])
    assert left.uv[9, 0] == pytest.approx(320 - 180 - (hand_at("", 0, 0).uv[9, 0]), abs=1e-4)
    made = crop_sample(left, 128, None)
    assert made.rgb[int(made.uv[9, 1]), int(made.uv[9, 0])].min() > 200


def test_intrinsics_are_the_given_or_the_assumed(photos: Path):
    assumed = ImageFolder(photos, fov_deg=70.0)[0]
    np.testing.assert_allclose(assumed.K, Camera.from_fov((240, 320), 70.0).K)
    given = Camera(np.array([[900.0, 0, 330], [0, 900, 250], [0, 0, 1]]), (480, 640))
    np.testing.assert_allclose(ImageFolder(photos, camera=given)[0].K, given.resized((240, 320)).K)
    other = Camera(given.K, (640, 640))
    with pytest.raises(SampleError, match="320x240"):
        ImageFolder(photos, camera=other)[0]


def test_labels_are_needed(tmp_path: Path):
    with pytest.raises(DatasetError, match="python -m train labels"):
        ImageFolder(tmp_path)
    with pytest.raises(DatasetError, match="no folder"):
        ImageFolder(tmp_path / "nowhere")
    write_labels(tmp_path / "labels.npz", [no_hand("a.png")])
    with pytest.raises(DatasetError, match="none with a mean confidence"):
        ImageFolder(tmp_path)


def test_broken_labels_and_pictures_are_named_and_survived(tmp_path: Path):
    labels = [hand_at(f"{i:02d}.png", 150, 120) for i in range(60)]
    for label in labels:
        cv2.imwrite(str(tmp_path / label.name), dotted(label, (200, 300)))
    nan = labels[1].uv.copy()
    nan[3] = np.nan
    labels[1] = replace(labels[1], uv=nan)
    labels[2] = replace(labels[2], confidence=np.zeros(21))
    (tmp_path / "03.png").write_bytes(b"\x89PNG broken")
    write_labels(tmp_path / "labels.npz", labels)
    data = ImageFolder(tmp_path)
    assert len(data) == 60
    for index in (1, 2, 3):
        with pytest.raises(SampleError, match=f"{index:02d}.png"):
            data[index]
    with BatchStream(data, batch=20, config=StreamConfig(hw_px=64)) as stream:
        seen = [next(stream).source for _ in range(3)]
    assert len(stream.broken) == 3
    assert sum(map(len, seen)) == 60


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    labels = [hand_at(f"walk.mp4#{i}", 100 + 4 * i, 120) for i in range(0, 12, 2)]
    labels += [hand_at(f"walk.mp4#{i}", 220 - 4 * i, 120, "left") for i in range(0, 12, 2)]
    with av.open(str(tmp_path / "walk.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.bit_rate = 2_000_000
        for i in range(12):
            pictures = [dotted(hand_at("", x, 120)) for x in (100 + 4 * i, 220 - 4 * i)]
            frame = av.VideoFrame.from_ndarray(np.maximum(*pictures), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    write_labels(tmp_path / "labels.npz", labels)
    return tmp_path


def test_frames_of_a_clip_follow_each_other(clips: Path):
    data = VideoFolder(clips)
    assert len(data) == 12
    for i in range(12):
        sample = data[i]
        expected = ("walk.mp4:left" if i < 6 else "walk.mp4:right", 2 * (i % 6))
        assert sample.clip == expected
        spot = sample.rgb[int(sample.uv[9, 1]), int(sample.uv[9, 0])]
        assert spot.min() > 150
    assert (clips / CACHE_NAME).is_dir()


def test_the_kept_window_has_the_frames_camera(clips: Path):
    """What the window shows projects as in the whole frame: only the corner moves."""
    data = VideoFolder(clips, fov_deg=60.0)
    whole = Camera.from_fov((240, 320), 60.0).K
    sample, label = data[6], hand_at("walk.mp4#0", 100, 120)
    corner = label.uv[9] - sample.uv[9]
    np.testing.assert_allclose(sample.K[:2, 2] + corner, whole[:2, 2], atol=1e-3)
    assert sample.K[0, 0] == whole[0, 0]


def test_clips_are_decoded_once(clips: Path):
    first = VideoFolder(clips)[3]
    (clips / "walk.mp4").unlink()
    np.testing.assert_array_equal(VideoFolder(clips)[3].rgb, first.rgb)


def test_no_video_is_told(clips: Path):
    (clips / "walk.mp4").write_bytes(b"no video")
    with pytest.raises(DatasetError, match=r"walk\.mp4 cannot be read as video"):
        VideoFolder(clips)
    with pytest.raises(DatasetError, match=r"a\.png"):
        clip_and_frame("a.png")


def test_labels_survive_writing(tmp_path: Path):
    labels = [hand_at("ä/b.png", 10, 20, "left"), no_hand("c.png")]
    write_labels(tmp_path / "labels.npz", labels)
    (tmp_path / "labels.json").write_text(labels_as_json(labels))
    for name in ("labels.npz", "labels.json"):
        found = read_labels(tmp_path / name)
        assert [f.name for f in found] == ["ä/b.png", "c.png"]
        assert [f.side for f in found] == ["left", "none"]
        np.testing.assert_allclose(found[0].uv, labels[0].uv, atol=1e-3)
        np.testing.assert_allclose(found[0].confidence, labels[0].confidence, atol=1e-4)
    with pytest.raises(DatasetError, match="--out"):
        write_labels(tmp_path / "missing" / "labels.npz", labels)


def triples(offset: float, sure: float) -> list[float]:
    return (
        np.column_stack([np.arange(21) + offset, np.arange(21), np.full(21, sure)]).ravel().tolist()
    )


def person(right: list[float], left: list[float]) -> dict[str, list[float]]:
    return {
        "hand_right_keypoints_2d": right,
        "hand_left_keypoints_2d": left,
        "pose_keypoints_2d": [],
    }


def test_openpose_in_its_forms(tmp_path: Path):
    one = {
        "version": 1.3,
        "people": [person(triples(3, 0.8), triples(9, 0.4)), person([0.0] * 63, [])],
    }
    (tmp_path / "walk_000012_keypoints.json").write_text(json.dumps(one))
    single = read_labels(tmp_path / "walk_000012_keypoints.json")
    assert [(h.name, h.side) for h in single] == [("walk_000012", "right"), ("walk_000012", "left")]
    np.testing.assert_allclose(single[0].uv[2], [5.5, 2.5])
    np.testing.assert_allclose(single[1].confidence, 0.4)
    assert len(read_labels(tmp_path)) == 2
    listed = [one | {"image": "a.jpg"}, {"people": [], "image": "b.jpg"}]
    (tmp_path / "all.json").write_text(json.dumps(listed))
    assert [(h.name, h.side) for h in read_labels(tmp_path / "all.json")] == [
        ("a.jpg", "right"),
        ("a.jpg", "left"),
        ("b.jpg", "none"),
    ]
    (tmp_path / "all.json").write_text(json.dumps([one]))
    with pytest.raises(DatasetError, match="without saying of which picture"):
        read_labels(tmp_path / "all.json")


def test_the_papers_detections(tmp_path: Path):
    content = [
        np.zeros((2, 21, 2)).tolist(),
        np.full((2, 21, 1), 0.3).tolist(),
        [["7.jpg"], ["8.jpg"]],
    ]
    (tmp_path / "detect.json").write_text(json.dumps(content))
    found = read_labels(tmp_path / "detect.json")
    assert [f.name for f in found] == ["7.jpg", "8.jpg"]
    assert (found[0].uv == 0.5).all()
    content[1] = content[1][:1]
    (tmp_path / "detect.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="as many of each"):
        read_labels(tmp_path / "detect.json")


@pytest.mark.parametrize(
    "content", ["", "[1, 2]", '{"a": 1}', '[{"people": 3, "image": "a"}]', "[[], [], 3]"]
)
def test_other_files_are_refused(tmp_path: Path, content: str):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(DatasetError, match=r"labels\.json"):
        read_labels(tmp_path / "labels.json")
    (tmp_path / "labels.npz").write_text(content)
    with pytest.raises(DatasetError, match=r"labels\.npz"):
        read_labels(tmp_path / "labels.npz")


def test_data_sets_are_opened_by_name(photos: Path):
    made = open_dataset("synthetic,size_px=48,seed=3,count=5,noisy=yes")
    assert isinstance(made, SyntheticHands)
    assert (len(made), made.config.seed, made.config.size_px) == (5, 3, 48)
    assert made.config.noise is not None
    folder = open_dataset(f"images:{photos},fov_deg=50,min_confidence=0.01")
    assert len(folder) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("hands", "name one of: synthetic, freihand"),
        ("synthetic:somewhere", "should read synthetic"),
        ("images", "should read images:FOLDER"),
        ("synthetic,colour=3", "known are size_px, seed"),
        ("synthetic,seed=x", "no valid value"),
        ("freihand:x,split=test", "split=training and split=evaluation"),
    ],
)
def test_unknown_words_are_told(words: str, message: str):
    with pytest.raises(DatasetError, match=message):
        open_dataset(words)
