"""Configurations for the budgets people have."""

from typing import Final, Literal

from tracker.geometry.losses import LossWeights
from tracker.vision.network import NetworkConfig
from train.config import Intervals, TrainConfig, Validation
from train.imagenet import IMAGENET
from train.keypoint_network import KeypointConfig
from train.stages import GEOMETRY, JOINT, KEYPOINTS, Stage

Preset = Literal["paper", "cpu", "h200", "smoke"]


def _stages(epochs: tuple[float, float, float], lr: float, warmup_steps: int) -> tuple[Stage, ...]:
    """Return the paper's three stages with other lengths and a cosine for each."""
    return (
        Stage("3d", GEOMETRY, epochs[0], lr, "cosine", warmup_steps=warmup_steps),
        Stage("2d", KEYPOINTS, epochs[1], lr, "cosine", warmup_steps=warmup_steps),
        Stage("joint", JOINT, epochs[2], lr / 4, "cosine", warmup_steps=warmup_steps),
    )


SEEING: Final = LossWeights(pose=1e-2, heat=0.05, seen=1e-3, mean_color=1e-3)
"""The paper's terms, a pose prior, and what teaches a network to see joints first."""

PRESETS: Final[dict[Preset, TrainConfig]] = {
    # The paper's schedule, losses and batch. The hand's place and size are bounded, as in every
    # preset: regressed in metres from scratch they collapse.
    "paper": TrainConfig(),
    # A few hours on two cores: crops of 128 pixels, an encoder that knows ImageNet and keeps its
    # large maps, joints seen before they are lifted, a narrow 2D branch.
    "cpu": TrainConfig(
        network=NetworkConfig(encoder="efficientnet_lite0", input_px=128, joint_maps=True),
        branch=KeypointConfig(features=32, blocks=1),
        weights=SEEING,
        encoder_weights=IMAGENET,
        frozen_stages=2,
        limits="anatomical",
        stages=_stages((40.0, 8.0, 16.0), 1e-3, 100),
        batch=32,
        epoch_samples=32_000,
        ema=0.999,
        clip=5.0,
        device="cpu",
    ),
    # An hour or two on a data centre's GPU.
    "h200": TrainConfig(
        network=NetworkConfig(joint_maps=True),
        weights=SEEING,
        limits="anatomical",
        stages=_stages((90.0, 30.0, 60.0), 2e-3, 500),
        batch=256,
        epoch_samples=130_240,
        workers=12,
        ema=0.9995,
        clip=5.0,
        device="cuda",
        precision="bfloat16",
        validation=Validation("synthetic,seed=900001,count=2048", batch=256),
    ),
    # Every stage for a few steps, to see that everything works.
    "smoke": TrainConfig(
        network=NetworkConfig(encoder="mobilenetv4_conv_small", input_px=128),
        branch=KeypointConfig(features=16, stacks=2, depth=2, blocks=1),
        weights=LossWeights(mean_color=1e-3),
        limits="anatomical",
        stages=_stages((1.0, 1.0, 1.0), 1e-3, 2),
        batch=4,
        epoch_samples=32,
        ema=0.9,
        clip=5.0,
        device="cpu",
        validation=Validation("synthetic,seed=900001,count=16", batch=8),
        every=Intervals(log=2, pictures=8, validate=8, checkpoint=6),
    ),
}
