"""`hands.usdc`, read by USD itself; and what is said where USD is not installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.errors import OutputError
from tracker.export import usd
from tracker.export.recording import Recording, skin
from tracker.export.usd import export_usd


def test_points_and_visibility_match(two_hands: Recording, tmp_path: Path) -> None:
    Usd = pytest.importorskip("pxr.Usd", reason="needs `pip install 'handloom[export]'`")
    UsdGeom = pytest.importorskip("pxr.UsdGeom")
    (path,) = export_usd(two_hands, tmp_path)
    stage = Usd.Stage.Open(str(path))
    assert (stage.GetTimeCodesPerSecond(), stage.GetEndTimeCode()) == pytest.approx((25, 59))
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    rows = two_hands.rows
    for i in (0, 20, 60):
        prim = UsdGeom.Mesh(
            stage.GetPrimAtPath(f"/hands/hand_{rows['side'][i]}_{rows['track_id'][i]}")
        )
        code = float(rows["frame"][i])
        points = np.array(prim.GetPointsAttr().Get(code))
        wanted = skin(two_hands.models, rows[i : i + 1])[0]
        np.testing.assert_allclose(points, wanted, atol=1e-6)
        world = np.array(UsdGeom.XformCache(code).GetLocalToWorldTransform(prim.GetPrim()))
        np.testing.assert_allclose(world, np.diag([1, -1, -1, 1]), atol=1e-6)
    right = UsdGeom.Mesh(stage.GetPrimAtPath("/hands/hand_right_1"))
    seen = [right.ComputeVisibility(float(f)) != "invisible" for f in range(60)]
    assert np.flatnonzero(seen).tolist() == two_hands.tracks[0].rows["frame"].tolist()
    assert len(right.GetDisplayColorPrimvar().Get()) == 778


def test_a_clip_without_hands_gives_an_empty_stage(no_hands: Recording, tmp_path: Path) -> None:
    Usd = pytest.importorskip("pxr.Usd", reason="needs `pip install 'handloom[export]'`")
    stage = Usd.Stage.Open(str(export_usd(no_hands, tmp_path)[0]))
    assert [str(prim.GetPath()) for prim in stage.Traverse()] == ["/hands"]


def test_without_usd_the_message_says_what_to_install(
    no_hands: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(usd.importlib, "import_module", missing)
    with pytest.raises(OutputError, match=r"pip install 'handloom\[export\]'"):
        export_usd(no_hands, tmp_path)
    assert not list(tmp_path.iterdir())
