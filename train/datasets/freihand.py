"""FreiHAND, version 2 (Zimmermann et al. 2019): crops of right hands, four backgrounds for each.

Picture `i + k * n` shows hand `i` of `n`: k = 0 before the green screen, 1 to 3 composed with other
backgrounds. Keypoints of the original serve all four. The joints are in our order already.
"""

from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float

from train.datasets.image_files import number_array, read_json, read_rgb
from train.datasets.keypoint_files import HandLabel, by_stem, read_labels
from train.datasets.sample import (
    DatasetError,
    Sample,
    SampleError,
    Truth,
    check_keypoints,
    without_unseen,
)

Split = Literal["training", "evaluation"]
ORIGINAL_WEIGHT: Final = 1.1
COMPOSITE_WEIGHT: Final = 0.1
"""How much the colours of originals and of composites count in the public code of S2HAND."""
_VERSIONS: Final = 4
_WHOLE_BOX: Final = np.array([42.0, 42, 182, 182])
"""Where the hand is in an evaluation picture without keypoints: the crops are centred on it."""


class FreiHand:
    """FreiHAND as it is unpacked.

    Args:
        root: the folder with `training_K.json` and `training/rgb`.
        split: which part.
        keypoints: file with detected keypoints (see `keypoint_files`); None projects the annotated
            joints, which is weak supervision.
        versions: how many of the four backgrounds are used; the paper's code uses the first.
        with_vertices: read the annotated surfaces, 1.6 GB of JSON for the training part.

    Raises:
        DatasetError: a file is missing or damaged, or the files do not fit together.
    """

    def __init__(
        self,
        root: Path,
        split: Split = "training",
        *,
        keypoints: Path | None = None,
        versions: int = _VERSIONS,
        with_vertices: bool = False,
    ) -> None:
        self.name = f"freihand-{split}"
        self._root, self._split = root, split
        self._K = self._table("K", "the intrinsics")
        self._xyz = self._optional("xyz", "the joints", needed=split == "training")
        self._vertices = (
            self._optional("verts", "the surfaces", needed=with_vertices) if with_vertices else None
        )
        self._versions = versions if split == "training" else 1
        self._labels = None if keypoints is None else by_stem(read_labels(keypoints))
        self._check(versions)

    def __len__(self) -> int:
        return len(self._K) * self._versions

    def __getitem__(self, index: int) -> Sample:
        """Return a picture with its keypoints and what is annotated."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has samples 0 to {len(self) - 1}, asked for {index}")
        version, row = divmod(index, len(self._K))
        file = self._image(index)
        rgb = read_rgb(file)
        K = number_array(self._K[row], (3, 3), f"{self._split}_K.json, entry {row}")
        truth = self._truth(row, K)
        uv, confidence = self._keypoints(file, row, truth)
        weight = ORIGINAL_WEIGHT if version == 0 else COMPOSITE_WEIGHT
        if confidence.any():
            check_keypoints(uv, confidence, str(file))
        elif self._split == "training":
            raise SampleError(f"{file}: no keypoints were detected; leave it out or label it again")
        return Sample(
            rgb,
            K,
            without_unseen(uv, confidence),
            confidence,
            f"{self.name}:{file.name}",
            truth,
            photometric_weight=weight,
            box_xyxy=_WHOLE_BOX * (rgb.shape[1] / 224),
        )

    def _table(self, kind: str, what: str) -> list[Any]:
        content = read_json(self._root / f"{self._split}_{kind}.json", what)
        if not isinstance(content, list) or not content:
            raise DatasetError(
                f"{self._root / f'{self._split}_{kind}.json'} is no list; unpack FreiHAND again"
            )
        return content

    def _optional(self, kind: str, what: str, *, needed: bool) -> list[Any] | None:
        """Return annotations; those of the evaluation part came later and may be missing."""
        present = (self._root / f"{self._split}_{kind}.json").is_file()
        return self._table(kind, what) if present or needed else None

    def _check(self, versions: int) -> None:
        if not 1 <= versions <= _VERSIONS:
            raise ValueError(f"versions must lie between 1 and {_VERSIONS}, found {versions}")
        for kind, table in (("xyz", self._xyz), ("verts", self._vertices)):
            if table is not None and len(table) != len(self._K):
                raise DatasetError(
                    f"{self._split}_K.json of {self._root} has {len(self._K)} entries and "
                    f"{self._split}_{kind}.json {len(table)}; unpack FreiHAND again"
                )
        found = sum(1 for _ in (self._root / self._split / "rgb").glob("*.jpg"))
        if found < len(self):
            raise DatasetError(
                f"{self._root / self._split / 'rgb'} holds {found} pictures, and {len(self._K)} hands "
                f"in {self._versions} versions need {len(self)}; unpack FreiHAND v2 again or take "
                "fewer versions"
            )

    def _image(self, index: int) -> Path:
        return self._root / self._split / "rgb" / f"{index:08d}.jpg"

    def _truth(self, row: int, K: Float[np.ndarray, "3 3"]) -> Truth:
        source = f"{self._split}_xyz.json, entry {row}"
        xyz = None if self._xyz is None else number_array(self._xyz[row], (21, 3), source)
        vertices = None
        if self._vertices is not None:
            vertices = number_array(
                self._vertices[row], (None, 3), f"{self._split}_verts.json, {row}"
            )
        uv = None
        if xyz is not None:
            if not (np.isfinite(xyz).all() and (xyz[:, 2] > 0).all()):
                raise SampleError(f"{source}: joints must be finite and before the camera")
            uv = (xyz @ K.T)[:, :2] / xyz[:, 2:]
        return Truth(xyz, vertices, self._mask(row), uv)

    def _mask(self, row: int) -> Bool[np.ndarray, "h w"] | None:
        file = self._root / self._split / "mask" / f"{row:08d}.jpg"
        if not file.is_file():
            return None
        mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise SampleError(f"{file} is no picture, or a damaged one; replace it")
        return mask > 127

    def _keypoints(
        self, file: Path, row: int, truth: Truth
    ) -> tuple[Float[np.ndarray, "21 2"], Float[np.ndarray, " 21"]]:
        if self._labels is not None:
            label: HandLabel | None = self._labels.get(file.stem, self._labels.get(f"{row:08d}"))
            if label is not None:
                return label.uv, label.confidence
        elif truth.uv_true is not None:
            return truth.uv_true, np.ones(21)
        return np.full((21, 2), np.nan), np.zeros(21)
