import importlib
import json
from subprocess import PIPE, Popen
from types import SimpleNamespace

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


GOOD = """
print("a note")
print('{"metrics": [{"key": "a", "value": 1.5, "unit": "mm"}]}')
"""
BAD = """
print("what went wrong")
raise SystemExit(3)
"""


def test_all_run_apart_and_one_that_fails_costs_no_other(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.WORKLOADS", {"bad": "", "good": ""})
    scripts = {"bad": BAD, "good": GOOD}

    def replaced(command, **options):
        assert command[1:] == ["-m", "benchmarks", "--only", command[4], "--quick"]
        return Popen([command[0], "-c", scripts[command[4]]], **options)

    monkeypatch.setattr("benchmarks.apart.subprocess", SimpleNamespace(Popen=replaced, PIPE=PIPE))
    with pytest.raises(SystemExit, match="bad ended with exit code 3"):
        main(["--quick"])
    *said, last = capsys.readouterr().out.splitlines()
    assert said == ["what went wrong", "a note"]
    assert json.loads(last)["name"] == "all"
    assert [metric["key"] for metric in json.loads(last)["metrics"]] == ["a"]


def test_what_was_measured_before_an_interruption_is_kept(capsys, monkeypatch):
    def measured(name, options):
        if name != next(iter(WORKLOADS)):
            raise KeyboardInterrupt
        return [Metric("a", 1.5, "mm")]

    monkeypatch.setattr("benchmarks.__main__.measured_apart", measured)
    with pytest.raises(SystemExit, match="interrupted"):
        main([])
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]) == 1
