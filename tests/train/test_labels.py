from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tracker.vision.records import Roi
from train import label_folder as folders
from train.datasets.image_folder import ImageFolder
from train.datasets.keypoint_files import HandLabel, read_labels, write_labels
from train.datasets.sample import DatasetError
from train.label_folder import label_folder
from train.label_hands import HandLabeller, LabelConfig
from train.label_views import OUT_OF_PICTURE, agree, view_changes
from train.labels import import_labels, labels, summary


class FakeLabeller(HandLabeller):
    """Stands in for the detector: pictures brighter than 100 show a hand, in the middle."""

    looked_at: list[str]

    def __init__(self, config: LabelConfig | None = None) -> None:
        self.looked_at = []

    def __call__(self, rgb: np.ndarray, name: str) -> list[HandLabel]:
        self.looked_at.append(name)
        if name.startswith("stop"):
            raise KeyboardInterrupt
        shown = rgb.mean() > 100
        uv = np.random.default_rng(0).normal(30, 8, (21, 2))
        sure = np.full(21, 0.8 if shown else 0.0)
        return [HandLabel(name, "right" if shown else "none", uv, sure, float(shown))]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[FakeLabeller]:
    made: list[FakeLabeller] = []

    def make(config: LabelConfig | None = None) -> FakeLabeller:
        made.append(FakeLabeller(config))
        return made[-1]

    monkeypatch.setattr(folders, "HandLabeller", make)
    return made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(20):
        picture = np.full((64, 64, 3), 200 if i % 2 else 10, np.uint8)
        cv2.imwrite(str(tmp_path / f"{i:02d}.png"), picture)
    return tmp_path


def test_a_folder_becomes_a_data_set(photos: Path, fake: list[FakeLabeller]):
    told: list[tuple[int, int]] = []
    report = label_folder(photos, on_progress=lambda done, total: told.append((done, total)))
    assert (report.labelled, report.resumed, report.without_hand) == (20, 0, 10)
    assert told[-1] == (20, 20)
    assert [label.name for label in report.labels] == [f"{i:02d}.png" for i in range(20)]
    data = ImageFolder(photos)
    assert [data[i].source[-6:] for i in range(2)] == ["01.png", "03.png"]
    assert len(data) == 10


