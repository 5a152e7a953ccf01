"""Find the detector models and check that they are the ones we know.

`weights/manifest.json` lists every file with its sha256. A model is looked for in
`$HANDLOOM_MODELS`, in Handloom's own weights folder, in the installed mediapipe wheel (which is
read, never imported) and inside a `hand_landmarker.task` bundle in any of these folders.
"""

import hashlib
import importlib.util
import json
import os
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tracker.errors import ModelFileError
from tracker.geometry.hand_files import PACKAGED_WEIGHTS, REPOSITORY_WEIGHTS

BUNDLE = "hand_landmarker.task"
BUNDLED_NAMES = {
    "palm_detection_full.tflite": "hand_detector.tflite",
    "hand_landmark_full.tflite": "hand_landmarks_detector.tflite",
}
"""The full models' names inside MediaPipe's downloadable bundle."""


@cache
def manifest() -> dict[str, dict[str, str | int | bool]]:
    """Return the known weight files by name."""
    for folder in (REPOSITORY_WEIGHTS, PACKAGED_WEIGHTS):
        if (folder / "manifest.json").is_file():
            return json.loads((folder / "manifest.json").read_text())
    raise ModelFileError(
        f"weights/manifest.json was not found in {REPOSITORY_WEIGHTS}; reinstall Handloom"
    )


def search_folders() -> list[Path]:
    """Return the folders that are searched, in order."""
    folders = [Path(os.environ["HANDLOOM_MODELS"])] if os.environ.get("HANDLOOM_MODELS") else []
    folders += [REPOSITORY_WEIGHTS, PACKAGED_WEIGHTS]
    spec = importlib.util.find_spec("mediapipe")
    for root in (spec.submodule_search_locations or []) if spec else []:
        folders += [Path(root) / "modules" / part for part in ("palm_detection", "hand_landmark")]
    return folders


def read_model(name: str) -> bytes:
    """Return the bytes of the model called `name` in the manifest.

    Raises:
        ModelFileError: it is nowhere, or every file of that name has other contents.
    """
    entry = manifest().get(name)
    if entry is None:
        raise ModelFileError(f"model {name!r} is unknown; known: {', '.join(manifest())}")
    strangers: list[str] = []
    for origin, data in _candidates(name, int(entry["bytes"])):
        if hashlib.sha256(data).hexdigest() == entry["sha256"]:
            return data
        strangers.append(origin)
    found = (
        f"found only files with other contents: {', '.join(strangers)}"
        if strangers
        else "found nothing"
    )
    raise ModelFileError(
        f"model {name} was looked for in {', '.join(map(str, search_folders()))}: {found}; "
        "install it with `pip install mediapipe==0.10.14`, or set HANDLOOM_MODELS to a folder that holds it"
    )


def _candidates(name: str, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield (origin, bytes) of every file that could be `name`, reading no more than is expected."""
    for folder in search_folders():
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                yield str(folder / name), file.read(size + 1)
        bundle = folder / BUNDLE
        if name in BUNDLED_NAMES and zipfile.is_zipfile(bundle):
            with zipfile.ZipFile(bundle) as archive:
                if BUNDLED_NAMES[name] in archive.namelist():
                    with archive.open(BUNDLED_NAMES[name]) as file:
                        yield f"{bundle}!{BUNDLED_NAMES[name]}", file.read(size + 1)
