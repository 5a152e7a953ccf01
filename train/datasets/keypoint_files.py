"""Files with detected 2D keypoints: our own labels, OpenPose's output and the paper's `detect.json`.

Others count pixels from the centre of the first one; they are shifted by half a pixel on reading.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float, Float32

from train.datasets.image_files import number_array, read_json
from train.datasets.sample import DatasetError, SampleError

Side = Literal["left", "right", "none"]
SIDES: Final[tuple[Side, ...]] = ("left", "right", "none")
_OPENPOSE_SUFFIX: Final = "_keypoints"
_OPENPOSE_HANDS: Final = {"right": "hand_right_keypoints_2d", "left": "hand_left_keypoints_2d"}
_NAME_KEYS: Final = ("image", "name", "file", "file_name", "image_name")
_OPTIONAL: Final = {"K": (3, 3), "xyz": (21, 3)}
"""What only some labels have, with its shape."""
_DAMAGE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class HandLabel:
    """One hand seen in one picture, or that there is none (`side` is none)."""

    name: str
    """Path of the picture relative to the labelled folder; `clip.mp4#12` for a frame of a video."""
    side: Side
    """The person's own hand."""
    uv: Float[np.ndarray, "21 2"]
    """Pixels of the picture as it is stored."""
    confidence: Float[np.ndarray, " 21"]
    score: float = 1.0
    """Probability that there is a hand."""
    K: Float[np.ndarray, "3 3"] | None = None
    """Intrinsics of the picture, for a part of one, whose camera cannot be guessed from its size."""
    xyz: Float[np.ndarray, "21 3"] | None = None
    """Joints in the camera frame (m) that `python -m train lift` fitted: a guess, no measurement."""


def no_hand(name: str) -> HandLabel:
    """Return the label of a picture that was searched and shows no hand."""
    return HandLabel(name, "none", np.zeros((21, 2)), np.zeros(21), 0.0)


def write_labels(path: Path, labels: Sequence[HandLabel]) -> None:
    """Write labels as npz, at once: a reader never sees half of them.

    Raises:
        DatasetError: the file cannot be written.
    """
    partial = path.with_name(f".{path.stem}.part.npz")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **_arrays(labels))
        partial.replace(path)
    except OSError as problem:
        partial.unlink(missing_ok=True)
        raise DatasetError(
            f"labels cannot be written to {path} ({problem.strerror}); name another file with --out"
        ) from problem


def _arrays(labels: Sequence[HandLabel]) -> dict[str, np.ndarray]:
    count = len(labels)
    uv: Float32[np.ndarray, "n 21 2"] = np.zeros((count, 21, 2), np.float32)
    confidence: Float32[np.ndarray, "n 21"] = np.zeros((count, 21), np.float32)
    for row, label in enumerate(labels):
        uv[row], confidence[row] = label.uv, label.confidence
    return {
        "names": np.array([label.name for label in labels], np.str_),
        "side": np.array([SIDES.index(label.side) for label in labels], np.uint8),
        "uv": uv,
        "confidence": confidence,
        "score": np.array([label.score for label in labels], np.float32),
        **_known("K", [label.K for label in labels]),
        **_known("xyz", [label.xyz for label in labels]),
    }


