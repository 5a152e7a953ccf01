"""HO-3D, versions 2 and 3 (Hampali et al. 2020): right hands with objects, whole frames of sequences.

Its annotations are in OpenGL's camera frame (y up, z backward) and in its own joint order; both are
put right here. `train.txt` and `evaluation.txt` give the frames and, for results, their order.
"""

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float

from tracker.geometry.skeleton import permutation
from train.datasets.image_files import number_array, read_json, read_rgb
from train.datasets.keypoint_files import HandLabel, read_labels
from train.datasets.numpy_pickle import read_number_pickle
from train.datasets.sample import (
    DatasetError,
    Sample,
    SampleError,
    Truth,
    check_keypoints,
    without_unseen,
)

Split = Literal["train", "evaluation"]
CV_FROM_GL: Final = np.array([1.0, -1.0, -1.0])
"""Factors on x, y, z between OpenGL's camera frame and ours, in both directions."""
_ORDER: Final = permutation("ho3d", "handloom")
_SUFFIXES: Final = (".png", ".jpg")  # version 2, version 3


class Ho3d:
    """HO-3D as it is unpacked.

    Args:
        root: the folder with `train.txt`, `evaluation.txt` and the parts of these names.
        split: which part.
        keypoints: labels of the pictures (see `keypoint_files`), named `SEQUENCE/0000` or by their
            path, or a folder with a `detect.json` for each sequence; None projects the annotated
            joints, which is weak supervision.

    Raises:
        DatasetError: a file is missing or damaged.
    """

    def __init__(
        self, root: Path, split: Split = "train", *, keypoints: Path | None = None
    ) -> None:
        self.name = f"ho3d-{split}"
        self._root, self._split = root, split
        self._frames = self._read_list(root / f"{split}.txt")
        self._labels = None if keypoints is None else _labels(keypoints)
        self._xyz = self._published("xyz") if split == "evaluation" else None
        self._vertices = self._published("verts") if split == "evaluation" else None

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        """Return a whole frame with the hand's keypoints and what is annotated."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has samples 0 to {len(self) - 1}, asked for {index}")
        sequence, frame = self._frames[index]
        rgb = read_rgb(self._image(sequence, frame))
        file = self._root / self._split / sequence / "meta" / f"{frame}.pkl"
        meta = _read_meta(file)
        K = number_array(meta.get("camMat"), (3, 3), f"{file}, camMat")
        truth = self._truth(index, meta, K, file)
        uv, confidence = self._keypoints(sequence, frame, truth)
        box = meta.get("handBoundingBox")
        if confidence.any():
            check_keypoints(uv, confidence, str(file))
        elif box is None:
            raise SampleError(
                f"{file} has neither joints nor a box, and no keypoints were detected"
            )
        return Sample(
            rgb,
            K,
            without_unseen(uv, confidence),
            confidence,
            f"{self.name}:{sequence}/{frame}",
            truth,
            clip=(sequence, int(frame)),
            box_xyxy=None if box is None else number_array(box, (4,), f"{file}, handBoundingBox"),
        )

    def root_xyz(self, index: int) -> Float[np.ndarray, " 3"]:
        """Return the wrist that the evaluation part gives away, in our camera frame."""
        sequence, frame = self._frames[index]
        file = self._root / self._split / sequence / "meta" / f"{frame}.pkl"
        joints = np.atleast_2d(np.asarray(_read_meta(file).get("handJoints3D"), np.float64))
        return number_array(joints[0], (3,), str(file)) * CV_FROM_GL

    def _read_list(self, path: Path) -> list[tuple[str, str]]:
        try:
            lines = path.read_text("utf-8").split()
        except (OSError, UnicodeDecodeError) as problem:
            raise DatasetError(
                f"{path} with the frames cannot be read ({problem}); unpack HO-3D again"
            ) from problem
        frames = [tuple(line.split("/")) for line in lines]
        wrong = next((f for f in frames if len(f) != 2 or not f[1].isdigit()), None)
        if wrong is not None or not frames:
            raise DatasetError(
                f"{path} must hold lines such as ABF10/0000, found {'/'.join(wrong or ())!r}"
            )
        return [(sequence, frame) for sequence, frame in frames]

    def _published(self, kind: str) -> list[Any] | None:
        """Return what was published later for the evaluation part, where it lies beside it."""
        path = self._root / f"evaluation_{kind}.json"
        if not path.is_file():
            return None
        table = read_json(path, "the evaluation's truth")
        if len(table) != len(self._frames):
            raise DatasetError(
                f"{path} has {len(table)} entries and evaluation.txt {len(self._frames)}; both must "
                "be of the same version of HO-3D"
            )
        return table

    def _image(self, sequence: str, frame: str) -> Path:
        folder = self._root / self._split / sequence / "rgb"
        found = (folder / f"{frame}{suffix}" for suffix in _SUFFIXES)
        return next((path for path in found if path.is_file()), folder / f"{frame}{_SUFFIXES[0]}")

    def _truth(
        self, index: int, meta: dict[str, Any], K: Float[np.ndarray, "3 3"], file: Path
    ) -> Truth | None:
        joints = meta.get("handJoints3D") if self._xyz is None else self._xyz[index]
        if joints is None or np.size(joints) != 63:
            return None
        xyz = number_array(joints, (21, 3), f"{file}, handJoints3D")[_ORDER] * CV_FROM_GL
        if not (np.isfinite(xyz).all() and (xyz[:, 2] > 0).all()):
            raise SampleError(
                f"{file}: joints must be finite and before the camera; check the file"
            )
        vertices = None
        if self._vertices is not None:
            source = f"evaluation_verts.json, entry {index}"
            vertices = number_array(self._vertices[index], (None, 3), source) * CV_FROM_GL
        return Truth(xyz, vertices, None, (xyz @ K.T)[:, :2] / xyz[:, 2:])

    def _keypoints(
        self, sequence: str, frame: str, truth: Truth | None
    ) -> tuple[Float[np.ndarray, "21 2"], Float[np.ndarray, " 21"]]:
        if self._labels is not None:
            label = self._labels.get((sequence, int(frame)))
            if label is not None:
                return label.uv, label.confidence
        elif truth is not None and truth.uv_true is not None:
            return truth.uv_true, np.ones(21)
        return np.full((21, 2), np.nan), np.zeros(21)


def _read_meta(file: Path) -> dict[str, Any]:
    try:
        return read_number_pickle(file.read_bytes(), str(file))
    except OSError as problem:
        raise SampleError(f"{file} cannot be read ({problem.strerror}); restore it") from problem


def _labels(path: Path) -> dict[tuple[str, int], HandLabel]:
    """Return right hands by sequence and frame."""
    if path.is_dir():
        files = sorted(path.glob("*/detect.json"))
        if not files:
            raise DatasetError(f"{path} holds no SEQUENCE/detect.json; name another folder")
        pairs = [(file.parent.name, label) for file in files for label in read_labels(file)]
    else:
        pairs = [(_sequence(label.name), label) for label in read_labels(path)]
    found = [(sequence, Path(label.name).stem, label) for sequence, label in pairs]
    return {
        (sequence, int(frame)): label
        for sequence, frame, label in found
        if label.side == "right" and frame.isdigit()
    }


def _sequence(name: str) -> str:
    """Return the sequence in `ABF10/0000` or `train/ABF10/rgb/0000.png`."""
    folders = [
        part for part in Path(name).parent.parts if part not in ("rgb", "train", "evaluation")
    ]
    return folders[-1] if folders else ""
