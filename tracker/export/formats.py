"""The file formats by name."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tracker.export.bvh import export_bvh
from tracker.export.glb import export_glb
from tracker.export.mesh_sequence import export_obj, export_ply
from tracker.export.npz import export_npz
from tracker.export.recording import Recording
from tracker.export.tables import export_csv, export_jsonl
from tracker.export.usd import export_usd

Exporter = Callable[[Recording, Path], list[Path]]
"""Writes one format of a recording into a folder and returns the files."""

EXPORTERS: Final[dict[str, Exporter]] = {
    "npz": export_npz,
    "glb": export_glb,
    "obj": export_obj,
    "ply": export_ply,
    "csv": export_csv,
    "jsonl": export_jsonl,
    "bvh": export_bvh,
    "usd": export_usd,
}


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the formats in a list such as `npz,glb`; each counts once, an empty list is none.

    Raises:
        ValueError: one is unknown; the message lists those that are known.
    """
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in EXPORTERS]
    if unknown:
        raise ValueError(
            f"unknown export format {', '.join(unknown)}; known formats: {', '.join(EXPORTERS)}"
        )
    return names


def export(recording: Recording, folder: Path, formats: Iterable[str]) -> list[Path]:
    """Write the named formats into `folder` and return the files.

    Raises:
        OutputError: one of them cannot be written; those before it are complete.
    """
    return [path for name in formats for path in EXPORTERS[name](recording, folder)]
