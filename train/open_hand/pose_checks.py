"""Checks of the hand in motion: joints at their limits, collisions, the left hand, the pose space, correctives.

Thresholds are what a hand needs to be usable, with a margin to what ours measures.
"""

from dataclasses import replace

import numpy as np

from tracker.geometry.skeleton import MANO_JOINTS
from train.open_hand import mesh
from train.open_hand.anthropometry import CHAINS, LONG_FINGERS
from train.open_hand.check_result import Results, equal, within
from train.open_hand.intersections import piercing_pairs
from train.open_hand.joint_angles import (
    angles_from_rotations,
    hand_pose_from_angles,
    rotations_from_hand_pose,
)
from train.open_hand.model import OpenHand
from train.open_hand.pose_space import draw_angles, sample_poses
from train.open_hand.posing import hand_model, pose_vertices, shaped_vertices


def check_posing(hand: OpenHand) -> Results:
    """Check that the zero pose is the template, and every joint alone at its limits."""
    v, f = hand.v_template.astype(float), hand.f.astype(int)
    model = hand_model(hand)
    rest = pose_vertices(model, np.zeros((1, 15, 3)))[0]
    yield within("zero pose against the template", np.abs(rest - v).max() * 1e3, 0, 1e-4, " mm")
    names, angles = _sweep(hand)
    swept = pose_vertices(model, hand_pose_from_angles(hand.joint_axes.astype(float), angles))
    volumes = np.array([mesh.volume(s, f) for s in swept]) / mesh.volume(v, f)
    yield within(f"least volume at a limit ({names[volumes.argmin()]})", volumes.min(), 0.93, 1.1)
    part = joint_of_face(hand)
    foreign, crease = 0, 0
    for name, s in zip(names, swept, strict=True):
        # Spread to its limit a finger meets its still neighbour, and the thumb's base meets the palm.
        if "flexion" in name and not name.startswith("thumb_cmc"):
            pairs = piercing_pairs(s, f)
            inside = _crease(part, pairs)
            foreign, crease = max(foreign, int((~inside).sum())), max(crease, int(inside.sum()))
    yield equal("triangle pairs between digits when one joint flexes", foreign, 0)
    yield within("triangle pairs in a crease when one joint flexes", crease, 0, 30)


def _sweep(hand: OpenHand) -> tuple[list[str], np.ndarray]:
    """Return poses (n, 15, 3) in degrees with one joint at one limit each, with names."""
    names, poses = [], []
    for joint, axis, side in np.argwhere(np.abs(hand.joint_limits_deg[1:]) > 5).tolist():
        angles = np.zeros((15, 3))
        angles[joint, axis] = hand.joint_limits_deg[joint + 1, axis, side]
        names.append(
            f"{MANO_JOINTS[joint + 1]} {('flexion', 'abduction', 'twist')[axis]} {angles[joint, axis]:g}"
        )
        poses.append(angles)
    return names, np.array(poses)


def joint_of_face(hand: OpenHand) -> np.ndarray:
    """Return per face the joint that most of its corners follow."""
    leader = hand.weights.argmax(1)[hand.f.astype(int)]
    return np.where(leader[:, 1] == leader[:, 2], leader[:, 1], leader[:, 0])


def _crease(leaders: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return which pairs lie in one digit or between neighbours at the palm, where skin folds anyway."""
    digit = np.concatenate([[0], np.repeat(np.arange(1, 6), 3)])
    a, b = leaders[pairs[:, 0]], leaders[pairs[:, 1]]
    firsts = [chain[0] for chain in CHAINS.values()]
    bases = [CHAINS[finger][0] for finger in LONG_FINGERS]
    at_palm = ((a == 0) & np.isin(b, firsts)) | ((b == 0) & np.isin(a, firsts))
    return (digit[a] == digit[b]) | at_palm | (np.isin(a, bases) & np.isin(b, bases))


def check_collisions(hand: OpenHand, count: int = 300) -> Results:
    """Check how often sampled poses of random shapes make digits pierce each other or the palm, and the volume."""
    rng = np.random.default_rng(42)
    poses = sample_poses(count, rng)
    f, part = hand.f.astype(int), joint_of_face(hand)
    betas = rng.normal(size=(count, 10))
    posed = pose_vertices(hand_model(hand), poses, betas)
    kinds = [_crease(part, piercing_pairs(s, f)) for s in posed]
    foreign = float(np.mean([not kind.all() for kind in kinds]))
    clean = float(np.mean([len(kind) == 0 for kind in kinds]))
    yield within(f"share of {count} poses with digits piercing", foreign, 0, 0.20)
    yield within(f"share of {count} poses without any crossing", clean, 0.40, 1)
    rest = [mesh.volume(s, f) for s in shaped_vertices(hand, betas)]
    ratio = np.array([mesh.volume(s, f) for s in posed]) / rest
    yield within("posed over rest volume, mean", ratio.mean(), 0.98, 1.02)
    yield within("posed over rest volume, least", ratio.min(), 0.93, 1.02)


def check_mirror(hand: OpenHand) -> Results:
    """Check that the mirrored model posed with mirrored angles is the mirror image."""
    rng = np.random.default_rng(0)
    betas, poses = rng.normal(size=(20, 10)), sample_poses(20, rng)
    model = hand_model(hand)
    right = pose_vertices(model, poses, betas) * np.array([-1.0, 1.0, 1.0])
    left = pose_vertices(model.mirrored(), poses * np.array([1.0, -1.0, -1.0]), betas)
    yield within("left against mirrored right", np.abs(right - left).max() * 1e3, 0, 1e-9, " mm")


def check_pose_space(hand: OpenHand) -> Results:
    """Check the pose components, what they reproduce, and that angles survive the way to rotations and back."""
    components = hand.hands_components.astype(float)
    yield within(
        "components' orthonormality", np.abs(components @ components.T - np.eye(45)).max(), 0, 1e-5
    )
    axes = hand.joint_axes.astype(float)
    poses = (hand.hands_mean + hand.hands_coeffs.astype(float) @ components).reshape(-1, 15, 3)
    angles = angles_from_rotations(axes, rotations_from_hand_pose(poses))
    low, high = np.moveaxis(hand.joint_limits_deg[1:].astype(float), -1, 0)
    excess = np.maximum(low - angles, angles - high).max()
    yield within("stored poses beyond their limits", max(excess, 0.0), 0, 1e-3, " deg")
    drawn = draw_angles(200, np.random.default_rng(0))
    back = angles_from_rotations(axes, rotations_from_hand_pose(hand_pose_from_angles(axes, drawn)))
    yield within("angle round trip", np.abs(back - drawn).max(), 0, 1e-4, " deg")
    share = np.cumsum(hand.pose_sd.astype(float) ** 2) / (hand.pose_sd.astype(float) ** 2).sum()
    yield within("variance in the first 30 components", share[29], 0.99, 1)


def check_correctives(hand: OpenHand) -> Results:
    """Check that the pose correctives vanish at rest and win back the volume linear blending loses."""
    poses = sample_poses(100, np.random.default_rng(105))
    f = hand.f.astype(int)
    plain, corrected = (
        np.mean([mesh.volume(s, f) for s in pose_vertices(hand_model(model), poses)])
        for model in (replace(hand, posedirs=np.zeros_like(hand.posedirs)), hand)
    )
    rest = mesh.volume(hand.v_template.astype(float), f)
    yield within("volume kept by linear blending", plain / rest, 0.94, 1)
    yield within("volume kept with correctives", corrected / rest, 0.985, 1.015)
    yield within("largest corrective entry", np.abs(hand.posedirs).max() * 1e3, 0.1, 60, " mm")
