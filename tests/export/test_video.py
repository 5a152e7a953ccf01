"""Videos are read back by PyAV: pictures, times, sizes, and nothing half-written."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from tracker.errors import OutputError
from tracker.export.video import video_writer, yuv420p


def picture(hw: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Large patches of colour, which a lossy codec keeps."""
    patches = np.random.default_rng(seed).integers(30, 226, (6, 8, 3), np.uint8)
    rows, columns = (np.arange(side) * n // side for side, n in zip(hw, (6, 8), strict=True))
    return patches[rows[:, None], columns]


def write(path: Path, pictures: list[np.ndarray], times: list[float] | None = None) -> None:
    with video_writer(path, 25.0) as writer:
        for n, rgb in enumerate(pictures):
            writer.add(rgb, times[n] if times else n / 25)


def read(path: Path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [f.to_ndarray(format="rgb24") for f in frames], [float(f.time) for f in frames]


def add_and_fail(path: Path, failure: BaseException) -> None:
    with video_writer(path, 25.0) as writer:
        writer.add(picture((48, 64)), 0.0)
        raise failure


def test_pictures_come_back_in_their_colours(tmp_path: Path) -> None:
    wanted = [picture((240, 320), seed) for seed in range(3)]
    write(tmp_path / "a.mp4", wanted)
    found, times = read(tmp_path / "a.mp4")
    np.testing.assert_allclose(times, [0, 0.04, 0.08], atol=1e-4)
    for a, b in zip(found, wanted, strict=True):
        off = a.astype(int) - b
        assert np.abs(off).mean() < 4
        assert np.abs(off.mean((0, 1))).max() < 2


def test_the_file_says_how_its_colours_are_meant(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [picture((48, 64))])
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert context.colorspace == Colorspace.SMPTE170M
        assert context.color_range == ColorRange.MPEG


def test_uneven_and_repeated_times_stay_in_order(tmp_path: Path) -> None:
    times = [0.0, 0.02, 0.5, 0.5, 0.51, 2.0]
    write(tmp_path / "a.mp4", [picture((48, 64))] * 6, times)
    _, found = read(tmp_path / "a.mp4")
    np.testing.assert_allclose(found, times, atol=1e-4)
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize(
    ("hw", "expected"),
    [((239, 321), (238, 320)), ((17, 16), (16, 16)), ((16, 16390), (16, 16384))],
)
def test_sizes_the_codec_does_not_take_are_cut_or_scaled(
    tmp_path: Path, hw: tuple[int, int], expected: tuple[int, int]
) -> None:
    with video_writer(tmp_path / "a.mp4", 25.0) as writer:
        writer.add(picture(hw), 0.0)
        assert writer.hw == expected
    (found,), _ = read(tmp_path / "a.mp4")
    assert found.shape == (*expected, 3)


def test_pictures_of_other_sizes_are_fitted_into_the_first(tmp_path: Path) -> None:
    white = np.full((100, 40, 3), 255, np.uint8)
    write(tmp_path / "a.mp4", [picture((60, 80)), white])
    (_, found), _ = read(tmp_path / "a.mp4")
    assert found.shape == (60, 80, 3)
    assert found[:, 30:50].min() > 200
    assert found[:, [0, 10, 70, 79]].max() < 40


def test_no_picture_is_no_file(tmp_path: Path) -> None:
    with video_writer(tmp_path / "a.mp4", 25.0) as writer:
        assert writer.hw is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), KeyboardInterrupt()])
def test_a_failed_block_leaves_the_earlier_video(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.mp4"
    write(path, [picture((48, 64))] * 2)
    before = path.read_bytes()
    with pytest.raises(type(failure)):
        add_and_fail(path, failure)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*no.a\.mp4"):
        write(tmp_path / "no" / "a.mp4", [picture((48, 64))])


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 240, 320, 3), np.uint8)
    with (
        pytest.raises(OutputError, match=r"cannot write .*a\.mp4: File too large"),
        file_size_limit(100_000),
    ):
        write(tmp_path / "a.mp4", list(noise))
    assert list(tmp_path.iterdir()) == []


def test_the_fast_conversion_gives_what_ffmpeg_gives() -> None:
    """OpenCV's luma and chroma against FFmpeg's."""
    rgb = picture((240, 320))
    fast = yuv420p(rgb).to_ndarray().astype(int)
    reference = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
    off = np.abs(fast - reference.to_ndarray())
    assert off[:240].max() <= 1
    assert off[240:].mean() < 1
