"""`hands.npz`: the contract, read with plain numpy and with the reader that checks."""

from pathlib import Path

import numpy as np
import pytest

from tracker.errors import SourceError
from tracker.export.npz import export_npz, read_npz
from tracker.export.recording import Recording, skin

ROW_SHAPES = {
    "frame": (),
    "timestamp_s": (),
    "track_id": (),
    "side": (),
    "state": (),
    "score": (),
    "joints": (21, 3),
    "uv": (21, 2),
    "vertices": (778, 3),
    "global_orient": (3,),
    "hand_pose": (45,),
    "betas": (10,),
    "transl": (3,),
    "scale": (),
}
SINGLE = {"faces", "faces_left", "K", "hw", "fps", "hand_model", "handloom_version"}


@pytest.mark.parametrize("clip", ["two_hands", "no_hands"])
def test_plain_numpy_finds_the_contract(
    clip: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    recording: Recording = request.getfixturevalue(clip)
    (path,) = export_npz(recording, tmp_path / "new" / "folder")
    with np.load(path, allow_pickle=False) as npz:
        shapes = {name: npz[name].shape for name in npz.files}
        assert {name: shapes[name] for name in ROW_SHAPES} == {
            name: (len(recording.rows), *shape) for name, shape in ROW_SHAPES.items()
        }
        assert set(npz.files) >= SINGLE
        assert shapes["colors"] == (len(recording.tracks), 778, 3)
        assert npz["hw"].tolist() == [480, 640]
        assert npz["hand_model"].item() == recording.models["right"].model_id


def test_values_come_back(two_hands: Recording, tmp_path: Path) -> None:
    hands = read_npz(export_npz(two_hands, tmp_path)[0])
    rows = two_hands.rows
    for name in ("frame", "timestamp_s", "track_id", "side", "state", "score", "joints", "uv"):
        np.testing.assert_array_equal(getattr(hands, name), rows[name])
    np.testing.assert_array_equal(hands.hand_pose.reshape(-1, 15, 3), rows["hand_pose"])
    np.testing.assert_allclose(hands.vertices, skin(two_hands.models, rows), atol=1e-6)
    np.testing.assert_array_equal(hands.colors[1], two_hands.tracks[1].colors)
    assert set(hands.side) == {"left", "right"}
    assert set(hands.state) == {"tracked", "predicted", "lost"}
    assert float(hands.fps) == 25.0
    assert not hands.camera_assumed


def test_projected_joints_are_the_pixels(two_hands: Recording, tmp_path: Path) -> None:
    hands = read_npz(export_npz(two_hands, tmp_path)[0])
    homogeneous = hands.joints @ hands.K.T
    np.testing.assert_allclose(homogeneous[..., :2] / homogeneous[..., 2:], hands.uv, atol=1e-3)


def test_each_side_has_its_own_winding(two_hands: Recording, tmp_path: Path) -> None:
    hands = read_npz(export_npz(two_hands, tmp_path)[0])
    first = [int(np.flatnonzero(hands.side == side)[0]) for side in ("right", "left")]
    for row in first:
        faces = hands.faces if hands.side[row] == "right" else hands.faces_left
        a, b, c = np.moveaxis(hands.vertices[row][faces].astype(np.float64), 1, 0)
        a, b, c = (x - hands.vertices[row].mean(0) for x in (a, b, c))
        assert (a * np.cross(b, c)).sum() / 6 > 1e-4


def test_equal_recordings_give_equal_bytes(steady_hand: Recording, tmp_path: Path) -> None:
    first, second = (export_npz(steady_hand, tmp_path / name)[0] for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_damaged_files_are_refused_in_one_line(steady_hand: Recording, tmp_path: Path) -> None:
    whole = export_npz(steady_hand, tmp_path)[0].read_bytes()
    damaged = {"cut.npz": whole[:5000], "text.npz": b"hello", "empty.npz": b""}
    for name, data in damaged.items():
        (tmp_path / name).write_bytes(data)
    with np.load(tmp_path / "hands.npz") as npz:
        arrays = {name: npz[name] for name in npz.files}
    np.savez(tmp_path / "lacks.npz", **{k: v for k, v in arrays.items() if k != "betas"})
    np.savez(tmp_path / "uneven.npz", **arrays | {"scale": arrays["scale"][:-1]})
    np.savez(tmp_path / "pickle.npz", **arrays | {"side": np.array([{}] * 40, dtype=object)})
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    for name in (*damaged, "array.npz", "lacks.npz", "uneven.npz", "pickle.npz", "missing.npz"):
        with pytest.raises(SourceError, match=name) as caught:
            read_npz(tmp_path / name)
        assert "\n" not in str(caught.value)
