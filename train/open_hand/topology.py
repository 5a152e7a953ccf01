"""The open hand's mesh before reduction: structured tubes for the digits, stitched to a palm of marching cubes.

A digit is rings of eight vertices, denser at the joints, and a dome whose apex is the fingertip keypoint;
its vertices are locked, so that reducing the palm cannot make fingers bumpy. All faces are built
counter-clockwise from outside.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from train.open_hand import mesh
from train.open_hand.anthropometry import CHAINS, DIGITS, MM, Skeleton, segment_starts
from train.open_hand.sdf import Field, first_exit
from train.open_hand.weights import segment_distance

COLUMNS = 8
DOME_DEG = (88.0, 58.0, 28.0)
"""Polar angles of the rings of a fingertip's dome, seen from its centre."""
BASE_MM = {"thumb": 43.0, "index": 24.0, "middle": 25.0, "ring": 24.0, "pinky": 20.0}
"""Where a digit's tube begins, from its first joint; fingers begin just beyond the web."""
DOME_CENTER_MM = {"thumb": 8.5, "index": 7.5, "middle": 7.5, "ring": 7.5, "pinky": 6.2}
"""How far the dome's centre lies behind the fingertip."""


@dataclass(frozen=True)
class Topology:
    """A mesh with its locked vertices and the vertex of each fingertip, in the order of `DIGITS`."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    locked: Bool[np.ndarray, " v"]
    tips: Int[np.ndarray, " 5"]


def ring_stations(digit: str, base: float) -> np.ndarray:
    """Return where a digit has rings, in metres from its first joint; the last one is the dome's centre."""
    _, middle, distal, tip = segment_starts(digit)
    center = tip - DOME_CENTER_MM[digit] * MM
    if digit == "thumb":
        shaft = np.linspace(base + 4 * MM, distal - 8.5 * MM, 3)
        joints = distal + np.array([-4, 0, 4]) * MM
        return np.array([*shaft, *joints, (joints[-1] + center) / 2, center])
    first, last = base + 3 * MM, middle - 8 * MM
    count = max(1, round((last - first) / (6.5 * MM)) + 1)
    shaft = np.linspace(first, last, count) if count > 1 else [min(first, middle - 7.5 * MM)]
    first_joint = middle + np.array([-4, 0, 4]) * MM
    second_joint = distal + np.array([-3.7, 0, 3.7]) * MM
    between = (first_joint[-1] + second_joint[0]) / 2
    return np.array(
        [*shaft, *first_joint, between, *second_joint, (second_joint[-1] + center) / 2, center]
    )


@dataclass(frozen=True)
class DigitTube:
    """The structured vertices of one digit: `rings` from the palm outwards, then the tip."""

    rings: Float[np.ndarray, "r 8 3"]
    tip: Float[np.ndarray, " 3"]


def digit_tube(field: Field, bones: Skeleton, digit: str, base: float) -> DigitTube:
    """Cast the rays of one digit from its axis to the skin.

    Args:
        field: The hand's shape in the frame of `bones`.
        bones: The rest skeleton.
        digit: Name of the digit.
        base: Where the palm's mesh ends, in metres from the first joint.
    """
    _, dorsal, along = bones.axes[CHAINS[digit][2]]
    angles = np.arange(COLUMNS) * 2 * np.pi / COLUMNS
    circle = np.cos(angles)[:, None] * dorsal + np.sin(angles)[:, None] * np.cross(along, dorsal)
    root = bones.chain(digit)[0]
    stations = ring_stations(digit, base)
    reach = 24 * MM if digit == "thumb" else 17 * MM
    rings = [first_exit(field, root + s * along, circle, reach) for s in stations[:-1]]
    center = root + stations[-1] * along
    for polar in np.radians(DOME_DEG):
        rings.append(
            first_exit(field, center, np.sin(polar) * circle + np.cos(polar) * along, 14 * MM)
        )
    return DigitTube(np.array(rings), first_exit(field, center, along[None], 15 * MM)[0])


