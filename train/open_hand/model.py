"""The open hand as a file: its arrays under the names of the file layout, read and written without pickling."""

import os
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, UInt16, UInt32

MODEL_ID = "open_hand-1"


@dataclass(frozen=True)
class OpenHand:
    """All arrays of the hand model file; lengths in metres, angles in radians unless a name says degrees.

    The frame is the rest frame: right hand, flat, fingers along -x, back of the hand +y, thumb side +z,
    origin at the middle finger's first joint.
    """

    v_template: Float32[np.ndarray, "v 3"]
    f: UInt16[np.ndarray, "f 3"]
    weights: Float32[np.ndarray, "v 16"]
    J_regressor: Float32[np.ndarray, "16 v"]
    shapedirs: Float32[np.ndarray, "v 3 10"]
    posedirs: Float32[np.ndarray, "v 3 135"]
    kintree_table: UInt32[np.ndarray, "2 16"]
    J: Float32[np.ndarray, "16 3"]
    hands_components: Float32[np.ndarray, "45 45"]
    hands_mean: Float32[np.ndarray, " 45"]
    hands_coeffs: Float32[np.ndarray, "n 45"]
    pose_sd: Float32[np.ndarray, " 45"]
    tip_ids: Int32[np.ndarray, " 5"]
    joint_axes: Float32[np.ndarray, "16 3 3"]
    joint_limits_deg: Float32[np.ndarray, "16 3 2"]
    mask_palmar: Float32[np.ndarray, " v"]
    mask_nail: Float32[np.ndarray, " v"]
    mask_fingertip: Float32[np.ndarray, " v"]
    mask_knuckle: Float32[np.ndarray, " v"]
    model_id: str

    @classmethod
    def load(cls, path: str | Path) -> "OpenHand":
        """Read a model file.

        Raises:
            ValueError: The file lacks arrays of the layout.
        """
        with np.load(path, allow_pickle=False) as archive:
            missing = [field.name for field in fields(cls) if field.name not in archive.files]
            if missing:
                raise ValueError(
                    f"{path} lacks {', '.join(missing)}; build it with `python -m train.open_hand --out {path}`"
                )
            arrays = {field.name: archive[field.name] for field in fields(cls)}
        model_id = str(arrays.pop("model_id"))
        return cls(**arrays, model_id=model_id)

    def save(self, path: str | Path) -> None:
        """Write the model file at once: a reader sees the old file or the whole new one."""
        path = Path(path)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez_compressed(stream, **{f.name: getattr(self, f.name) for f in fields(self)})
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
