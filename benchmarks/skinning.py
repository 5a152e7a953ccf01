"""Skinning of one hand at run time against the differentiable layer it is the twin of."""

import numpy as np
import torch

from benchmarks.metric import Metric, alternating_ms
from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skinning import RuntimeHand


def run(quick: bool) -> list[Metric]:
    """Time one hand, batch 1 without gradients; the ratio is how many times faster we are."""
    model = HandModel.load()
    hand = RuntimeHand(model)
    rng = np.random.default_rng(0)
    params = HandParams(
        rng.normal(size=3),
        0.4 * rng.normal(size=(15, 3)),
        rng.normal(size=10),
        rng.normal(size=3),
        1.0,
    )
    as_tensor = lambda a: torch.tensor(a, dtype=torch.float32)[None]  # noqa: E731
    orient, pose, betas, transl = map(
        as_tensor, (params.global_orient, params.hand_pose, params.betas, params.transl)
    )

    def layer() -> torch.Tensor:
        with torch.no_grad():
            return model.with_shape(betas).with_pose(orient, pose, transl).skin().vertices

    ours, theirs = alternating_ms([lambda: hand.skin(params), layer], 20 if quick else 200, 10)
    difference = np.abs(hand.skin(params)[0] - layer()[0].numpy()).max()
    ours_ms, theirs_ms = float(np.median(ours)), float(np.median(theirs))
    return [
        Metric(
            "lbs_runtime_ms",
            ours_ms,
            "ms",
            reference="torch layer, batch 1, no gradients",
            reference_value=theirs_ms,
            ratio=theirs_ms / ours_ms,
        ),
        Metric("lbs_difference_mm", float(difference) * 1e3, "mm", reference="torch layer"),
    ]
