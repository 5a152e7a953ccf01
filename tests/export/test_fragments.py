"""A video that breaks off is cut behind its last whole fragment, and plays."""

import errno
from pathlib import Path

import av
import numpy as np
import pytest

from tracker.errors import OutputError
from tracker.export.fragments import RecoverableFile, keep_whole_fragments
from tracker.export.video import video_writer


def write(path: Path, count: int, rng: np.random.Generator, *, fail: bool = False) -> None:
    with video_writer(path, 10.0, recoverable=True) as writer:
        for n in range(count):
            writer.add(rng.integers(0, 90, (96, 128, 3), np.uint8), n / 10)
        if fail:
            raise OutputError("the disk is full")


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def boxes(data: bytes) -> list[tuple[bytes, int, int]]:
    """Kind, start and end of each box."""
    found, at = [], 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        found.append((data[at + 4 : at + 8], at, at + length))
        at += max(length, 8)
    return found


@pytest.fixture
def fragmented(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A video of 40 frames whose writing failed at the end."""
    path = tmp_path / "live.mp4"
    with pytest.raises(OutputError, match="the disk is full"):
        write(path, 40, rng, fail=True)
    return path


def test_a_finished_one_is_an_ordinary_file(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "live.mp4"
    write(path, 25, rng)
    assert frames_in(path) == 25
    assert b"moof" not in {kind for kind, _, _ in boxes(path.read_bytes())}


def test_one_that_failed_keeps_its_whole_seconds(fragmented: Path) -> None:
    assert 20 <= frames_in(fragmented) <= 40
    assert boxes(fragmented.read_bytes())[-1][0] == b"mdat"


def test_it_can_be_played_while_it_is_written(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "live.mp4"
    with video_writer(path, 10.0, recoverable=True) as writer:
        for n in range(100):
            writer.add(rng.integers(0, 90, (96, 128, 3), np.uint8), n / 10)
        copy = tmp_path / "copy.mp4"
        copy.write_bytes(path.read_bytes())
    assert keep_whole_fragments(copy)
    assert 10 <= frames_in(copy) < 100


@pytest.mark.parametrize("share", [0.3, 0.5, 0.77, 0.99])
def test_torn_anywhere_it_plays_to_the_tear(fragmented: Path, share: float) -> None:
    whole = frames_in(fragmented)
    data = fragmented.read_bytes()
    fragmented.write_bytes(data[: round(share * len(data))])
    first_end = next(end for kind, _, end in boxes(data) if kind == b"mdat")
    assert keep_whole_fragments(fragmented) == (round(share * len(data)) >= first_end)
    if fragmented.stat().st_size:
        assert 0 < frames_in(fragmented) <= whole


@pytest.mark.parametrize("data", [b"", b"abc", b"\0" * 64, b"\0\0\0\x08mdat" * 3, b"\xff" * 100])
def test_what_holds_no_fragment_is_emptied(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "odd.mp4"
    path.write_bytes(data)
    assert not keep_whole_fragments(path)
    assert path.stat().st_size == 0


def test_a_missing_file_is_no_fragment(tmp_path: Path) -> None:
    assert not keep_whole_fragments(tmp_path / "none.mp4")


def test_a_failure_before_the_first_fragment_leaves_nothing(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "live.mp4"
    with pytest.raises(OutputError):
        write(path, 2, rng, fail=True)
    assert not path.exists()


def test_a_full_disk_is_named_and_what_was_written_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    path = tmp_path / "live.mp4"
    written = iter(range(10_000))
    write_bytes = RecoverableFile.write

    def full(self: RecoverableFile, data: bytes) -> int:
        if next(written) >= 25:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(self, data)

    monkeypatch.setattr(RecoverableFile, "write", full)
    with pytest.raises(OutputError, match="the disk is full; free some space"):
        write(path, 400, rng)
    assert 10 <= frames_in(path) < 400
