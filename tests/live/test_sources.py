"""Every kind of file a user may name: good, odd and hostile."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tracker.errors import SourceError
from tracker.live.sources import open_source


def write_clip(
    path: Path, *, hw: tuple[int, int] = (48, 64), times: list[int] | None = None
) -> Path:
    """A clip whose frame n has brightness 10 n; `times` are presentation times in 1/1000 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = hw[0], hw[1], "yuv420p"
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for n in range(len(times or range(8))):
            frame = av.VideoFrame.from_ndarray(
                np.full((*hw, 3), 10 * n % 250, np.uint8), format="rgb24"
            )
            frame.pts = times[n] if times else n
            frame.time_base = Fraction(1, 1000 if times else 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_video_frames_come_in_order_with_their_times(tmp_path: Path) -> None:
    source = open_source(write_clip(tmp_path / "clip.mp4"))
    frames = list(source)
    assert (source.info.hw, source.info.fps, source.info.frame_count) == ((48, 64), 25.0, 8)
    assert [f.index for f in frames] == list(range(8))
    np.testing.assert_allclose([f.timestamp_s for f in frames], np.arange(8) / 25, atol=1e-6)
    brightness = [f.rgb.mean() for f in frames]
    np.testing.assert_allclose(brightness, 10 * np.arange(8), atol=4)
    assert source.warning is None


def test_variable_frame_rate_keeps_its_own_times(tmp_path: Path) -> None:
    times = [0, 40, 200, 240, 700]
    source = open_source(write_clip(tmp_path / "vfr.mkv", times=times))
    seen = [f.timestamp_s for f in source]
    np.testing.assert_allclose(seen, np.array(times) / 1000, atol=2e-3)


def test_odd_sizes_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "odd.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 37, 53, "bgr0"
        rgb = np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    (frame,) = open_source(path)
    np.testing.assert_array_equal(frame.rgb, rgb)


def set_rotation(path: Path, degrees: int) -> None:
    """Write a display matrix into the mp4's track header (ISO 14496-12, section 8.3.2)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes from the box body to the matrix
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    one = 1 << 16
    matrix = (cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_metadata_is_applied(tmp_path: Path, degrees: int) -> None:
    path = tmp_path / "turned.mp4"
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:16, :16] = 255  # a bright mark in the top left corner as stored
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    set_rotation(path, degrees)
    source = open_source(path)
    (frame,) = source
    # A phone held upright stores 90: the picture is to be turned clockwise by that angle.
    expected = np.rot90(rgb, -degrees // 90)
    assert source.info.hw == expected.shape[:2] == frame.rgb.shape[:2]
    assert np.abs(frame.rgb.astype(int) - expected).mean() < 8


def test_a_clip_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", hw=(240, 320), times=[40 * n for n in range(60)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert 1 <= len(list(open_source(path))) < 60


def test_images_are_read_in_natural_order(tmp_path: Path) -> None:
    for n in (1, 2, 10):
        Image.fromarray(np.full((32, 48, 3), n, np.uint8)).save(tmp_path / f"frame{n}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    source = open_source(tmp_path, fps=10.0)
    frames = list(source)
    assert [f.rgb[0, 0, 0] for f in frames] == [1, 2, 10]
    np.testing.assert_allclose([f.timestamp_s for f in frames], [0, 0.1, 0.2])
    assert source.info.frame_count == 3


def test_a_broken_image_is_named_and_counted(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    source = open_source(tmp_path)
    assert len(list(source)) == 1
    assert source.warning is not None
    assert "1 image" in source.warning
    assert "b.png" in source.warning


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((32, 48, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "photo.jpg", exif=exif)
    source = open_source(tmp_path / "photo.jpg")
    assert source.info.hw == (48, 32)


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def cut_off(path: Path) -> None:
    write_clip(path)
    path.write_bytes(path.read_bytes()[:300])


def giant_png(path: Path) -> None:
    """A header that claims 20000 x 20000 pixels."""
    Image.new("1", (20000, 20000)).save(path)


BAD = {
    "missing.mp4": (lambda p: None, "does not exist"),
    "text.mp4": (lambda p: p.write_text("hello " * 50), "cannot be read as video"),
    "empty.mp4": (lambda p: p.write_bytes(b""), "cannot be read as video"),
    "sound.mp4": (audio_only, "no video stream"),
    "cut.mp4": (cut_off, "cannot be read as video"),
    "folder": (lambda p: p.mkdir(), "holds no images"),
    "tiny.png": (lambda p: Image.new("RGB", (1, 1)).save(p), "1x1 pixels; at least"),
    "giant.png": (giant_png, "more than 64 million pixels"),
    "torn.png": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n"), "cannot be read as an image"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_that_says_what_to_do(tmp_path: Path, name: str) -> None:
    make, expected = BAD[name]
    make(tmp_path / name)
    with pytest.raises(SourceError, match=expected) as caught:
        open_source(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_giant_video_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "giant.gif"
    Image.new("P", (20, 20)).save(path)
    data = bytearray(path.read_bytes())
    data[6:10] = struct.pack("<HH", 9000, 9000)  # the logical screen
    path.write_bytes(data)
    with pytest.raises(SourceError, match="9000x9000 pixels, more than"):
        open_source(path)


def test_a_frame_of_one_pixel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dot.y4m"
    path.write_bytes(b"YUV4MPEG2 W1 H1 F25:1 Cmono\n" + b"FRAME\n\0" * 3)
    with pytest.raises(SourceError, match="1x1 pixels; at least"):
        open_source(path)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.y4m"
    path.write_bytes(b"YUV4MPEG2 W64 H48 F25:1\n")
    with pytest.raises(SourceError, match=r"holds no frames|cannot be read as video"):
        open_source(path)
