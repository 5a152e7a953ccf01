"""Skin for the open hand: colours of the Monk scale, and where on a hand they differ.

Swatches and results are display-encoded sRGB, ready for `shading.shade` and for comparison with
pixels. Nothing is mixed in that encoding: tones are interpolated in CIE Lab, where equal steps look
equal, and the tints of palm, nails and knuckles are mixed in linear light.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tracker.geometry.hand_files import HandArrays
from tracker.geometry.skeleton import FINGERS, MANO_JOINTS
from tracker.geometry.zbuffer import vertex_normals

MONK_TONES: Final = (
    *("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96"),
    *("a07e56", "825c43", "604134", "3a312a", "292420"),
)
"""The ten swatches of the Monk Skin Tone scale (E. Monk, Google 2022), light to dark, sRGB hex."""

_REDDER_HANDS: Final = 6.0  # a* added to tones 1-5: hands hold more blood than the swatches show
_LAB_JITTER: Final = (4.0, 2.0, 3.0)  # half range of L*, a*, b* between people of one tone
_FLESH: Final = np.array([0.84, 0.50, 0.38])  # linear RGB that shows where skin is thin
_NAIL: Final = np.array([0.86, 0.66, 0.60])  # linear RGB of a nail on light skin
_LUMINANCE: Final = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB (Rec. 709)
_XYZ_FROM_RGB: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], _LUMINANCE, [0.0193339, 0.1191920, 0.9503041]]
)  # sRGB primaries, D65 (IEC 61966-2-1)
_WHITE: Final = _XYZ_FROM_RGB.sum(1)
_THUMBNAIL: Final = {"right": np.array([0.51, 0.45, 0.73]), "left": np.array([-0.51, 0.45, 0.73])}
"""Where the thumbnail faces at rest; the other nails face the back of the hand, +y."""


@dataclass(frozen=True)
class SkinMasks:
    """How much each vertex belongs to a part of the skin, 0 to 1."""

    palmar: Float[np.ndarray, " V"]
    nail: Float[np.ndarray, " V"]
    knuckle: Float[np.ndarray, " V"]
    fingertip: Float[np.ndarray, " V"]


def skin_color(tone: float, rng: np.random.Generator | None = None) -> Float[np.ndarray, " 3"]:
    """Return the sRGB colour of a place on the Monk scale, e.g. 5.5 between swatches 5 and 6.

    Args:
        tone: 1 (lightest) to 10 (darkest).
        rng: draws a person of that tone; without it the colour is the swatch itself, a hand's red
            added to the light tones.

    Raises:
        ValueError: the tone is outside of the scale.
    """
    if not 1 <= tone <= len(MONK_TONES):
        raise ValueError(f"skin tone must lie between 1 and {len(MONK_TONES)}, found {tone}")
    swatches = np.array([list(bytes.fromhex(swatch)) for swatch in MONK_TONES]) / 255
    lab = lab_from_srgb(swatches)
    steps = np.arange(1, len(MONK_TONES) + 1)
    color = np.array([np.interp(tone, steps, lab[:, k]) for k in range(3)])
    color[1] += _REDDER_HANDS * np.clip(6 - tone, 0, 1)
    if rng is not None:
        color += rng.uniform(-1, 1, 3) * _LAB_JITTER
    return srgb_from_lab(color)


def skin_texture(
    arrays: HandArrays, tone: float, rng: np.random.Generator
) -> Float[np.ndarray, "V 3"]:
    """Return albedo for each vertex (sRGB float32 in [0, 1]) of one drawn person of a tone."""
    masks = skin_masks(arrays)
    base = linear_from_srgb(skin_color(tone, rng))
    light = float(base @ _LUMINANCE)
    # Palms stay light on dark skin: the darker the back of the hand, the more flesh shows through.
    share = np.interp(light, [0.0, 0.08, 0.3], [0.4, 0.45, 0.2])
    palm = base + share * (_FLESH * (0.55 + 0.9 * light) - base)
    albedo = base + masks.palmar[:, None] * (palm - base)
    albedo = albedo * (1 - masks.knuckle[:, None] * [0.09, 0.18, 0.18])
    albedo = albedo * (1 - masks.fingertip[:, None] * [0.0, 0.12, 0.12])
    nail = _NAIL * (0.45 + 0.75 * light)
    albedo = albedo + 0.55 * masks.nail[:, None] * (nail - albedo)
    blotches = mesh_noise(arrays.f, len(arrays.v_template), rng)
    albedo = albedo * (1 + blotches[:, None] * [0.03, 0.05, 0.05])
    return srgb_from_linear(np.clip(albedo, 0.005, 0.95)).astype(np.float32)


def skin_masks(arrays: HandArrays) -> SkinMasks:
    """Return the masks of a hand file, or what its shape at rest says where it has none."""
    normals = vertex_normals(arrays.v_template, arrays.f).astype(np.float64)
    joints = arrays.J_regressor @ arrays.v_template
    nail, fingertip = np.zeros(len(normals)), np.zeros(len(normals))
    for finger, tip in zip(FINGERS, arrays.tip_ids, strict=True):
        last = MANO_JOINTS.index("thumb_ip" if finger == "thumb" else f"{finger}_dip")
        bone = arrays.v_template[tip] - joints[last]
        along = (arrays.v_template - joints[last]) @ bone / (bone @ bone)
        on_bone = arrays.weights[:, last] > 0.85
        up = _THUMBNAIL[arrays.side] if finger == "thumb" else np.array([0.0, 1.0, 0.0])
        nail += on_bone * _smoothstep(along, 0.45, 0.6) * _smoothstep(normals @ up, 0.55, 0.8)
        fingertip += on_bone * _smoothstep(along, 0.55, 0.95)
    palmar = _smoothstep(-normals[:, 1], -0.05, 0.45)
    return SkinMasks(
        palmar=palmar if arrays.mask_palmar is None else arrays.mask_palmar,
        nail=nail if arrays.mask_nail is None else arrays.mask_nail,
        knuckle=_knuckles(arrays, joints, normals)
        if arrays.mask_knuckle is None
        else arrays.mask_knuckle,
        fingertip=fingertip,
    )


def mesh_noise(
    faces: Int[np.ndarray, "F 3"], count: int, rng: np.random.Generator, *, rounds: int = 12
) -> Float[np.ndarray, " V"]:
    """Return smooth noise over `count` vertices, mean 0 and deviation 1; more rounds are smoother."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.concatenate([edges, edges[:, ::-1], np.arange(count)[:, None].repeat(2, 1)])
    neighbours = sparse.csr_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    weights = 1 / np.asarray(neighbours.sum(1)).ravel()
    values = rng.standard_normal(count)
    for _ in range(rounds):
        values = weights * (neighbours @ values)
    values -= values.mean()
    return values / max(float(values.std()), 1e-12)


