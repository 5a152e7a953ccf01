"""The texture benchmark: what a perfect, a constant and a wrong render score, and what it leaves out."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import texture
from benchmarks.texture import Look, l1, metrics, write_sheet

HALF = np.repeat(np.array([[0.0, 1.0]], np.float32), 16, 0).repeat(8, 1)
"""A mask: nothing on the left, the hand on the right."""


def look_of(photo: float, render: float) -> Look:
    inside = HALF[..., None] * np.ones(3, np.float32)
    pattern = np.where(np.arange(16)[:, None, None] % 2, 0.1, -0.1).astype(np.float32)
    return Look(0.5 + inside * (photo - 0.5 + pattern), inside * (render + pattern), HALF)


def values(looks: list[Look]) -> dict[str, float]:
    return {metric.key: metric.value for metric in metrics(looks)}


def test_a_render_with_the_right_colours_leaves_nothing():
    found = values([look_of(0.8, 0.8), look_of(0.3, 0.3)])
    assert found["texture_l1"] == pytest.approx(0, abs=1e-6)
    assert found["texture_closer_percent"] == pytest.approx(100, abs=1e-3)


def test_only_the_inside_counts_and_each_constant_is_told_apart():
    light, dark = look_of(0.8, 0.7), look_of(0.3, 0.4)
    assert l1(light, light.render) == pytest.approx(0.1, abs=1e-6)
    found = {metric.key: metric for metric in metrics([light, dark])}
    # The common mean 0.55 is 0.25 off either hand, the hand's own mean only by the pattern.
    assert found["texture_l1"].reference_value == pytest.approx(0.25, abs=1e-6)
    assert found["texture_l1_own"].reference_value == pytest.approx(0.1, abs=1e-6)
    assert found["texture_closer_percent"].value == pytest.approx(60, abs=1e-3)
    assert found["texture_closer_percent_own"].value == pytest.approx(0, abs=1e-3)


def test_the_sheet_goes_from_light_to_dark(tmp_path):
    assert look_of(0.8, 0.8).lightness > look_of(0.2, 0.2).lightness + 30
    file = tmp_path / "new" / "sheet.png"
    write_sheet([look_of(0.2, 0.2), look_of(0.8, 0.8)], file)
    with Image.open(file) as image:
        rgb = np.array(image.convert("RGB"))
    photo = 6 + 128 * 3 // 4
    step = 3 * (128 + 6)
    assert rgb[60:80, photo].mean() > 1.5 * rgb[60:80, photo + step].mean()


def test_names_without_a_picture_are_left_out(tmp_path):
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.jpg").touch()
    (tmp_path / "pool_heldout.json").write_text(json.dumps(["a.jpg", "b.jpg"]))
    assert texture.held_out(tmp_path) == [tmp_path / "pool" / "a.jpg"]


def test_it_says_so_where_there_are_no_photographs(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HANDLOOM_TEST_DATA", str(tmp_path))
    assert texture.run(quick=True) == []
    assert "HANDLOOM_TEST_DATA" in capsys.readouterr().out
