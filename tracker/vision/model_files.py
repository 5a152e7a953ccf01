"""Find the detector models and the network, and check that they are the ones we know.

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
from typing import Final

from tracker.errors import ModelFileError
from tracker.geometry.hand_files import PACKAGED_WEIGHTS, REPOSITORY_WEIGHTS

NETWORK_FILE: Final = "network.safetensors"
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


def shipped_network() -> Path | None:
    """Return the network that ships with Handloom, its content checked; None where there is none.

    Raises:
        ModelFileError: a file of its name cannot be read, or is not the one that the manifest lists.
    """
    entry = manifest().get(NETWORK_FILE)
    for folder in search_folders():
        file = folder / NETWORK_FILE
        if not file.is_file():
            continue
        # A network that a user put there is his own business; one that is listed has to be whole.
        if entry is not None and _sha256(file) != entry["sha256"]:
            raise ModelFileError(
                f"network {str(file)!r} is not the one that weights/manifest.json lists; restore "
                "it, give network=PATH, or take mode 'landmarks'"
            )
        return file
    return None


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as problem:
        raise ModelFileError(
            f"network {str(file)!r} cannot be read: {problem.strerror}; make it readable, give "
            "network=PATH, or take mode 'landmarks'"
        ) from problem


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
