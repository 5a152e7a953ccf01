"""A training batch: crops as tensors, with what is known of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from train.augment import TrainSample


@dataclass(frozen=True)
class TrainBatch:
    """Crops of right hands; truth is for evaluation only, and NaN where it is unknown."""

    rgb: Float[Tensor, "b 3 h w"] | UInt8[Tensor, "b 3 h w"]
    """In [0, 1], channels last in memory; bytes only on the way to `to`."""
    K: Float[Tensor, "b 3 3"]
    """Intrinsics in the crop's pixels, upper triangular."""
    crop_from_cam: Float[Tensor, "b 3 3"]
    """Roll of the crop's camera against the sample's own."""
    uv: Float[Tensor, "b 21 2"]
    """Keypoints in the crop's pixels; finite, and anywhere where the confidence is 0."""
    confidence: Float[Tensor, "b 21"]
    photometric_weight: Float[Tensor, " b"]
    xyz: Float[Tensor, "b 21 3"]
    """Joints in the crop's camera frame, metres."""
    uv_true: Float[Tensor, "b 21 2"]
    vertices: Float[Tensor, "b V 3"] | None
    """None where no sample of the batch has them."""
    mask: Bool[Tensor, "b h w"] | None
    """None where any sample of the batch lacks it."""
    source: list[str]
    clip: list[tuple[str, int] | None]

    def __len__(self) -> int:
        return len(self.source)

    def map(self, function: Callable[[Tensor], Tensor]) -> "TrainBatch":
        """Apply `function` to every tensor."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: function(v) for k, v in values.items() if isinstance(v, Tensor)})

    def to(self, device: torch.device | str) -> "TrainBatch":
        """Move to a device; there, bytes become numbers in [0, 1]."""
        moved = self.map(lambda t: t.to(device, non_blocking=True))
        return replace(moved, rgb=_unit(moved.rgb))

    def pin_memory(self) -> "TrainBatch":
        """Put into memory that GPUs read directly."""
        return self.map(lambda t: t.pin_memory())


def collate(samples: Sequence[TrainSample], *, in_bytes: bool = False) -> TrainBatch:
    """Put crops of one size into a batch, pixels in [0, 1] or still in bytes.

    Raises:
        ValueError: two samples have surfaces of different meshes.
    """
    pixels = torch.from_numpy(np.stack([s.rgb for s in samples])).permute(0, 3, 1, 2)
    masks = [s.mask for s in samples if s.mask is not None]
    return TrainBatch(
        rgb=pixels if in_bytes else _unit(pixels),
        K=_stack([s.K for s in samples]),
        crop_from_cam=_stack([s.crop_from_cam for s in samples]),
        uv=_stack([s.uv for s in samples]),
        confidence=_stack([s.confidence for s in samples]),
        photometric_weight=torch.tensor([s.photometric_weight for s in samples]),
        xyz=_stack([s.xyz for s in samples]),
        uv_true=_stack([s.uv_true for s in samples]),
        vertices=_vertices(samples),
        mask=torch.from_numpy(np.stack(masks)) if len(masks) == len(samples) else None,
        source=[s.source for s in samples],
        clip=[s.clip for s in samples],
    )


def _unit(pixels: Tensor) -> Tensor:
    return pixels.to(torch.float32).div_(255) if pixels.dtype == torch.uint8 else pixels


def _stack(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))


def _vertices(samples: Sequence[TrainSample]) -> Tensor | None:
    counts = {len(s.vertices) for s in samples if s.vertices is not None}
    if not counts:
        return None
    if len(counts) > 1:
        raise ValueError(
            f"one batch holds surfaces of {sorted(counts)} vertices; train on one mesh at a time"
        )
    unknown = np.full((counts.pop(), 3), np.nan)
    return _stack([unknown if s.vertices is None else s.vertices for s in samples])