def assemble(field: Field, bones: Skeleton, vertices: np.ndarray, faces: np.ndarray) -> Topology:
    """Replace the digits of a marching-cubes mesh by structured tubes.

    Raises:
        ValueError: The cuts do not leave five holes and the wrist, so a cut lies within a web.
    """
    keep = np.ones(len(faces), bool)
    for digit in DIGITS:
        keep &= ~_in_digit(vertices, faces, bones, digit)[faces].any(1)
    palm = faces[keep]
    loops = mesh.boundary_loops(palm)
    if len(loops) != 6:
        raise ValueError(f"cutting the digits off left {len(loops)} boundaries instead of 6")
    points, triangles, tips = [vertices], [palm], []
    count = len(vertices)
    for digit in DIGITS:
        loop, base = _base_loop(vertices, loops, bones, digit)
        tube = digit_tube(field, bones, digit, base)
        ids = count + np.arange(tube.rings.shape[0] * COLUMNS).reshape(-1, COLUMNS)
        points += [tube.rings.reshape(-1, 3), tube.tip[None]]
        count += ids.size + 1
        tips.append(count - 1)
        everything = np.vstack(points)
        triangles += [
            _stitch(everything, loop, ids[0].tolist()),
            _tube_faces(everything, ids, count - 1),
        ]
    everything, faces, kept = mesh.compact(np.vstack(points), np.vstack(triangles))
    return Topology(everything, faces, kept >= len(vertices), np.searchsorted(kept, tips))


def _in_digit(vertices: np.ndarray, faces: np.ndarray, bones: Skeleton, digit: str) -> np.ndarray:
    """Return which vertices lie beyond the base of a digit, connected to its tip."""
    root, *_, tip = bones.chain(digit)
    along = (tip - root) / np.linalg.norm(tip - root)
    near = segment_distance(vertices, root, tip) < (20 * MM if digit == "thumb" else 15.5 * MM)
    candidates = near & ((vertices - root) @ along > BASE_MM[digit] * MM)
    pairs = mesh.directed_edges(faces)
    pairs = pairs[candidates[pairs].all(1)]
    graph = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(vertices),) * 2)
    _, labels = connected_components(graph, directed=False)
    distance = np.where(candidates, np.linalg.norm(vertices - tip, axis=1), np.inf)
    return candidates & (labels == labels[distance.argmin()])


def _base_loop(
    vertices: np.ndarray, loops: list[list[int]], bones: Skeleton, digit: str
) -> tuple[list[int], float]:
    """Return the hole a digit left, counter-clockwise about its axis, and how far it reaches along it."""
    root, *_, tip = bones.chain(digit)
    along = (tip - root) / np.linalg.norm(tip - root)
    start = root + along * BASE_MM[digit] * MM
    loop = min(loops, key=lambda ids: np.linalg.norm(vertices[ids].mean(0) - start))
    reach = ((vertices[loop] - root) @ along).max()
    return loop[::-1], max(float(reach), BASE_MM[digit] * MM)


def _tube_faces(points: np.ndarray, ids: np.ndarray, tip: int) -> np.ndarray:
    """Triangulate the quads between rings along their shorter diagonal and close the dome at the tip."""
    faces = []
    for lower, upper in pairwise(ids):
        for k in range(COLUMNS):
            a, b, c, d = lower[k], lower[k - COLUMNS + 1], upper[k - COLUMNS + 1], upper[k]
            if np.linalg.norm(points[a] - points[c]) <= np.linalg.norm(points[b] - points[d]):
                faces += [[a, b, c], [a, c, d]]
            else:
                faces += [[a, b, d], [b, c, d]]
    last = ids[-1]
    faces += [[last[k - 1], last[k], tip] for k in range(COLUMNS)]
    return np.array(faces)


def _stitch(points: np.ndarray, loop: list[int], ring: list[int]) -> np.ndarray:
    """Fill the gap between two loops that turn alike, always along the shorter new edge."""
    start = int(np.linalg.norm(points[loop] - points[ring[0]], axis=1).argmin())
    outer = [*loop[start:], *loop[: start + 1]]
    inner = [*ring, ring[0]]
    faces, i, j = [], 0, 0
    while i < len(loop) or j < len(ring):
        forward = _length(points, outer[i + 1], inner[j]) if i < len(loop) else np.inf
        sideways = _length(points, outer[i], inner[j + 1]) if j < len(ring) else np.inf
        if forward <= sideways:
            faces.append([outer[i], outer[i + 1], inner[j]])
            i += 1
        else:
            faces.append([outer[i], inner[j + 1], inner[j]])
            j += 1
    return np.array(faces)


def _length(points: np.ndarray, a: int, b: int) -> float:
    return float(np.linalg.norm(points[a] - points[b]))
