"""The contact sheet shows a dozen moments of a clip of any length, close to the hands."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import apps.clip_sheet
from apps.clip_sheet import ClipSheet

HW = (90, 160)


def frame(n: int) -> SimpleNamespace:
    return SimpleNamespace(timestamp_s=float(n))


def hand(center: tuple[float, float] = (80, 45), state: str = "tracked") -> SimpleNamespace:
    uv = np.random.default_rng(0).uniform(-8, 8, (21, 2)) + center
    return SimpleNamespace(uv=uv, state=state, side="right", track_id=0, score=0.9)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Write a sheet and return its tiles and captions."""
    shown = {}

    def draw(pictures, captions, tile_px):
        shown.update(pictures=pictures, captions=captions)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(apps.clip_sheet, "contact_sheet", draw)

    def write(sheet: ClipSheet) -> tuple[list[np.ndarray], list[str]]:
        with Image.open(sheet.write(tmp_path / "sheet.png")) as image:
            assert image.size == (8, 8)
        return shown["pictures"], shown["captions"]

    return write


@pytest.mark.parametrize("count", [1, 5, 12, 24, 100, 1000])
def test_pictures_are_spread_over_the_clip(page, count: int) -> None:
    sheet = ClipSheet()
    for n in range(count):
        sheet.offer(frame(n), np.zeros((*HW, 3), np.uint8), [hand()])
    _, captions = page(sheet)
    times = [float(caption.split()[0]) for caption in captions]
    assert len(times) == min(count, 12)
    assert times[0] == 0
    assert times[-1] >= 0.85 * (count - 1)
    assert np.ptp(np.diff(times)) <= max(count / 10, 1) if count > 1 else True
    assert captions[0] == "0.00 s  right 0: 0.90"


def test_moments_with_a_hand_are_preferred(page) -> None:
    sheet = ClipSheet()
    for n in range(96):
        sheet.offer(frame(n), np.zeros((*HW, 3), np.uint8), [hand()] if n % 8 == 7 else [])
    _, captions = page(sheet)
    assert all("right" in caption for caption in captions)


def test_a_lost_hand_is_not_shown_as_one(page) -> None:
    sheet = ClipSheet()
    sheet.offer(frame(0), np.zeros((*HW, 3), np.uint8), [hand(state="lost")])
    assert page(sheet)[1] == ["0.00 s"]


@pytest.mark.parametrize("center", [(80, 45), (5, 5), (158, 88)])
def test_a_close_up_holds_the_hand_and_stays_in_the_frame(page, center) -> None:
    picture = np.zeros((*HW, 3), np.uint8)
    there = hand(center)
    inside = there.uv[((there.uv >= 0) & (there.uv < (160, 90))).all(-1)].astype(int)
    picture[inside[:, 1], inside[:, 0]] = 255
    sheet = ClipSheet()
    sheet.offer(frame(0), picture, [there])
    (tile,), _ = page(sheet)
    assert tile.shape[0] == tile.shape[1] <= 40
    assert (tile > 0).sum() == (picture > 0).sum()


def test_without_a_hand_the_whole_frame_is_shown(page) -> None:
    sheet = ClipSheet()
    sheet.offer(frame(0), np.zeros((*HW, 3), np.uint8), [])
    sheet.offer(frame(1), np.zeros((900, 1600, 3), np.uint8), [hand((-500, -500))])
    (small, large), _ = page(sheet)
    assert small.shape == (*HW, 3)
    assert large.shape == (180, 320, 3)
