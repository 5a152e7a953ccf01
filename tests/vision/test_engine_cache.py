"""Compiled engines on disk: kept, found again, and built again when they are stale or damaged."""

from pathlib import Path

import pytest

from tracker.vision.engines.cache import EngineCache, EngineKey


def key(versions: str = "1", **variant: str) -> EngineKey:
    return EngineKey("paper", "0" * 64, variant, {"tool": versions})


class Builds:
    """Counts how often an engine was built."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, folder: Path) -> None:
        self.count += 1
        (folder / "engine.txt").write_text(f"built {self.count}")


def loaded(folder: Path) -> str:
    return (folder / "engine.txt").read_text()


def test_an_engine_is_built_once_and_again_for_other_versions(tmp_path, caplog):
    cache, builds = EngineCache(tmp_path / "new"), Builds()
    assert [cache.get(key(), builds, loaded) for _ in range(2)] == ["built 1"] * 2
    assert not caplog.records
    assert cache.get(key("2"), builds, loaded) == "built 2"
    assert "stale" in caplog.text
    assert cache.get(key(gpu="other"), builds, loaded) == "built 3"
    assert cache.get(key("2"), builds, loaded) == "built 2"


@pytest.mark.parametrize("damage", ["file", "stamp", "no file", "list"])
def test_a_damaged_engine_is_built_again_with_one_line(tmp_path, caplog, damage):
    cache, builds = EngineCache(tmp_path), Builds()
    cache.get(key(), builds, loaded)
    folder = tmp_path / key().folder
    {
        "file": lambda: (folder / "engine.txt").write_text("bui"),
        "stamp": lambda: (folder / "engine.json").write_text("{"),
        "no file": (folder / "engine.txt").unlink,
        "list": lambda: (folder / "engine.json").write_text("[1]"),
    }[damage]()
    assert not cache.has(key())
    assert cache.get(key(), builds, loaded) == "built 2"
    assert len(caplog.records) == 1
    assert cache.has(key())


def test_an_engine_that_does_not_load_is_built_again(tmp_path, caplog):
    cache, builds = EngineCache(tmp_path), Builds()
    cache.get(key(), builds, loaded)

    def picky(folder: Path) -> str:
        if loaded(folder) == "built 1":
            raise RuntimeError("made for another machine\nsecond line")
        return loaded(folder)

    assert cache.get(key(), builds, picky) == "built 2"
    assert caplog.messages == [
        f"engine {key().folder} is built again: it cannot be loaded (made for another machine)"
    ]


def test_an_engine_is_used_where_nothing_can_be_kept(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    cache = EngineCache(tmp_path / "file" / "engines")
    assert cache.get(key(), Builds(), loaded) == "built 1"
    assert "is not kept" in caplog.text
