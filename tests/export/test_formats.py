"""Formats by name, and all of them on clips at the edges."""

import errno
from pathlib import Path
from typing import Any

import pytest

from tracker.errors import OutputError
from tracker.export.formats import EXPORTERS, export, parse_formats
from tracker.export.recording import Recording


def installed_formats() -> list[str]:
    try:
        import pxr.Usd  # noqa: F401
    except ImportError:
        return [name for name in EXPORTERS if name != "usd"]
    return list(EXPORTERS)


def test_formats_are_parsed_once_each_in_order() -> None:
    assert parse_formats("npz, GLB,npz") == ("npz", "glb")
    assert parse_formats("") == ()


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown export format fbx; known formats: npz, glb, obj"):
        parse_formats("npz,fbx")


@pytest.mark.parametrize("frame_count", [0, 1])
def test_all_formats_write_whole_files_of_the_shortest_clips(
    frame_count: int, studio: Any, tmp_path: Path
) -> None:
    recording = studio.record([studio.actor(3, "left", [0])], frame_count)
    paths = export(recording, tmp_path, installed_formats())
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert written == set(paths)
    assert all(path.stat().st_size > 0 for path in paths if frame_count)


@pytest.mark.parametrize("name", installed_formats())
def test_a_full_disk_leaves_nothing_half_written(
    name: str, steady_hand: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)  # the last step of every file
    with pytest.raises(OutputError, match="disk is full"):
        EXPORTERS[name](steady_hand, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", installed_formats())
def test_a_file_in_place_of_the_folder_is_told(
    name: str, steady_hand: Recording, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        EXPORTERS[name](steady_hand, tmp_path / "out")
