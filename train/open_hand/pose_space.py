"""Pose space: a sampler of plausible finger poses and the principal components of what it draws.

The sampler is deliberately broader than recordings of grasps (Santello et al. 1998): overall closure, single
fingers, precision grips and fists, with the couplings anatomy enforces. Poses in which digits sink into each other or into
the palm are rejected by `capsules`. Synthetic data draws from the same sampler.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from train.open_hand.anthropometry import CHAINS, LONG_FINGERS, template_skeleton
from train.open_hand.capsules import penetration_depth
from train.open_hand.joint_angles import (
    hand_pose_from_angles,
    limits_deg,
    rotations_from_angles,
)

MODES = {"closure": 0.42, "individual": 0.36, "precision": 0.12, "fist": 0.10}
THUMB_MODES = {"open": 0.35, "opposed": 0.45, "adducted": 0.20}
THUMB_ANGLES_DEG = {
    "open": ((2, 8), (5, 9), (-2, 4), (6, 8), (8, 12)),
    "opposed": ((26, 9), (34, 11), (-22, 7), (18, 12), (20, 16)),
    "adducted": ((22, 7), (4, 7), (-6, 4), (20, 10), (20, 15)),
}
"""Mean and SD of CMC flexion, abduction and twist, MCP flexion and IP flexion."""
CLOSING_ABDUCTION_DEG = np.array([-6.0, 0.0, 6.0, 11.0])
"""Abduction of index to pinky that brings the splayed rest fingers together."""
SPREAD_SIDE = np.array([1.0, 0.0, -1.0, -1.7])
ALLOWED_OVERLAP = 0.8e-3
"""Flesh gives way: capsules may overlap by this much, in metres."""
BATCH = 512


@dataclass(frozen=True)
class PoseSpace:
    """Principal components of sampled poses; a pose is `mean + coefficients @ components`."""

    mean: Float[np.ndarray, " 45"]
    components: Float[np.ndarray, "45 45"]
    coefficients: Float[np.ndarray, "n 45"]
    sd: Float[np.ndarray, " 45"]


def sample_poses(n: int, rng: np.random.Generator) -> Float[np.ndarray, "n 15 3"]:
    """Draw poses of the fifteen finger joints within their limits and free of gross collisions.

    Args:
        n: How many poses.
        rng: Source of randomness; equal generators give equal poses.

    Returns:
        Axis-angle vectors in radians, parent-relative, joints in the order of the hand model.
    """
    axes = template_skeleton().axes
    accepted = [np.zeros((0, 15, 3))]
    count = 0
    while count < n:
        angles = draw_angles(BATCH, rng)
        depth = penetration_depth(rotations_from_angles(axes, angles))
        accepted.append(angles[depth <= ALLOWED_OVERLAP])
        count += len(accepted[-1])
    return hand_pose_from_angles(axes, np.concatenate(accepted)[:n])


def pose_space(hand_poses: Float[np.ndarray, "n 15 3"]) -> PoseSpace:
    """Return the principal components of poses, strongest first, each signed by its largest entry."""
    flat = hand_poses.reshape(-1, 45)
    mean = flat.mean(0)
    _, singular, components = np.linalg.svd(flat - mean, full_matrices=True)
    largest = components[np.arange(45), np.abs(components).argmax(1)]
    components = components * np.sign(largest)[:, None]
    sd = singular / np.sqrt(len(flat) - 1)
    return PoseSpace(mean, components, (flat - mean) @ components.T, sd)


def draw_angles(n: int, rng: np.random.Generator) -> Float[np.ndarray, "n 15 3"]:
    """Draw joint angles in degrees, clipped to their limits but not tested for collisions."""
    angles = np.zeros((n, 16, 3))
    _draw_fingers(angles, rng)
    _draw_thumb(angles, rng)
    low, high = np.moveaxis(limits_deg(), -1, 0)
    return np.clip(angles, low, high)[:, 1:]


def _closures(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return how closed each finger is (n, 4): 0 straight, 1 in a fist."""
    overall = rng.beta(0.9, 1.1, (n, 1)) + rng.normal(0, 0.10, (n, 4))
    single = rng.choice([0, 0.45, 0.95], size=(n, 4), p=[0.45, 0.2, 0.35]) + rng.normal(
        0, 0.07, (n, 4)
    )
    # Shared tendons: the pinky follows the ring finger, the ring finger both its neighbours.
    single[:, 3] = 0.7 * single[:, 3] + 0.3 * single[:, 2]
    single[:, 2] = 0.7 * single[:, 2] + 0.15 * (single[:, 1] + single[:, 3])
    grip = rng.uniform(0.35, 0.65, (n, 1)) + rng.normal(
        (0.05, 0, -0.05, -0.1), (0, 0.08, 0.12, 0.15), (n, 4)
    )
    fist = rng.normal(0.95, 0.05, (n, 4))
    mode = rng.choice(len(MODES), n, p=list(MODES.values()))
    closures = np.stack([overall, single, grip, fist])[mode, np.arange(n)]
    return np.clip(closures, -0.08, 1.05)


def _draw_fingers(angles: np.ndarray, rng: np.random.Generator) -> None:
    n = len(angles)
    closure = _closures(n, rng)
    bent = np.clip(closure, 0, 1)
    # Knuckle against middle joint: the second synergy of the hand.
    hook = rng.normal(0, 1, (n, 1))
    mcp = 88 * closure - 28 * hook * closure * (1 - closure) + rng.normal(0, 6, (n, 4))
    pip = 104 * closure + 16 * hook * np.sin(np.pi * bent) + rng.normal(0, 6, (n, 4))
    dip = 0.56 * np.maximum(pip, 0) + rng.normal(0, 4, (n, 4))
    # Fingers spread and sway while straight; bent they lie side by side.
    spread = (4.5 * rng.normal(0, 1, (n, 1)) + 1.5) * SPREAD_SIDE * (1 - bent) ** 1.5
    sway = rng.normal(0, 1.5, (n, 4)) * (1 - 0.6 * bent)
    abduction = CLOSING_ABDUCTION_DEG * (0.25 - 0.05 * bent) + spread + sway
    for k, finger in enumerate(LONG_FINGERS):
        first, second, third = CHAINS[finger]
        angles[:, first] = np.stack([mcp[:, k], abduction[:, k], rng.normal(0, 1.2, n)], axis=1)
        angles[:, second] = np.column_stack([pip[:, k], rng.normal(0, 0.5, (n, 2))])
        angles[:, third] = np.column_stack([dip[:, k], rng.normal(0, 0.5, (n, 2))])


def _draw_thumb(angles: np.ndarray, rng: np.random.Generator) -> None:
    n = len(angles)
    table = np.array(list(THUMB_ANGLES_DEG.values()), float)
    mode = rng.choice(len(THUMB_MODES), n, p=list(THUMB_MODES.values()))
    drawn = rng.normal(table[mode, :, 0], table[mode, :, 1])
    first, second, third = CHAINS["thumb"]
    angles[:, first] = drawn[:, :3]
    angles[:, second] = np.column_stack([drawn[:, 3], rng.normal(0, (2, 1), (n, 2))])
    angles[:, third] = np.column_stack([drawn[:, 4], rng.normal(0, 0.5, (n, 2))])
