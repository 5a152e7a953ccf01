"""Pictures of hands to train on and to measure with, each data set in its own file.

A data set is named in one word: `synthetic`, `freihand:FOLDER`, `ho3d:FOLDER`, `images:FOLDER` or
`videos:FOLDER`, options behind commas: `freihand:data/FreiHAND,split=evaluation,keypoints=k.npz`.
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from train.datasets.sample import Dataset, DatasetError


def _synthetic(
    *,
    size_px: int = 224,
    seed: int = 0,
    count: int | None = None,
    noisy: bool = False,
    confidence: bool = True,
    backgrounds: Path | None = None,
    hand_model: Path | None = None,
) -> Dataset:
    from train.datasets.synthetic import SyntheticConfig, SyntheticHands
    from train.datasets.synthetic_keypoints import KeypointNoise

    noise = KeypointNoise(confident=not confidence) if noisy else None
    return SyntheticHands(SyntheticConfig(size_px, seed, count, noise, backgrounds, hand_model))


def _freihand(
    root: Path,
    *,
    split: str = "training",
    keypoints: Path | None = None,
    versions: int = 4,
    with_vertices: bool = False,
) -> Dataset:
    from train.datasets.freihand import FreiHand

    if split not in ("training", "evaluation"):
        raise DatasetError(f"FreiHAND has split=training and split=evaluation, asked for {split!r}")
    return FreiHand(
        root, split, keypoints=keypoints, versions=versions, with_vertices=with_vertices
    )


def _ho3d(root: Path, *, split: str = "train", keypoints: Path | None = None) -> Dataset:
    from train.datasets.ho3d import Ho3d

    if split not in ("train", "evaluation"):
        raise DatasetError(f"HO-3D has split=train and split=evaluation, asked for {split!r}")
    return Ho3d(root, split, keypoints=keypoints)


def _images(
    root: Path,
    *,
    labels: Path | None = None,
    fov_deg: float = 60.0,
    min_confidence: float = 0.15,
    lifted: bool = False,
) -> Dataset:
    from train.datasets.image_folder import ImageFolder

    return ImageFolder(root, labels, fov_deg=fov_deg, min_confidence=min_confidence, lifted=lifted)


def _videos(
    root: Path,
    *,
    labels: Path | None = None,
    fov_deg: float = 60.0,
    min_confidence: float = 0.15,
    cache: Path | None = None,
    triples: bool = False,
    lifted: bool = False,
) -> Dataset:
    from train.datasets.video_folder import VideoFolder
    from train.temporal_triples import Triples

    clips = VideoFolder(
        *(root, labels),
        fov_deg=fov_deg,
        min_confidence=min_confidence,
        cache=cache,
        lifted=lifted,
    )
    return Triples(clips) if triples else clips


_KINDS: Final[dict[str, Callable[..., Dataset]]] = {
    "synthetic": _synthetic,
    "freihand": _freihand,
    "ho3d": _ho3d,
    "images": _images,
    "videos": _videos,
}
_WORDS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def open_dataset(words: str) -> Dataset:
    """Open the data set that the words name; see the module.

    Raises:
        DatasetError: the words are not understood, or the data set cannot be used.
    """
    first, *options = words.split(",")
    kind, _, folder = first.partition(":")
    make = _KINDS.get(kind)
    if make is None:
        raise DatasetError(f"data set {words!r} is unknown; name one of: {', '.join(_KINDS)}")
    parameters = inspect.signature(make).parameters
    if ("root" in parameters) != bool(folder):
        needed = f"{kind}:FOLDER" if "root" in parameters else kind
        raise DatasetError(f"data set {words!r} should read {needed}, options behind commas")
    named = dict(_option(words, option, parameters) for option in options)
    return make(Path(folder), **named) if folder else make(**named)


def _option(
    words: str, option: str, parameters: Mapping[str, inspect.Parameter]
) -> tuple[str, Any]:
    name, _, text = option.partition("=")
    if name not in parameters or name == "root" or not text:
        known = ", ".join(n for n in parameters if n != "root")
        raise DatasetError(
            f"option {option!r} of {words!r} is unknown; known are {known}, each =value"
        )
    try:
        return name, _value(text, str(parameters[name].annotation))
    except (ValueError, KeyError) as problem:
        raise DatasetError(f"option {option!r} of {words!r} has no valid value") from problem


def _value(text: str, annotation: str) -> Any:
    if "bool" in annotation:
        return _WORDS[text.lower()]
    if "Path" in annotation:
        return Path(text)
    if "int" in annotation:
        return int(text)
    return float(text) if "float" in annotation else text
