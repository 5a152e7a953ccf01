"""The whole program on tiny clips: what it writes, and what it says when it cannot."""

import csv
import errno
import json
import os
import pickle
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from apps.clip_options import ClipOptions, OutputOptions, PictureOptions
from apps.video_to_mesh import video_to_mesh
from tracker.export.npz import read_npz
from tracker.geometry.camera import Camera
from tracker.live.sources import open_source

FAST = ("--renderer", "software")
GEOMETRY_CONFTEST = Path(__file__).resolve().parents[1] / "geometry" / "conftest.py"
ROW_SHAPES = {
    "frame": ((), "i"),
    "timestamp_s": ((), "f"),
    "track_id": ((), "i"),
    "side": ((), "U"),
    "state": ((), "U"),
    "score": ((), "f"),
    "joints": ((21, 3), "f"),
    "uv": ((21, 2), "f"),
    "global_orient": ((3,), "f"),
    "hand_pose": ((45,), "f"),
    "betas": ((10,), "f"),
    "transl": ((3,), "f"),
    "scale": ((), "f"),
}


def files_in(folder: Path) -> set[str]:
    """Every file but the meshes, hidden ones included."""
    return {p.name for p in folder.rglob("*") if p.is_file() and p.parent.name != "meshes"}


@pytest.fixture(scope="module")
def result(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run with everything that needs no extra."""
    out = tmp_path_factory.mktemp("out")
    options = ClipOptions(
        output=OutputOptions(out, "npz,glb,obj,ply,csv,jsonl,bvh"),
        picture=PictureOptions(renderer="software"),
    )
    assert video_to_mesh([clip], options) == 0
    return out / "hands"


def test_a_clip_gives_its_files_and_nothing_else(result: Path) -> None:
    summary = json.loads((result / "summary.json").read_text())
    assert summary["processing"]["mode"] == "fused"  # what `auto` came to
    tracks = summary["tracks"]
    motion = {f"hand_{track['side']}_{track['track_id']}.bvh" for track in tracks}
    whole = {"hands.npz", "hands.glb", "joints.csv", "joints.jsonl", "summary.json"}
    assert files_in(result) == whole | motion | {"overlay.mp4", "contact_sheet.png"}
    listed = json.loads((result / "summary.json").read_text())["files"]
    there = {p.relative_to(result).as_posix() for p in result.rglob("*") if p.is_file()}
    assert set(listed) | {"summary.json"} == there


def test_hands_npz_keeps_its_contract(result: Path) -> None:
    with np.load(result / "hands.npz", allow_pickle=False) as file:
        arrays = dict(file)
    rows = len(arrays["frame"])
    vertices = arrays["vertices"].shape[1]
    for name, (shape, kind) in ROW_SHAPES.items():
        assert arrays[name].shape == (rows, *shape), name
        assert arrays[name].dtype.kind == kind, name
    assert arrays["vertices"].shape == (rows, vertices, 3)
    assert arrays["faces"].shape[1] == 3
    assert arrays["faces"].max() == vertices - 1
    assert (arrays["K"].shape, arrays["hw"].tolist()) == ((3, 3), [270, 480])
    assert arrays["fps"] == 30
    assert str(arrays["hand_model"]).startswith("open_hand")
    assert str(arrays["handloom_version"])


def test_both_hands_are_found_where_they_are(result: Path) -> None:
    hands = read_npz(result / "hands.npz")
    seen = hands.state == "tracked"
    assert {*hands.side[seen]} == {"left", "right"}
    assert seen.sum() >= 20
    assert {*hands.track_id.tolist()} == {0, 1}
    np.testing.assert_allclose(hands.timestamp_s, hands.frame / 30, atol=1e-3)
    uv = Camera(hands.K, (270, 480)).project(hands.joints)
    np.testing.assert_allclose(hands.uv, uv, atol=0.01)
    assert ((hands.joints[..., 2] > 0.1) & (hands.joints[..., 2] < 2)).all()


def test_tables_and_meshes_have_a_row_for_each_hand(result: Path) -> None:
    hands = read_npz(result / "hands.npz")
    with (result / "joints.csv").open(newline="") as file:
        assert len({(r["frame"], r["track_id"]) for r in csv.DictReader(file)}) == len(hands.frame)
    frames = [json.loads(line) for line in (result / "joints.jsonl").read_text().splitlines()]
    assert len(frames) == 12
    for suffix in ("obj", "ply"):
        names = {path.name for path in (result / "meshes").glob(f"*.{suffix}")}
        ids = zip(hands.frame, hands.side, hands.track_id, strict=True)
        assert names == {f"{frame:06d}_{side}_{track}.{suffix}" for frame, side, track in ids}


def test_the_overlay_is_the_clip_with_hands_drawn(result: Path, clip: Path) -> None:
    before, after = list(open_source(clip)), list(open_source(result / "overlay.mp4"))
    times = [[frame.timestamp_s for frame in frames] for frames in (before, after)]
    np.testing.assert_allclose(times[0], times[1], atol=1e-3)
    hands = read_npz(result / "hands.npz")
    for old, new in zip(before[::4], after[::4], strict=True):
        changed = np.abs(old.rgb.astype(int) - new.rgb).max(-1) > 40
        assert 0.001 < changed.mean() < 0.4
        y, x = np.nonzero(changed)
        uv = hands.uv[hands.frame == old.index].reshape(-1, 2)
        assert np.median(x) > uv[:, 0].min()
        assert np.median(x) < uv[:, 0].max()
        assert uv[:, 1].min() - 40 < np.median(y) < uv[:, 1].max()
    with Image.open(result / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 300


def test_no_hand_is_no_error_and_gives_valid_empty_files(
    run: Callable, dark_clip: Path, tmp_path: Path
) -> None:
    said = run(dark_clip, "--out", tmp_path, *FAST)
    assert said.code == 0
    assert "no hand was found; the results are valid and empty" in said.said
    folder = tmp_path / "dark"
    hands = read_npz(folder / "hands.npz")
    assert (len(hands.frame), len(hands.track_ids)) == (0, 0)
    assert len(hands.faces) > 1000
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["frames"], summary["frames_with_hand"]) == (4, 0)
    assert "no hand was found" in summary["warnings"]
    assert len(list(open_source(folder / "overlay.mp4"))) == 4
    assert not (folder / "meshes").exists()


def test_clips_of_one_name_get_numbered_folders(
    run: Callable, dark_clip: Path, tmp_path: Path
) -> None:
    copies = [tmp_path / name / "Clip.mp4" for name in "ab"] + [tmp_path / "c" / "clip.mp4"]
    for copy in copies:
        copy.parent.mkdir()
        shutil.copy(dark_clip, copy)
    out = tmp_path / "out"
    assert run(*copies, "--out", out, "--export", "csv", "--no-overlay").code == 0
    # Three folders also where capitals make no difference.
    assert {p.name for p in out.iterdir()} == {"Clip", "Clip_2", "clip_3"}
    sources = {json.loads(p.read_text())["source"] for p in out.glob("*/summary.json")}
    assert sources == {str(copy) for copy in copies}


def test_a_folder_of_images_is_a_clip(
    run: Callable, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for n, picture in enumerate(pictures[:3]):
        Image.fromarray(picture[:269, :479]).save(folder / f"f{n}.png")
    said = run(folder, "--out", tmp_path / "out", "--fps", 10, "--export", "npz", *FAST)
    assert said.code == 0
    hands = read_npz(tmp_path / "out" / "frames" / "hands.npz")
    assert hands.hw.tolist() == [269, 479]
    assert hands.fps == 10
    assert set(hands.side) == {"left", "right"}
    assert "overlay.mp4 is 478x268, the frames drawn are 479x269" in said.said
    inside = run(folder, "--out", tmp_path)
    assert inside.code == 2
    assert "would lie among its images" in inside.said


def test_side_by_side_is_three_pictures_wide(run: Callable, clip: Path, tmp_path: Path) -> None:
    options = ("--side-by-side", "--skeleton", "--export", "", *FAST)
    assert run(clip, "--out", tmp_path, *options).code == 0
    assert open_source(tmp_path / "hands" / "overlay.mp4").info.hw == (270, 3 * 480)
    assert files_in(tmp_path) == {"overlay.mp4", "contact_sheet.png", "summary.json"}


def test_usd_is_written_where_its_library_is(run: Callable, clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("pxr")
    assert run(clip, "--out", tmp_path, "--export", "usd", "--no-overlay").code == 0
    assert "hands.usdc" in files_in(tmp_path)


def test_a_bad_clip_does_not_keep_the_good_ones_back(
    run: Callable, dark_clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("no video " * 30)
    out = tmp_path / "out"
    said = run(tmp_path / "text.mp4", dark_clip, tmp_path / "gone.mp4", "--out", out, *FAST)
    assert said.code == 2
    assert [line.split(":")[0] for line in said.lines[:2]] == ["error", "error"]
    assert {p.name for p in out.iterdir()} == {"dark"}
    assert "summary.json" in files_in(out)


def test_a_clip_that_breaks_off_gives_what_it_has_and_says_so(
    run: Callable, clip: Path, tmp_path: Path
) -> None:
    # Pictures that stand alone, with the index in front of them.
    whole = tmp_path / "whole.mp4"
    with av.open(str(whole), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=5, options={"g": "1"})
        stream.height, stream.width, stream.pix_fmt = 270, 480, "yuv420p"
        for frame in open_source(clip):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.rgb, format="rgb24")))
        container.mux(stream.encode(None))
    data = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 6 // 10])
    said = run(tmp_path / "cut.mp4", "--out", tmp_path / "out", "--export", "npz", *FAST)
    assert said.code == 0
    assert "it may be cut off" in said.said
    assert 1 < len(set(read_npz(tmp_path / "out" / "cut" / "hands.npz").frame)) < 12


class Runs:
    """Pickles as a command."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.flag),)


BAD_MODELS = {
    "missing.pkl": (lambda path: None, "No such file"),
    "noise.pkl": (lambda path: path.write_bytes(bytes(range(256))), "damaged"),
    "noise.npz": (lambda path: path.write_bytes(bytes(range(256))), "neither an npz archive"),
    "other.npz": (lambda path: np.savez(path, a=np.zeros(3)), "it lacks v_template"),
    "smpl.pkl": (lambda path: path.write_bytes(pickle.dumps({"f": None})), "cannot be read"),
    "evil.pkl": (
        lambda path: path.write_bytes(pickle.dumps({"f": Runs(path.with_name("ran"))})),
        "it asks to run",
    ),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_wrong_hand_model_is_refused_in_one_line(
    run: Callable, dark_clip: Path, tmp_path: Path, name: str
) -> None:
    make, reason = BAD_MODELS[name]
    make(tmp_path / name)
    said = run(dark_clip, "--out", tmp_path / "out", "--hand-model", tmp_path / name)
    assert said.code == 2
    assert len(said.lines) == 1
    assert reason in said.said
    assert "leave it out for the open hand" in said.said
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "ran").exists()


BAD_OPTIONS = {
    "--fov 400": "--fov must lie between 5 and 160 degrees, found 400",
    "--fov nan": "--fov must lie between",
    "--fov 60 --intrinsics k.txt": "give one of them",
    "--intrinsics gone.txt": "--intrinsics gone.txt cannot be read (No such file",
    "--export npz,fbx": "unknown export format fbx; known formats: npz, glb",
    "--opacity 7": "--opacity must lie between 0 and 1",
    "--fps 0": "--fps must lie between",
    "--max-hands 0": "--max-hands must lie between 1 and 16, found 0",
    "--hand-length-mm 1900": "--hand-length-mm must lie between 50 and 300 mm, found 1900",
}


@pytest.mark.parametrize("words", BAD_OPTIONS)
def test_an_option_that_cannot_be_meant_is_refused_in_one_line(
    run: Callable, dark_clip: Path, tmp_path: Path, words: str
) -> None:
    said = run(dark_clip, "--out", tmp_path / "out", *words.split())
    assert (said.code, len(said.lines)) == (2, 1)
    assert BAD_OPTIONS[words] in said.said
    assert not (tmp_path / "out").exists()


def test_no_clip_at_all_is_told_how_to_go_on(run: Callable) -> None:
    said = run()
    assert (said.code, len(said.lines)) == (2, 1)
    assert "type `python apps/video_to_mesh.py clip.mp4`" in said.said


@pytest.mark.parametrize("out", ["file", "file/deeper", "/proc/handloom"])
def test_a_folder_that_cannot_be_made_is_told(
    run: Callable, dark_clip: Path, tmp_path: Path, out: str
) -> None:
    (tmp_path / "file").write_text("mine")
    said = run(dark_clip, "--out", tmp_path / out, *FAST)
    assert said.code == 2
    assert said.lines[-1].startswith("error: cannot write")
    assert "--out" in said.lines[-1]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_up_leaves_whole_files_and_no_summary(
    run: Callable, dark_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (dark_clip, "--out", tmp_path, "--export", "npz,csv", *FAST)
    assert run(*options).code == 0
    flushed = []

    def flush(file: int) -> None:
        flushed.append(file)
        if len(flushed) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tracker.whole_file.os.fsync", flush)
    said = run(*options)
    assert said.code == 2
    assert "hands.npz: the disk is full; free some space" in said.said
    # What is there now is whole, if partly of the earlier run, whose summary must not vouch for it.
    assert files_in(tmp_path) == {"overlay.mp4", "contact_sheet.png", "hands.npz", "joints.csv"}
    assert len(read_npz(tmp_path / "dark" / "hands.npz").frame) == 0


def test_an_official_hand_model_works_from_end_to_end(
    run: Callable, clip: Path, tmp_path: Path
) -> None:
    made_up = runpy.run_path(str(GEOMETRY_CONFTEST))
    hand = made_up["random_hand"](np.random.default_rng(1))
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(made_up["chumpy_pickle"](hand, python2=True))
    said = run(
        clip, "--out", tmp_path / "out", "--hand-model", path, "--export", "npz,glb,ply", *FAST
    )
    assert said.code == 0
    hands = read_npz(tmp_path / "out" / "hands" / "hands.npz")
    assert hands.hand_model == "mano"
    assert hands.vertices.shape[1:] == (778, 3)
    assert set(hands.side) == {"left", "right"}
    assert np.isfinite(hands.vertices).all()
