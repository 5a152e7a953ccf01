"""Words that can be read."""

import numpy as np
import pytest

from tracker.view.live_text import draw_caption, draw_panel, text_size_px, wrapped


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Relative luminance of WCAG 2."""
    encoded = rgb / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("ground", ["black", "white", "noise"])
def test_letters_stand_out_on_any_background(ground, rng):
    value = {"black": 0, "white": 255}.get(ground)
    rgb = (
        rng.integers(0, 256, (200, 320, 3), np.uint8)
        if value is None
        else np.full((200, 320, 3), value, np.uint8)
    )
    draw_panel(rgb, ["29.8 fps", "capture 31 ms"], place="top left", size_px=20)
    panel = luminance(rgb[10:60, 10:100].astype(float))
    letters, dark = np.percentile(panel, 99), np.percentile(panel, 50)
    assert (letters + 0.05) / (dark + 0.05) > 7  # AAA


def test_only_the_panel_is_touched():
    rgb = np.full((200, 400, 3), 200, np.uint8)
    draw_panel(rgb, [("H", "help"), ("Q", "quit")], place="right", size_px=16)
    changed = np.argwhere((rgb != 200).any(-1))
    low, high = changed.min(0), changed.max(0)
    assert ((low > (20, 200)) & (high < (180, 395))).all()
    assert (low[0] + high[0]) / 2 == pytest.approx(100, abs=2)


def test_what_does_not_fit_is_cut_off():
    rgb = np.zeros((20, 30, 3), np.uint8)
    draw_panel(rgb, ["a very long line of words"] * 9, place="bottom", size_px=14)
    draw_caption(rgb, "right 0.97 predicted", (500.0, -300.0), 14, (255, 255, 255))
    assert rgb.shape == (20, 30, 3)
    draw_panel(rgb, [], place="right", size_px=14)


@pytest.mark.parametrize(
    "text", ["W" * 12 + " of " * 20, "/a/very/long/path" * 9, "two\nlines", ""]
)
def test_wrapped_words_fit_and_none_is_lost(text):
    lines = wrapped(text, 400, 20)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    if "W" not in text:  # a row of the widest letters may be cut off
        rgb = np.full((900, 440, 3), 200, np.uint8)
        draw_panel(rgb, lines, place="bottom", size_px=20)
        assert (rgb[:, -8:] == 200).all()


def test_captions_stay_inside():
    rgb = np.full((100, 200, 3), 90, np.uint8)
    draw_caption(rgb, "left", (-1e4, 1e4), 13, (255, 255, 255))
    assert (rgb[80:, :40] != 90).any()


def test_letters_grow_with_the_picture():
    assert text_size_px((480, 640)) == 13
    assert text_size_px((720, 1280)) == 18
    assert text_size_px((2160, 3840)) == 54


def test_letters_can_be_read_where_the_window_shrinks_the_picture():
    portrait, window = (1280, 720), (640, 360)
    assert text_size_px(portrait, window) * 0.5 == 13
    assert text_size_px(portrait, (1280, 720)) == text_size_px(portrait)
    assert text_size_px((2160, 3840), (360, 640)) * 360 / 2160 == pytest.approx(13, abs=0.5)
    assert text_size_px((64, 100), (32, 50)) >= 8
