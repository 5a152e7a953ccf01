"""Read and write hand models: our `open_hand.npz` and the official `MANO_*.pkl`.

Files from outside are hostile: an npz is read without pickles, a pkl through `mano_pickle`'s
restricted unpickler, and every array's shape and range is checked before it is used.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from tracker.errors import HandModelError

REPOSITORY_WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
PACKAGED_WEIGHTS = Path(__file__).resolve().parents[1] / "_weights"


@dataclass(frozen=True)
class HandArrays:
    """A validated hand file; see `HandModel` for what each array means."""

    v_template: Float[np.ndarray, "V 3"]
    f: Int[np.ndarray, "F 3"]
    weights: Float[np.ndarray, "V 16"]
    J_regressor: Float[np.ndarray, "16 V"]
    shapedirs: Float[np.ndarray, "V 3 10"]
    posedirs: Float[np.ndarray, "V 3 135"]
    hands_components: Float[np.ndarray, "45 45"]
    hands_mean: Float[np.ndarray, " 45"]
    hands_coeffs: Float[np.ndarray, "S 45"]
    """Pose samples as coefficients of `hands_components`: the pose prior."""
    tip_ids: tuple[int, int, int, int, int]
    side: Literal["left", "right"]
    model_id: str
    sha256: str


def default_hand_file() -> Path:
    """Return the open hand that ships with Handloom (checkout first, then the wheel)."""
    for folder in (REPOSITORY_WEIGHTS, PACKAGED_WEIGHTS):
        if (folder / "open_hand.npz").is_file():
            return folder / "open_hand.npz"
    raise HandModelError(
        f"the open hand was not found in {REPOSITORY_WEIGHTS}; build it with "
        "`python -m train.open_hand --out weights/open_hand.npz`"
    )


def read_hand_file(path: Path | str | None = None) -> HandArrays:
    """Read a hand model file and check it (default: the open hand)."""
    file = Path(path) if path is not None else default_hand_file()
    data = file.read_bytes()
    with np.load(file, allow_pickle=False) as npz:
        arrays = {key: npz[key] for key in npz.files}
    return HandArrays(
        **{
            k: arrays[k].astype(np.float64)
            for k in (
                "v_template",
                "weights",
                "J_regressor",
                "shapedirs",
                "posedirs",
                "hands_components",
                "hands_mean",
                "hands_coeffs",
            )
        },
        f=arrays["f"].astype(np.int64),
        tip_ids=tuple(int(i) for i in arrays["tip_ids"]),
        side="right",
        model_id=str(arrays.get("model_id", "open_hand-0")),
        sha256=hashlib.sha256(data).hexdigest(),
    )