def test_labelling_goes_on_where_it_stopped(photos: Path, fake: list[FakeLabeller]):
    cv2.imwrite(str(photos / "stop.png"), np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(KeyboardInterrupt):
        label_folder(photos)
    done = {label.name for label in read_labels(photos / "labels.npz")}
    assert done == {f"{i:02d}.png" for i in range(16)}  # the portions before the one that stopped
    (photos / "stop.png").unlink()
    report = label_folder(photos)
    assert fake[1].looked_at == [f"{i:02d}.png" for i in range(16, 20)]
    assert (report.labelled, report.resumed) == (4, 16)
    assert len(report.labels) == 20
    assert label_folder(photos).labelled == 0
    assert len(fake) == 2  # no detector is loaded when nothing is left to do


def test_broken_pictures_are_named_and_tried_again(photos: Path, fake: list[FakeLabeller]):
    (photos / "05.png").write_bytes(b"broken")
    cv2.imwrite(str(photos / "06.png"), np.zeros((1, 1, 3), np.uint8))
    report = label_folder(photos)
    assert sorted(report.broken) == ["05.png", "06.png"]
    assert len(report.labels) == 18
    assert "05.png is no picture" in summary(report, photos / "labels.npz")
    cv2.imwrite(str(photos / "05.png"), np.full((64, 64, 3), 200, np.uint8))
    assert label_folder(photos).labelled == 2


def test_videos_are_labelled_by_frame(tmp_path: Path, fake: list[FakeLabeller]):
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(6):
            picture = np.full((48, 64, 3), 40 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    report = label_folder(tmp_path, every=2)
    assert [label.name for label in report.labels] == ["clip.mp4#0", "clip.mp4#2", "clip.mp4#4"]
    assert [label.side for label in report.labels] == ["none", "none", "right"]
    assert label_folder(tmp_path, every=2).resumed == 1


def test_nothing_to_label_is_told(tmp_path: Path):
    with pytest.raises(DatasetError, match="neither pictures nor videos"):
        label_folder(tmp_path)
    with pytest.raises(ValueError, match="jobs and every"):
        label_folder(tmp_path, jobs=0)
    with pytest.raises(ValueError, match="views"):
        LabelConfig(views=2)
    with pytest.raises(ValueError, match="max_hands"):
        LabelConfig(max_hands=0)


def test_the_command_shows_what_it_did(
    photos: Path, fake: list[FakeLabeller], capsys: pytest.CaptureFixture[str]
):
    labels(photos, jobs=1)
    shown = " ".join(capsys.readouterr().err.split())
    assert "10 hands in 10 pictures, mean confidence 0.80" in shown


def test_import_writes_both_forms(tmp_path: Path):
    given = [HandLabel("a.png", "left", np.ones((21, 2)), np.full(21, 0.5))]
    write_labels(tmp_path / "given.npz", given)
    import_labels(tmp_path / "given.npz", tmp_path / "out.json")
    import_labels(tmp_path / "out.json", tmp_path / "out.npz")
    assert read_labels(tmp_path / "out.npz")[0].side == "left"


def test_views_cover_turns_scales_and_mirroring():
    changes = view_changes(8)
    assert changes[0](Roi(np.zeros(2), 10.0, 0.0)).size_px == 10
    assert sum(change.mirror for change in changes) == 4
    turns = sorted(change.turn_rad for change in changes)
    assert turns[0] < -0.2
    assert turns[-1] > 0.2
    scales = [change.scale for change in changes]
    assert min(scales) < 0.95
    assert max(scales) > 1.1
    assert view_changes(8) == changes


def test_agreement_is_confidence(rng: np.random.Generator):
    truth = rng.uniform(50, 150, (21, 2))
    spread = np.linspace(0.1, 8, 21)[:, None]  # pixels, of a hand of 80
    views = truth + spread * rng.standard_normal((200, 21, 2))
    together = agree(views, np.ones(200), 80.0, (300, 300))
    assert (np.diff(together.confidence) < 0).mean() > 0.9
    assert together.confidence[0] > 0.98
    assert together.confidence[-1] < 0.2
    np.testing.assert_allclose(together.uv, truth, atol=1.5)


def test_one_view_that_sees_another_thing_is_outvoted(rng: np.random.Generator):
    truth = rng.uniform(50, 150, (21, 2))
    views = np.repeat(truth[None], 6, 0)
    views[3] += 60
    together = agree(views, np.ones(6), 80.0, (300, 300))
    np.testing.assert_allclose(together.uv, truth, atol=0.2)
    assert together.confidence.max() < 0.5  # but it is no longer sure


def test_joints_beyond_the_edge_count_less(rng: np.random.Generator):
    views = np.repeat(rng.uniform(10, 50, (1, 21, 2)), 4, 0)
    views[:, 7] = [-20, 30]
    together = agree(views, np.full(4, 0.9), 40.0, (60, 60))
    assert together.confidence[7] == pytest.approx(0.9 * OUT_OF_PICTURE)
    assert together.confidence[0] == pytest.approx(0.9)


@pytest.fixture(scope="module")
def photo(real_data: Path) -> Path:
    return real_data / "gt" / "consensus2d" / "images" / "hagrid380_00318.jpg"


def test_a_real_hand_is_found_from_either_side(photo: Path):
    rgb = cv2.imread(str(photo))[..., ::-1]
    labeller = HandLabeller()
    found = labeller(np.ascontiguousarray(rgb), "x")
    flipped = labeller(np.ascontiguousarray(rgb[:, ::-1]), "x")
    assert {found[0].side, flipped[0].side} == {"left", "right"}
    back = flipped[0].uv * [-1, 1] + [rgb.shape[1], 0]
    size = np.ptp(found[0].uv, axis=0).max()
    assert np.median(np.linalg.norm(back - found[0].uv, axis=1)) < 0.03 * size
    assert found[0].confidence.mean() > 0.4
    nothing = labeller(np.full((200, 200, 3), 120, np.uint8), "grey.png")
    assert [label.side for label in nothing] == ["none"]


def test_processes_label_what_one_does(photo: Path, tmp_path: Path):
    rgb = cv2.imread(str(photo))
    for i in range(12):
        cv2.imwrite(str(tmp_path / f"{i:02d}.png"), np.roll(rgb, 3 * i, 1))
    one = label_folder(tmp_path, tmp_path / "one.npz", config=LabelConfig(views=3), jobs=1)
    two = label_folder(tmp_path, tmp_path / "two.npz", config=LabelConfig(views=3), jobs=2)
    assert [a.name for a in one.labels] == [b.name for b in two.labels]
    for a, b in zip(one.labels, two.labels, strict=True):
        np.testing.assert_allclose(a.uv, b.uv, atol=0.5)
