"""Files are whole or absent, whatever happens while they are written."""

import errno
import json
import math
import os
from pathlib import Path

import pytest

from tracker.errors import OutputError
from tracker.whole_file import make_folder, remove_stale, whole_file, write_json


def write_half(path: Path, failure: BaseException) -> None:
    with whole_file(path) as partial:
        partial.write_text("half")
        raise failure


def test_a_finished_block_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "hands.npz"
    with whole_file(path) as partial:
        partial.write_text("whole")
        assert (partial.parent, partial.suffix) == (tmp_path, ".npz")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [None, "older result"])
def test_a_failed_block_leaves_what_was_there(
    tmp_path: Path, failure: BaseException, before: str | None
) -> None:
    path = tmp_path / "hands.glb"
    if before:
        path.write_text(before)
    with pytest.raises(type(failure)):
        write_half(path, failure)
    assert [p.read_text() for p in tmp_path.iterdir()] == ([before] if before else [])


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "disk is full; free some space"),
        (errno.EACCES, "permission denied; choose a folder"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Input/output error; check the folder"),
    ],
)
def test_a_full_or_closed_disk_is_told_with_path_and_remedy(
    tmp_path: Path, code: int, advice: str
) -> None:
    path = tmp_path / "joints.csv"
    with pytest.raises(OutputError) as caught:
        write_half(path, OSError(code, os.strerror(code)))
    assert str(path) in str(caught.value)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_while_flushing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tracker.whole_file.os.fsync", full)
    with pytest.raises(OutputError, match="disk is full"), whole_file(tmp_path / "a") as partial:
        partial.write_text("buffered")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_and_a_file_in_the_way_are_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"), whole_file(tmp_path / "no" / "a") as p:
        p.write_text("x")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        make_folder(tmp_path / "file" / "deeper")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        make_folder(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder"), whole_file(tmp_path / "folder") as p:
        p.write_text("x")


def test_only_stale_files_of_ours_are_removed(tmp_path: Path) -> None:
    for name in ("hand_right_1.bvh", "hand_left_2.bvh", "my_own.bvh"):
        (tmp_path / name).write_text("")
    remove_stale(tmp_path, r"hand_(left|right)_\d+\.bvh", [tmp_path / "hand_left_2.bvh"])
    assert {p.name for p in tmp_path.iterdir()} == {"hand_left_2.bvh", "my_own.bvh"}


def test_json_is_whole_valid_and_as_readable_as_any_new_file(tmp_path: Path) -> None:
    path, plain = tmp_path / "numbers.json", tmp_path / "plain"
    plain.touch()
    write_json(path, {"a": [1, 2.5]})
    assert json.loads(path.read_text()) == {"a": [1, 2.5]}
    assert path.stat().st_mode == plain.stat().st_mode
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": math.nan})
    assert json.loads(path.read_text()) == {"a": [1, 2.5]}