def linear_from_srgb(srgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Undo the display encoding of sRGB (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(linear: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Encode linear light for a display, clipped to [0, 1]."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def lab_from_srgb(srgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Return CIE L*a*b* (D65): L* from 0 to 100."""
    ratio = linear_from_srgb(srgb) @ _XYZ_FROM_RGB.T / _WHITE
    cubic = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = np.moveaxis(cubic, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def srgb_from_lab(lab: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Return the sRGB colour nearest to a CIE L*a*b* (D65) colour, in [0, 1]."""
    y = (lab[..., 0] + 16) / 116
    cubic = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    ratio = np.where(cubic > 6 / 29, cubic**3, (116 * cubic - 16) * 27 / 24389)
    return srgb_from_linear((ratio * _WHITE) @ np.linalg.inv(_XYZ_FROM_RGB).T)


def _knuckles(arrays: HandArrays, joints: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return a spot of 9 mm on the back of each finger's first two joints."""
    knuckle = np.zeros(len(normals))
    for joint, name in enumerate(MANO_JOINTS):
        if name.endswith(("_pip", "_mcp")):
            above = joints[joint] + np.array([0.0, 0.008, 0.0])
            off = np.linalg.norm(arrays.v_template - above, axis=1) / 0.009
            knuckle = np.maximum(knuckle, np.exp(-(off**2)))
    return knuckle * _smoothstep(normals[:, 1], 0.2, 0.7)


def _smoothstep(value: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
