"""Pictures on a page."""

import numpy as np
import pytest

from tracker.view.contact_sheet import contact_sheet


def test_pictures_of_any_size_land_in_their_tiles():
    colors = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    sizes = [(50, 100), (300, 150), (64, 64)]
    images = [np.full((*hw, 3), c, np.uint8) for hw, c in zip(sizes, colors, strict=True)]
    sheet = contact_sheet(images, ["a", "b", "c"], columns=2, tile_px=64)
    centers = [(6 + 32, 6 + 32), (6 + 32, 76 + 32), (96 + 32, 6 + 32)]
    assert [tuple(sheet[y, x].tolist()) for y, x in centers] == colors
    assert (sheet.min(-1) > 200).mean() > 0.2  # paper remains


def test_captions_are_written_below_and_may_be_missing():
    image = [np.full((30, 30, 3), 255, np.uint8)]
    bare, titled = contact_sheet(image, tile_px=60), contact_sheet(image, ["hand"], tile_px=60)
    assert titled.shape[0] == bare.shape[0] + 20
    assert (titled[-26:] < 120).all(-1).any()
    assert not (bare[-6:] < 120).all(-1).any()


def test_a_page_is_as_wide_as_its_pictures():
    image = np.zeros((10, 10, 3), np.uint8)
    assert contact_sheet([image], columns=9, tile_px=20).shape == (32, 32, 3)


@pytest.mark.parametrize(("count", "captions"), [(0, []), (2, ["only one"])])
def test_what_does_not_fit_is_refused(count, captions):
    with pytest.raises(ValueError, match="captions"):
        contact_sheet([np.zeros((4, 4, 3), np.uint8)] * count, captions)
