"""Checks of the hand at rest: mesh, weights, regressor, shapes, frame, masks.

Thresholds are what a hand needs to be usable, with a margin to what ours measures.
"""

import numpy as np
from scipy.spatial import KDTree

from tracker.geometry.hand_files import MANO_TIP_IDS
from tracker.geometry.skeleton import MANO_PARENTS
from train.open_hand import mesh
from train.open_hand.anthropometry import CHAINS, DIGITS, LONG_FINGERS
from train.open_hand.check_result import Results, equal, within
from train.open_hand.intersections import contains, piercing_pairs
from train.open_hand.model import OpenHand
from train.open_hand.posing import shaped_vertices


def check_topology(hand: OpenHand) -> Results:
    """Check counts, manifoldness, orientation, volume and the quality of the triangles."""
    v, f = hand.v_template.astype(float), hand.f.astype(int)
    pairs, uses = mesh.edges(f)
    half_edges = mesh.directed_edges(f)
    yield equal("vertices, faces", (len(v), len(f)), (778, 1538))
    yield equal("boundary loops", [len(loop) for loop in mesh.boundary_loops(f)], [16])
    yield equal("Euler characteristic", len(v) - len(pairs) + len(f), 1)
    yield equal("faces at an edge, at most", int(uses.max()), 2)
    yield equal("half-edges used twice", len(half_edges) - len(np.unique(half_edges, axis=0)), 0)
    yield equal("unused vertices", len(v) - len(np.unique(f)), 0)
    yield within("volume", mesh.volume(v, f) * 1e6, 250, 450, " cm3")
    quality = mesh.triangle_quality(v, f)
    yield within("worst triangle quality", quality.min(), 0.3, 1)
    yield within("median triangle quality", float(np.median(quality)), 0.8, 1)
    lengths = mesh.edge_lengths(v, f) * 1e3
    yield within("shortest edge", lengths.min(), 1.8, 20, " mm")
    yield within("longest edge", lengths.max(), 2, 20, " mm")


def check_weights(hand: OpenHand) -> Results:
    """Check that weights are convex, sparse, and never shared between the ends of different digits."""
    weights = hand.weights.astype(float)
    yield within("smallest weight", weights.min(), 0, 1)
    yield within("weight sum error", np.abs(weights.sum(1) - 1).max(), 0, 1e-6)
    influences = (weights > 0.01).sum(1)
    yield within("most influences above 1 %", influences.max(), 1, 5)
    yield within("mean influences above 1 %", influences.mean(), 1, 3)
    leak = 0.0
    for digit, chain in CHAINS.items():
        distal = weights[:, chain[1:]].sum(1) > 0.5
        others = [j for name, joints in CHAINS.items() if name != digit for j in joints]
        leak = max(leak, float(weights[distal][:, others].max()))
    yield within("weight of another digit on a distal vertex", leak, 0, 0)


def check_regressor(hand: OpenHand) -> Results:
    """Check that joints are convex combinations of the skin, reproduce J and lie inside hands of all shapes."""
    regressor = hand.J_regressor.astype(float)
    v, f = hand.v_template.astype(float), hand.f.astype(int)
    joints = regressor @ v
    yield within("smallest regressor entry", regressor.min(), 0, 1)
    yield within("regressor sum error", np.abs(regressor.sum(1) - 1).max(), 0, 1e-6)
    yield within("regressed joints against J", np.abs(joints - hand.J).max() * 1e3, 0, 1e-3, " mm")
    yield equal("joints inside", int(contains(v, f, joints).sum()), 16)
    depth = _skin_depth(v, f, joints) * 1e3
    yield within("shallowest joint", depth.min(), 5, 16, " mm")
    yield within("deepest joint", depth.max(), 5, 16, " mm")
    shapes = shaped_vertices(hand, random_betas())
    outside = sum(int((~contains(s, f, regressor @ s)).sum()) for s in shapes)
    yield equal("joints outside over 60 shapes", outside, 0)


def random_betas() -> np.ndarray:
    """Return the 60 random shapes (60, 10) that are checked."""
    return np.random.default_rng(5).normal(size=(60, 10))


