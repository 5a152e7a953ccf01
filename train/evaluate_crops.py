"""Which part of each picture a network is measured on, and how to say so beside the numbers."""

from dataclasses import replace
from typing import Literal

import numpy as np

from train.datasets.sample import Dataset, Sample

Crop = Literal["keypoints", "box"]


class BoxRegions:
    """A data set whose hands are found by the box it gives, never by their joints."""

    def __init__(self, dataset: Dataset) -> None:
        self.name = dataset.name
        self._inner = dataset

    def __len__(self) -> int:
        return len(self._inner)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample without keypoints; its truth stays."""
        sample = self._inner[index]
        return replace(sample, uv=np.zeros((21, 2)), confidence=np.zeros(21))


def crop_in_words(data: str, crop: Crop) -> str:
    """Return how the hands of a data set are cut out of their pictures."""
    kind, options = data.partition(":")[0].partition(",")[0], data.split(",")[1:]
    if kind == "synthetic":
        return "the tracker's region around the true joints, moved by chance as it is in use"
    if crop == "box":
        whole = ": the whole picture" if kind == "freihand" else ""
        return f"the upright box that the data set gives{whole}"
    if kind in ("images", "videos") or any(o.startswith("keypoints=") for o in options):
        return "the tracker's region around the keypoints of the label file"
    return (
        "the tracker's region around the TRUE joints, which is easier than use: give "
        "keypoints=FILE in --data, or --crop box, for a test that knows nothing"
    )
