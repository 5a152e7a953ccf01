"""Regions that are looked into together give what each gives alone, in their order."""

import numpy as np
import pytest

from tracker.vision.landmarker import Landmarker
from tracker.vision.records import Roi
from train.datasets.synthetic import SyntheticConfig, SyntheticHands


@pytest.mark.parametrize("slots", [1, 2])
def test_regions_do_not_change_each_other(slots):
    rgb = SyntheticHands(SyntheticConfig(size_px=224))[5].rgb
    rois = [
        Roi(np.full(2, 112.0), side, turn)
        for side, turn in ((224.0, 0.0), (180.0, 0.4), (260.0, -0.3))
    ]
    landmarker = Landmarker(variant="lite", slots=slots, precision="f32")
    together = landmarker(rgb, rois)
    alone = [landmarker(rgb, [roi])[0] for roi in rois]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a.uv, b.uv, atol=0.01)
        np.testing.assert_allclose(a.xyz, b.xyz, atol=1e-5)
        assert abs(a.presence - b.presence) < 1e-4
    assert np.abs(together[0].uv - together[1].uv).max() > 0.5
    assert landmarker(rgb, []) == []
