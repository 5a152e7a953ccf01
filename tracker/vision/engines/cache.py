"""Compiled engines on disk: found by what they belong to, checked by content, rebuilt when in doubt.

Each engine has a folder of its own, named by runtime, network and variant (GPU, precision). A stamp
in it lists the versions it was built with and a hash of every file. Another version, a missing file
or another hash means that it is built again, with one line in the log.

The folder is `$HANDLOOM_CACHE`, else `$XDG_CACHE_HOME/handloom`, else `~/.cache/handloom`. Files in
it are trusted as far as the user's own account is: TensorRT's hold code.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

_STAMP: Final = "engine.json"
_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class EngineKey:
    """What a compiled engine belongs to."""

    engine: str
    network: str
    """The network's fingerprint."""
    variant: Mapping[str, str]
    """GPU, precision, batches: engines that may lie side by side."""
    versions: Mapping[str, str]
    """Programs it was built with: another version replaces it."""

    @property
    def folder(self) -> str:
        """Name of its folder."""
        variant = json.dumps(dict(self.variant), sort_keys=True)
        short = hashlib.sha256(variant.encode()).hexdigest()[:8]
        return f"{self.engine}-{self.network[:16]}-{short}"

    def stamp(self) -> dict[str, object]:
        """Return the key as its file has it."""
        return {
            "engine": self.engine,
            "network": self.network,
            "variant": dict(self.variant),
            "versions": dict(self.versions),
        }


def cache_folder() -> Path:
    """Return where compiled engines are kept."""
    if named := os.environ.get("HANDLOOM_CACHE"):
        return Path(named) / "engines"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "handloom" / "engines"


class EngineCache:
    """Compiled engines under one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder()

    def get(self, key: EngineKey, build: Callable[[Path], None], load: Callable[[Path], T]) -> T:
        """Return the loaded engine, built first where there is none that fits.

        Args:
            key: what it belongs to.
            build: writes the engine's files into an empty folder.
            load: reads them; whatever it raises on a kept engine leads to one new build.
        """
        kept = self.folder / key.folder
        reason = _fault(kept, key)
        if not reason:
            try:
                return load(kept)
            # A runtime raises anything on a file that it wrote itself; a new one settles it.
            except Exception as problem:  # noqa: BLE001
                reason = f"it cannot be loaded ({_line(problem)})"
        if reason != "absent":
            _log.warning("engine %s is built again: %s", key.folder, reason)
        return self._rebuilt(kept, key, build, load)

    def has(self, key: EngineKey) -> bool:
        """Tell whether a whole engine with this key is kept."""
        return not _fault(self.folder / key.folder, key)

    def _rebuilt(
        self,
        kept: Path,
        key: EngineKey,
        build: Callable[[Path], None],
        load: Callable[[Path], T],
    ) -> T:
        with tempfile.TemporaryDirectory(prefix="handloom-engine-") as place:
            fresh = Path(place) / "engine"
            fresh.mkdir()
            build(fresh)
            files = {file.name: _hash(file) for file in sorted(fresh.iterdir())}
            (fresh / _STAMP).write_text(json.dumps(key.stamp() | {"files": files}, indent=1))
            try:
                _replace(fresh, kept)
            except OSError as problem:
                _log.warning("engine %s is not kept: %s", key.folder, _line(problem))
                return load(fresh)
        return load(kept)


def _replace(fresh: Path, kept: Path) -> None:
    """Put a new folder in place of an old one; readers see the old one, none, or the new one."""
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    near = Path(tempfile.mkdtemp(prefix=f".{kept.name}-", dir=kept.parent))
    try:
        shutil.copytree(fresh, near, dirs_exist_ok=True)
        if kept.exists():
            shutil.rmtree(kept)
        near.rename(kept)
    except OSError:
        shutil.rmtree(near, ignore_errors=True)
        # Another process may have been faster; its engine is as good.
        if not (kept / _STAMP).is_file():
            raise


def _fault(folder: Path, key: EngineKey) -> str:
    """Say in a few words why a kept engine is of no use; nothing if it is, `absent` if there is none."""
    if not folder.is_dir():
        return "absent"
    try:
        stamp = json.loads((folder / _STAMP).read_text())
        files = stamp.pop("files")
        if stamp != key.stamp():
            return f"it is stale, made with {stamp['versions']}"
        if not files or any(_hash(folder / name) != value for name, value in files.items()):
            return "its files are damaged"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        return f"its stamp is damaged ({_line(problem)})"
    return ""


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _line(problem: BaseException) -> str:
    return (str(problem) or type(problem).__name__).splitlines()[0][:200]
