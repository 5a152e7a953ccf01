"""The skin of the drawn arm: tones of `geometry.skin_tones`, with the fine lines of a real hand."""

from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.interpolate import make_interp_spline
from scipy.spatial import KDTree

from apps.demo.surface import ArmSurface
from tracker.geometry.hand_files import HandArrays
from tracker.geometry.skeleton import MANO_JOINTS
from tracker.geometry.skin_tones import linear_from_srgb, mesh_noise, skin_texture, srgb_from_linear
from tracker.geometry.zbuffer import vertex_normals

TONE: Final = 5.2
"""On the Monk scale."""
_CREASE_M: Final = 0.0011
_FINGER_CREASES_M: Final = {
    "_mcp": (0.022,),
    "_pip": (-0.0012, 0.0014),
    "_dip": (0.0,),
    "_ip": (0.0,),
}
"""Where along the finger lines run across it, from each kind of joint towards the tip."""
_PALM_LINES_M: Final = (
    (0.0016, ((0.018, -0.042), (0.013, -0.022), (0.006, -0.004), (-0.004, 0.012))),
    (0.0016, ((0.020, 0.030), (0.027, 0.012), (0.036, -0.008), (0.048, -0.028))),
    (0.0016, ((0.020, 0.030), (0.031, 0.015), (0.048, 0.005), (0.072, 0.004))),
    (0.0038, ((0.093, -0.028), (0.096, 0.000), (0.094, 0.026))),
)
"""Heart, head and life line and the fold of the wrist: how wide, and where, as (x, z) on the right
hand at rest. The triangles of the wrist are large and need a wide fold to draw it unbroken."""
_DEEPEST_M: Final = 0.0016
"""A palm line of this width is as deep as a crease; wider ones are shallower."""
_CREASE_DEPTH: Final = np.array([0.10, 0.16, 0.17])  # less light returns from a crease, least blue
_GRAIN: Final = np.array([0.02, 0.03, 0.03])


def arm_albedo(
    arrays: HandArrays, surface: ArmSurface, rng: np.random.Generator
) -> Float[np.ndarray, "W 3"]:
    """Return the sRGB albedo of the refined surface, for one drawn person."""
    refined = _at_rest(arrays, surface)
    albedo = linear_from_srgb(skin_texture(refined, TONE, rng).astype(np.float64))
    albedo *= 1 - _creases(refined)[:, None] * _CREASE_DEPTH
    grain = mesh_noise(refined.f, len(refined.v_template), rng, rounds=2)
    albedo *= 1 + grain[:, None] * _GRAIN
    return srgb_from_linear(albedo.clip(0.005, 0.95)).astype(np.float32)


def _at_rest(arrays: HandArrays, surface: ArmSurface) -> HandArrays:
    """Return the refined arm as a hand of one fixed shape, so that colour can be found from it."""
    vertices = surface.refined(arrays.v_template, np.eye(3), np.array([1.0, 0, 0]))
    regressor = np.zeros((len(arrays.J_regressor), len(vertices)))
    regressor[:, : arrays.J_regressor.shape[1]] = arrays.J_regressor
    return replace(
        arrays,
        v_template=vertices,
        f=surface.faces.astype(np.int64),
        weights=surface.spread(arrays.weights),
        J_regressor=regressor,
        shapedirs=np.zeros((len(vertices), 3, 10)),
        posedirs=np.zeros((len(vertices), 3, 135)),
        mask_palmar=None,
        mask_nail=None,
        mask_knuckle=None,
    )


def _creases(arm: HandArrays) -> Float[np.ndarray, " W"]:
    """Return how deep in a crease of the palmar side each vertex lies."""
    palmar = np.clip(0.35 - vertex_normals(arm.v_template, arm.f)[:, 1], 0, 1)
    return palmar * np.maximum(_finger_creases(arm), _palm_creases(arm.v_template))


def _finger_creases(arm: HandArrays) -> Float[np.ndarray, " W"]:
    """Return lines across each joint of the fingers."""
    joints = arm.J_regressor @ arm.v_template
    depth = np.zeros(len(arm.v_template))
    for name, places in _FINGER_CREASES_M.items():
        for joint in (i for i, joint in enumerate(MANO_JOINTS) if joint.endswith(name)):
            other = joint + 1 if name == "_mcp" else joint - 1
            bone = (joints[joint] - joints[other]) * (-1 if name == "_mcp" else 1)
            along = (arm.v_template - joints[joint]) @ bone / np.linalg.norm(bone)
            mine = arm.weights[:, joint] + arm.weights[:, 0 if name == "_mcp" else joint - 1] > 0.9
            for place in places:
                depth = np.maximum(depth, mine * np.exp(-(((along - place) / _CREASE_M) ** 2)))
    return depth


def _palm_creases(vertices: Float[np.ndarray, "W 3"]) -> Float[np.ndarray, " W"]:
    """Return the lines of the palm and the wrist."""
    depth = np.zeros(len(vertices))
    for width, points in _PALM_LINES_M:
        line = make_interp_spline(np.linspace(0, 1, len(points)), points, k=2)
        off, _ = KDTree(line(np.linspace(0, 1, 200))).query(vertices[:, [0, 2]])
        depth = np.maximum(depth, _DEEPEST_M / width * np.exp(-((off / width) ** 2)))
    return depth
