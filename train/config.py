"""Everything a run depends on, in one frozen object that is written into its folder."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from tracker.geometry.losses import LossWeights, Variant
from tracker.vision.network import NetworkConfig
from train.config_json import jsonable, parsed
from train.keypoint_network import KeypointConfig
from train.stages import Stage, Timetable, paper_stages

MOST_FROZEN: Final = 4
"""Stages that all encoders have."""
Metric = Literal["pa_mpjpe_mm", "mpjpe_mm", "uv_px", "pa_mpvpe_mm"]


@dataclass(frozen=True)
class Intervals:
    """How often something happens, in steps."""

    log: int = 20
    pictures: int = 1000
    validate: int = 1000
    checkpoint: int = 500

    def __post_init__(self) -> None:
        for name in ("log", "pictures", "validate", "checkpoint"):
            if getattr(self, name) < 1:
                raise ValueError(f"every.{name} must be at least 1, found {getattr(self, name)}")


@dataclass(frozen=True)
class Validation:
    """What the network is measured on, and which number decides."""

    data: str = "synthetic,seed=900001,count=512"
    """A finite data set in words, see `train.datasets`; never part of the training."""
    batch: int = 64
    best: Metric = "pa_mpjpe_mm"
    """The checkpoint with the lowest is kept as the best one."""


@dataclass(frozen=True)
class TrainConfig:
    """One run. The default is the paper's on made-up hands; `train.presets` has others."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    branch: KeypointConfig = field(default_factory=KeypointConfig)
    weights: LossWeights = field(default_factory=LossWeights)
    variant: Variant = "paper"
    """Form of the losses where the paper and its public code differ."""
    limits: Literal["paper", "anatomical"] = "paper"
    """E_J: the published table of axis-angle components, or limits of real joint angles."""
    picture_trust: Literal["mean", "gated"] = "mean"
    """How joints' confidences become that of a picture, see `image_confidence`."""
    stages: tuple[Stage, ...] = field(default_factory=paper_stages)
    data: tuple[str, ...] = ("synthetic,noisy=yes",)
    """Data sets in words, see `train.datasets`; made-up hands take the network's input size."""
    shares: tuple[float, ...] = ()
    """How often each data set is drawn from; equally if empty."""
    augment: bool = True
    batch: int = 64
    epoch_samples: int = 32_560
    """Samples of an epoch; FreiHAND's photographs, without their composites."""
    workers: int = 1
    """Threads that make batches; for a GPU two or more are processes (`train.datasets`)."""
    seed: int = 0
    ema: float = 0.0
    """Decay of the running mean of the weights, which is then measured and exported; 0 is without."""
    clip: float = 0.0
    """Largest norm of the gradient; 0 is without, as in the paper."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    """In which the convolutions compute; geometry and losses are always float32."""
    hand_model: Path | None = None
    """Hand file; None is the open hand."""
    encoder_weights: Path | None = None
    """Weights to start the encoder from: a file, e.g. timm's of ImageNet, or `imagenet` for those
    that come as a package (`train.imagenet`); None starts from chance."""
    shared_normalisation: bool = True
    """With several processes: normalise by the whole batch, as one process would. Without, each
    process normalises by its own part, which is faster on processors."""
    frozen_stages: int = 0
    """How many of the encoder's first stages, and its stem, stay as they started."""
    start: Path | None = None
    """A network to start from, as `python -m train` exports them; its make must be this run's."""
    validation: Validation = field(default_factory=Validation)
    every: Intervals = field(default_factory=Intervals)

    def __post_init__(self) -> None:
        if not self.stages or not self.data:
            raise ValueError("a run needs at least one stage and one data set")
        if self.batch < 2:
            raise ValueError(f"batch must be at least 2 for its normalisation, found {self.batch}")
        if self.epoch_samples < self.batch:
            raise ValueError(
                f"epoch_samples must be at least batch ({self.batch}), found {self.epoch_samples}"
            )
        if self.shares and len(self.shares) != len(self.data):
            raise ValueError(f"give a share for each of {len(self.data)} data sets, or none")
        if not 0 <= self.frozen_stages <= MOST_FROZEN:
            raise ValueError(
                f"frozen_stages must lie between 0 and {MOST_FROZEN}, found {self.frozen_stages}"
            )
        if (self.weights.heat or self.weights.seen) and not self.network.joint_maps:
            raise ValueError(
                "weights.heat and weights.seen are about the network's own joints: add "
                "--network.joint_maps, or set both to 0"
            )
        if not (0 <= self.ema < 1 and self.clip >= 0):
            raise ValueError(f"need 0 <= ema < 1 and clip >= 0, found {self.ema} and {self.clip}")

    def timetable(self) -> Timetable:
        """Return the stages in steps; samples that do not fill a batch are dropped."""
        return Timetable.of(self.stages, self.epoch_samples // self.batch)

    def to_json(self) -> str:
        """Return the configuration as JSON for people."""
        return json.dumps(jsonable(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrainConfig":
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is not a configuration; the message names the field.
        """
        return parsed(cls, json.loads(text))
