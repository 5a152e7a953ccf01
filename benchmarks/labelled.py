"""Labelled pictures to measure on: read from a folder the user names, never from this project."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from tracker.geometry.camera import Camera

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class LabelledImage:
    """One picture of one hand with what is known of it."""

    path: Path
    side: str
    uv: Float[np.ndarray, "21 2"]
    visible: Bool[np.ndarray, " 21"]
    """Joints that carry a label."""
    joints: Float[np.ndarray, "21 3"] | None
    """Metres, camera frame."""
    camera: Camera | None
    view: int | None = None
    frame: int | None = None
    """Of which camera's clip it is which frame, where it is one."""

    def rgb(self) -> UInt8[np.ndarray, "h w 3"]:
        """Read the picture."""
        with Image.open(self.path) as image:
            return np.array(image.convert("RGB"))

    @property
    def size_px(self) -> float:
        """Longer side of the labelled joints' box."""
        return float(np.ptp(self.uv[self.visible], axis=0).max())


def data_folder() -> Path | None:
    """Return the folder named by HANDLOOM_TEST_DATA, else ../shared/data, else None."""
    named = os.environ.get("HANDLOOM_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def labelled_images(folder: Path, name: str) -> list[LabelledImage]:
    """Read `folder/gt/<name>/annotations.json`."""
    base = folder / "gt" / name
    samples = json.loads((base / "annotations.json").read_text())["samples"]
    return [_parse(base, sample) for sample in samples]


def _parse(base: Path, sample: dict) -> LabelledImage:
    hw = (sample["height"], sample["width"])
    K, joints = sample.get("K"), sample.get("joints3d")
    return LabelledImage(
        path=base / sample["image"],
        side=sample["handedness"],
        uv=np.array(sample["kp2d"], np.float64),
        visible=np.array(sample["vis"]) > 0,
        joints=None if joints is None else np.array(joints, np.float64),
        camera=None if K is None else Camera(np.array(K, np.float64), hw),
        view=sample.get("view"),
        frame=sample.get("frame"),
    )
