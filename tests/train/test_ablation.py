import dataclasses
import itertools
import json

import cv2
import numpy as np
import pytest

from train.ablation import ablation
from train.ablation_rows import Budget, rows
from train.config import TrainConfig
from train.keypoint_curves import FARTHEST_PX, shares_within
from train.presets import PRESETS

TINY = Budget(steps=10, batch=2, held_out="synthetic,seed=900001,count=4,noisy=yes")


def hand_steps(config: TrainConfig) -> int:
    ends = (0, *config.timetable().ends)
    lengths = [end - start for start, end in itertools.pairwise(ends)]
    return sum(n for n, stage in zip(lengths, config.stages, strict=True) if stage.hand)


def test_every_row_has_the_same_budget_data_and_seed():
    found = [row.config for row in rows("4", PRESETS["cpu"], Budget(images="images:x"))]
    assert {hand_steps(config) for config in found} == {800}
    assert {(c.data, c.batch, c.seed, c.weights) for c in found} == {
        (("images:x", "synthetic,noisy=yes"), 64, 0, PRESETS["cpu"].weights)
    }


def test_each_row_adds_the_papers_losses():
    last = [set(row.config.stages[-1].terms) for row in rows("4", PRESETS["cpu"], Budget())]
    added = [later - earlier for earlier, later in itertools.pairwise(last)]
    assert added[0] == {"orientation"}
    assert added[1] == {"keypoints", "consistency"}
    assert {"pixel", "ssim", "texture"} <= added[2]
    assert [
        row.config.stages[0].terms.count("orientation")
        for row in rows("4", PRESETS["cpu"], Budget())
    ] == [0, 1, 1, 1]


def test_keypoint_rows_differ_in_nothing_but_their_keypoints():
    first, *others = (row.config for row in rows("5", PRESETS["cpu"], Budget()))
    for other in others:
        assert other.data != first.data
        assert dataclasses.replace(other, data=first.data) == first


def test_shares_are_counted_up_to_each_distance():
    shares = shares_within(np.array([0.5, 1.0, 3.2, 100.0]))
    assert shares[:5] == [0.0, 0.5, 0.5, 0.5, 0.75]
    assert len(shares) == FARTHEST_PX + 1


def test_a_table_is_trained_once_measured_and_drawn(tmp_path, capsys):
    config = dataclasses.replace(PRESETS["smoke"], batch=2)
    file = tmp_path / "config.json"
    file.write_text(config.to_json())
    arguments = {"out": tmp_path / "a", "tables": "4", "config": file, "budget": TINY}
    ablation(**arguments)
    table = json.loads((tmp_path / "a" / "table4.json").read_text())
    assert list(table) == ["mean hand", "E_loc + E_regu", "+ E_ori", "+ E_2d, E_con", "+ E_photo"]
    assert table["mean hand"]["numbers"]["official_mpjpe_mm"] > 5
    assert "uv_px" not in table["mean hand"]["numbers"]
    curves = table["+ E_photo"]["curves"]
    assert {"detected", "projected, before", "projected, after", "2D branch, after"} <= set(curves)
    assert all(np.diff(curve["within_px"]).min() >= 0 for curve in curves.values())
    picture = cv2.imread(str(tmp_path / "a" / "figure4.png"))
    assert picture.shape[:2] == (630, 900)
    capsys.readouterr()
    ablation(**arguments)
    again = capsys.readouterr()
    assert "step" not in again.err
    (tmp_path / "a" / "4-loc" / "result.json").unlink()
    with pytest.raises(ValueError, match="another configuration"):
        ablation(**{**arguments, "budget": dataclasses.replace(TINY, lr=0.5)})
