r"""Configurations for the budgets people have.

All of it for 25 minutes on one H200, from a folder of photographs:

    python -m train labels photos/                                 # where the photographs are
    python -m train lift photos/
    python -m train pack photos/ --out small/ --megabytes 60       # send `small/` to the GPU
    python -m train fit --preset h200 --minutes 25 --out runs/h200 --export network.safetensors \
        --data images:small,lifted=yes synthetic --shares 0.4 0.6
"""

from typing import Final, Literal

from tracker.geometry.losses import LossWeights
from tracker.vision.network import NetworkConfig
from train.config import Intervals, TrainConfig, Validation
from train.imagenet import IMAGENET
from train.keypoint_network import KeypointConfig
from train.stages import GEOMETRY, JOINT, KEYPOINTS, PHOTOMETRY, Stage

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

TRUSTING: Final = LossWeights(
    location=2e-3,
    pixel=1e-2,
    mean_color=1e-3,
    shape=5e-4,  # with 1e-2 the mean hand's shape is the cheapest answer to every picture
    pose=3e-3,
    heat=0.05,
    seen=2e-3,
    truth=10.0,
)
"""Those of the network that ships: pictures and made-up truth weigh more against the priors."""

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
    # The best network that 25 minutes on a data centre's GPU can give, with `--minutes 25`; the
    # epochs only say how the time is divided. Nothing here has run on such a GPU yet.
    "h200": TrainConfig(
        # Four million samples are few for a start from chance, and only Lite0 has a package with
        # ImageNet weights. It is nearly as good as b0, quicker, and 12.6 MiB in half precision
        # (b0 13.8, b3 27.5).
        network=NetworkConfig(encoder="efficientnet_lite0", joint_maps=True),
        encoder_weights=IMAGENET,
        weights=TRUSTING,
        limits="anatomical",
        # Without the 2D branch, which is larger than the encoder: the joints that the network sees
        # itself do its work. The first rate is that of the network that ships, for a batch eight
        # times as large: what ImageNet taught should not be lost at once.
        stages=(
            Stage("3d", GEOMETRY, 20.0, 1e-3, "cosine", warmup_steps=300),
            Stage("all", (*GEOMETRY, *PHOTOMETRY), 12.0, 5e-4, "cosine", warmup_steps=200),
        ),
        data=("synthetic",),  # exact, since their truth is used
        batch=256,
        epoch_samples=128_000,
        # Processes of 16 cores: each makes about 700 made-up hands of 224 pixels a second, or 1400
        # from packed pictures, and one core is left to feed the GPU.
        workers=14,
        ema=0.999,
        clip=5.0,
        device="cuda",
        precision="bfloat16",
        # One core makes these hands while the GPU waits: 1.5 seconds, about eight times.
        validation=Validation("synthetic,seed=900001,count=1024", batch=256),
        every=Intervals(log=50, pictures=2000, validate=2000, checkpoint=2000),
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