def _known(name: str, values: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    """Return an array with a row of NaN where there is no value; nothing where there is none at all."""
    unknown = np.full(_OPTIONAL[name], np.nan, np.float32)
    if all(value is None for value in values):
        return {}
    return {name: np.array([unknown if v is None else v for v in values], np.float32)}


def read_labels(path: Path) -> list[HandLabel]:
    """Read any of the known forms, by what is in the file.

    Ours (npz, or JSON `{"images": [{"name", "hands": [{"side", "uv", "confidence"}]}]}`), the
    paper's `detect.json` (three lists: pixels, confidences, names), OpenPose's JSON of one picture,
    a list of such, or a folder of them.

    Raises:
        DatasetError: it is missing, damaged or none of these.
    """
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise DatasetError(f"{path} holds no JSON files; name a folder of OpenPose's output")
        return [label for file in files for label in _from_json(file)]
    if path.suffix.lower() == ".npz":
        return _from_npz(path)
    return _from_json(path)


def _from_npz(path: Path) -> list[HandLabel]:
    try:
        with np.load(path, allow_pickle=False) as file:
            names, side = file["names"], file["side"]
            uv, confidence = file["uv"].astype(np.float64), file["confidence"].astype(np.float64)
            score = file["score"]
            optional = {
                name: file[name].astype(np.float64)
                if name in file.files
                else np.full((len(names), *shape), np.nan)
                for name, shape in _OPTIONAL.items()
            }
    except _DAMAGE as problem:
        raise DatasetError(
            f"labels {path} cannot be read ({problem}); make them with `python -m train labels`"
        ) from problem
    count = len(names)
    shapes = {"uv": uv.shape, "confidence": confidence.shape}
    shapes |= {name: values.shape for name, values in optional.items()}
    wanted = {"uv": (21, 2), "confidence": (21,), **_OPTIONAL}
    for name, shape in shapes.items():
        if shape != (count, *wanted[name]):
            raise DatasetError(
                f"labels {path} hold {count} names, but {name} of shape {shape}; label again"
            )
    return [
        HandLabel(
            str(names[i]),
            SIDES[int(side[i])],
            uv[i],
            confidence[i],
            float(score[i]),
            **{n: v[i] if np.isfinite(v[i]).all() else None for n, v in optional.items()},
        )
        for i in range(count)
    ]


def _from_json(path: Path) -> list[HandLabel]:
    content = read_json(path, "keypoints")
    try:
        if isinstance(content, dict) and "images" in content:
            return list(_ours(content["images"]))
        if isinstance(content, dict) and "people" in content:
            return list(_openpose(content, path.stem.removesuffix(_OPENPOSE_SUFFIX)))
        if isinstance(content, list) and len(content) == 3 and isinstance(content[0], list):
            return list(_published(content, path))
        if isinstance(content, list) and all(isinstance(entry, dict) for entry in content):
            return [label for entry in content for label in _openpose(entry, _named(entry, path))]
    except (SampleError, KeyError, TypeError, ValueError) as problem:
        raise DatasetError(
            f"keypoints {path} are damaged ({problem}); make them again"
        ) from problem
    raise DatasetError(
        f"{path} holds neither our labels, nor OpenPose's people, nor the three lists of detect.json"
    )


def _ours(images: list[dict[str, Any]]) -> Iterator[HandLabel]:
    for image in images:
        name = str(image["name"])
        if not image["hands"]:
            yield no_hand(name)
        for hand in image["hands"]:
            uv = number_array(hand["uv"], (21, 2), name)
            confidence = number_array(hand.get("confidence", [1.0] * 21), (21,), name)
            side: Side = "left" if hand.get("side", "right") == "left" else "right"
            known = {n: number_array(hand[n], s, name) for n, s in _OPTIONAL.items() if n in hand}
            yield HandLabel(name, side, uv, confidence, float(hand.get("score", 1.0)), **known)


def _named(entry: dict[str, Any], path: Path) -> str:
    for key in _NAME_KEYS:
        if key in entry:
            return str(entry[key])
    raise DatasetError(
        f"{path} lists OpenPose results without saying of which picture; add {_NAME_KEYS[0]!r} to each"
    )


def _openpose(entry: dict[str, Any], name: str) -> Iterator[HandLabel]:
    """Yield the hands of all people; 21 triples (x, y, confidence), zeros where nothing was found."""
    found = False
    for person in entry["people"]:
        for side, key in _OPENPOSE_HANDS.items():
            flat = person.get(key) or []
            triples = number_array(flat, (None,), name).reshape(-1, 3) if flat else np.zeros((0, 3))
            if triples.shape == (21, 3) and triples[:, 2].any():
                found = True
                yield _shifted(name, "left" if side == "left" else "right", triples)
    if not found:
        yield no_hand(name)


def _shifted(name: str, side: Side, triples: Float[np.ndarray, "21 3"]) -> HandLabel:
    confidence = np.clip(np.nan_to_num(triples[:, 2]), 0, 1)
    return HandLabel(name, side, triples[:, :2] + 0.5, confidence, float(confidence.mean()))


def _published(content: list[Any], path: Path) -> Iterator[HandLabel]:
    uv, confidence, names = content
    if not len(uv) == len(confidence) == len(names):
        raise DatasetError(
            f"{path} has {len(uv)} keypoints, {len(confidence)} confidences and {len(names)} names; "
            "detect.json needs as many of each"
        )
    for points, sure, name in zip(uv, confidence, names, strict=True):
        text = str(name[0] if isinstance(name, list) else name)
        pixels = number_array(points, (21, 2), text)
        triples = np.concatenate([pixels, number_array(sure, (21, 1), text)], 1)
        yield _shifted(text, "right", triples)


def by_stem(labels: Sequence[HandLabel]) -> dict[str, HandLabel]:
    """Return right-hand labels by the name of their file without folder and suffix."""
    return {Path(label.name).stem: label for label in labels if label.side != "none"}


def labels_as_json(labels: Sequence[HandLabel]) -> str:
    """Return labels in the JSON form of `read_labels`, for other programs."""
    images: dict[str, list[dict[str, Any]]] = {}
    for label in labels:
        hands = images.setdefault(label.name, [])
        if label.side != "none":
            hands.append(
                {
                    "side": label.side,
                    "uv": label.uv.round(3).tolist(),
                    "confidence": label.confidence.round(4).tolist(),
                    "score": round(label.score, 4),
                    **{n: v.tolist() for n in _OPTIONAL if (v := getattr(label, n)) is not None},
                }
            )
    return json.dumps({"images": [{"name": n, "hands": h} for n, h in images.items()]})