def _skin_depth(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the distance of points to the skin, on a cloud of 28 points a face."""
    steps = [(i / 6, j / 6) for i in range(7) for j in range(7 - i)]
    corners = vertices[faces]
    cloud = [(1 - s - t) * corners[:, 0] + s * corners[:, 1] + t * corners[:, 2] for s, t in steps]
    distance, _ = KDTree(np.concatenate(cloud)).query(points)
    return distance


def check_shapes(hand: OpenHand) -> Results:
    """Check that the template and 60 random shapes neither pierce themselves nor turn faces over."""
    v, f = hand.v_template.astype(float), hand.f.astype(int)
    yield equal("self-intersections at rest", len(piercing_pairs(v, f)), 0)
    shapes = shaped_vertices(hand, random_betas())
    yield equal(
        "shapes of 60 that pierce themselves", sum(len(piercing_pairs(s, f)) > 0 for s in shapes), 0
    )
    rest = mesh.face_normals(v, f)
    flipped = sum(int(((mesh.face_normals(s, f) * rest).sum(1) <= 0).sum()) for s in shapes)
    yield equal("faces turned over in 60 shapes", flipped, 0)
    step = np.eye(10)[:1] * np.array([[-2.5], [2.5]])
    small, large = (mesh.volume(s, f) for s in shaped_vertices(hand, step))
    yield within("volume of beta_0 = 2.5 over -2.5", large / small, 1.5, 4)


def check_convention(hand: OpenHand) -> Results:
    """Check the rest frame, the hand's size, and that each fingertip is the end of its digit."""
    v, joints = hand.v_template.astype(float), hand.J.astype(float)
    tips = v[hand.tip_ids]
    middle = joints[CHAINS["middle"][0]]
    direction = tips[DIGITS.index("middle")] - middle
    length = np.linalg.norm(direction)
    yield within("middle finger along -x", float(-direction[0] / length), 0.99, 1)
    lateral = (v[:, 2].max() - tips[0, 2]) * 1e3
    yield within("thumb tip behind the largest z", lateral, 0, 3, " mm")
    size = (np.linalg.norm(middle - joints[0]) + length) * 1e3
    yield within("hand length", size, 170, 200, " mm")
    yield equal("tip ids", hand.tip_ids.tolist(), list(MANO_TIP_IDS["right"]))
    parents = hand.kintree_table.astype(np.int64)
    yield equal("parents", parents[0, 1:].tolist(), list(MANO_PARENTS[1:]))
    behind = []
    for tip, (first, _, last) in zip(tips, (CHAINS[d] for d in DIGITS), strict=True):
        along = (tip - joints[first]) / np.linalg.norm(tip - joints[first])
        own = hand.weights[:, last] > 0.5
        behind.append(float(((v[own] - tip) @ along).max()))
    yield within("vertices beyond a fingertip", max(behind) * 1e3, 0, 0.2, " mm")
    normals = mesh.vertex_normals(v, hand.f.astype(int))
    facing = [
        normals[hand.mask_nail * (hand.weights[:, CHAINS[d][2]] > 0.5) > 0.5][:, 1].mean()
        for d in LONG_FINGERS
    ]
    yield within("finger nails face +y", float(min(facing)), 0.8, 1)


def check_masks(hand: OpenHand) -> Results:
    """Check that the masks lie in [0, 1], that nails are on fingertips and the palm's side is a good part."""
    masks = np.stack([hand.mask_palmar, hand.mask_nail, hand.mask_fingertip, hand.mask_knuckle])
    yield within("smallest mask value", masks.min(), 0, 1)
    yield within("largest mask value", masks.max(), 0, 1)
    distal = hand.weights[:, [CHAINS[digit][2] for digit in DIGITS]].max(1)
    yield within("least distal weight under a nail", distal[hand.mask_nail > 0.05].min(), 0.85, 1)
    yield within("share of palmar vertices", (hand.mask_palmar > 0.5).mean(), 0.25, 0.6)
    nails = [
        int(((hand.mask_nail > 0.5) & (hand.weights[:, CHAINS[d][2]] > 0.5)).sum()) for d in DIGITS
    ]
    yield within("fewest vertices of a nail", min(nails), 3, 20)
