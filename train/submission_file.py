"""The archive that FreiHAND's and HO-3D's servers take: `pred.json` in a zip, whole or absent.

The JSON is a list of two: the joints of every picture, then the vertices, metres.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from jaxtyping import Float

from tracker.whole_file import whole_file
from train.errors import TrainingError

INSIDE: Final = "pred.json"
_DECIMALS: Final = 6
"""Of a metre: a micrometre is finer than any error."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""Zip's first date, so that equal answers make equal files."""


@dataclass(frozen=True)
class Answers:
    """Hands in a server's own frame and joint order, metres, one row a picture."""

    joints: Float[np.ndarray, "n 21 3"]
    vertices: Float[np.ndarray, "n V 3"]

    def __post_init__(self) -> None:
        if len(self.joints) != len(self.vertices):
            raise ValueError(
                f"as many joints as surfaces are needed, found {len(self.joints)} and "
                f"{len(self.vertices)}"
            )
        if not (np.isfinite(self.joints).all() and np.isfinite(self.vertices).all()):
            raise TrainingError("the network's hands are not all finite; submit another network")


def write_submission(path: Path, answers: Answers) -> None:
    """Write the archive; what lay there before stays until the new one is whole.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as partial, ZipFile(partial, "w") as archive:
        entry = ZipInfo(INSIDE, _EPOCH)
        entry.compress_type = ZIP_DEFLATED
        with archive.open(entry, "w", force_zip64=True) as inside:
            for text in _json_text(answers):
                inside.write(text.encode("ascii"))


def _json_text(answers: Answers) -> Iterator[str]:
    """Yield the document in pieces; as one string it can have half a gigabyte."""
    for opening, points in (("[[", answers.joints), (", [", answers.vertices)):
        yield opening
        for i, row in enumerate(points):
            text = json.dumps(row.astype(np.float64).round(_DECIMALS).tolist())
            yield f", {text}" if i else text
        yield "]"
    yield "]"
