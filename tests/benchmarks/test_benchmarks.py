import importlib
import json

import pytest

from benchmarks.__main__ import WORKLOADS, main
from benchmarks.metric import Metric, alternating_ms


def test_the_last_line_is_the_document(capsys):
    main(["--only", "skinning", "--quick"])
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["name"] == "skinning"
    assert {"commit", "machine", "load"} < set(document)
    assert {"cpu", "cores", "python", "torch", "numba"} <= set(document["machine"])
    metrics = {metric["key"]: metric for metric in document["metrics"]}
    speed = metrics["lbs_runtime_ms"]
    assert set(speed) == set(Metric.__dataclass_fields__)
    assert speed["ratio"] == pytest.approx(speed["reference_value"] / speed["value"])
    assert metrics["lbs_difference_mm"]["value"] < 1e-3


def test_list_names_every_workload_and_each_can_run(capsys):
    main(["--list"])
    assert capsys.readouterr().out.split() == list(WORKLOADS)
    for module in WORKLOADS.values():
        assert callable(importlib.import_module(module).run)


def test_an_unknown_name_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])
    assert "fitting" in capsys.readouterr().err


def test_candidates_are_timed_in_turn():
    calls: list[str] = []
    a, b = alternating_ms([lambda: calls.append("a"), lambda: calls.append("b")], rounds=2)
    assert calls == ["a", "b"] * 3
    assert len(a) == len(b) == 2
