"""Per-vertex colour of a hand, gathered from the frames it was seen in.

Each frame's pixels are read at the vertices in sight, the light is divided out with a first-order
model fitted to that frame, and the results are averaged with weights that prefer vertices seen
face on. Vertices never seen are filled by diffusion over the mesh: what is diffused is how far the
seen ones are from a first idea of the hand (one skin tone, or a network's texture), so that the idea's
own pattern stays where nothing was seen.
"""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from scipy.sparse import csr_matrix

from tracker.geometry.camera import Camera
from tracker.geometry.zbuffer import vertex_normals, visible_vertices

_MEMORY: Final = 30.0
"""Frames' worth of weight kept: older looks fade, so a changing light is followed."""
_GRAZING: Final = 0.25
"""Cosine of the viewing angle below which a vertex shows as much background as skin."""
_PRIOR: Final = 0.05
"""Pull of the neighbours against one full look."""
_HUE_SD: Final = 0.04
"""Spread of skin in chromaticity (r, g of r + g + b = 1): beyond it a pixel is taken for background."""
_BRIGHTNESS_SD: Final = 0.7
"""Spread of log brightness over a hand, light and shade included."""
_FIRST_SWEEPS: Final = 300
_SWEEPS: Final = 6
_UNSEEN: Final = (0.78, 0.60, 0.52)
"""A middle skin tone, for a hand no pixel of which was ever seen."""


class TextureFuser:
    """Running estimate of the albedo of one hand's vertices, RGB in [0, 1]."""

    def __init__(self, faces: Int[np.ndarray, "F 3"], vertex_count: int) -> None:
        self._faces = faces
        self._sum = np.zeros((vertex_count, 3))
        self._weight = np.zeros(vertex_count)
        self._spread = _neighbour_mean(faces, vertex_count)
        self._idea = np.tile(np.array(_UNSEEN), (vertex_count, 1))
        self.colors: Float32[np.ndarray, "V 3"] = self._idea.astype(np.float32)

    @property
    def seen(self) -> Bool[np.ndarray, " V"]:
        """Vertices that were in sight at least once."""
        return self._weight > 0

    def expect(self, texture: Float[np.ndarray, "V 3"]) -> None:
        """Take a first idea of the hand's albedo, for the vertices that were not seen."""
        unseen = 1 - self._share()
        change = self.colors - self._idea if self.seen.any() else 0 * self._idea
        before, self._idea = self._idea, texture.astype(np.float64)
        # What was seen stays as it was; the rest moves along.
        colors = before + change + unseen * (self._idea - before)
        self.colors = np.clip(colors, 0, 1).astype(np.float32)

    def add(
        self,
        rgb: UInt8[np.ndarray, "h w 3"],
        vertices: Float[np.ndarray, "V 3"],
        camera: Camera,
        confidence: float,
    ) -> None:
        """Take in one frame with the hand's `vertices` (m, camera frame) as drawn on it."""
        normals = vertex_normals(vertices, self._faces)
        visible = np.flatnonzero(visible_vertices(vertices, self._faces, camera))
        if len(visible) < 30 or confidence <= 0:
            return
        seen = _sample(rgb, camera.project(vertices[visible]))
        toward = -vertices[visible] / np.linalg.norm(vertices[visible], axis=-1, keepdims=True)
        facing = np.clip((normals[visible] * toward).sum(-1) - _GRAZING, 0, 1)
        weight = confidence * facing**2 * _likeness(seen)
        albedo = seen / _shading(seen, normals[visible], weight)[:, None]
        sweeps = _SWEEPS if self.seen.any() else _FIRST_SWEEPS
        fade = min(1.0, _MEMORY / max(float(self._weight.max()), 1e-9))
        self._sum *= fade
        self._weight *= fade
        self._sum[visible] += weight[:, None] * np.clip(albedo, 0, 1)
        self._weight[visible] += weight
        self._diffuse(sweeps)

    def _share(self) -> Float[np.ndarray, "V 1"]:
        """Return how far each vertex's own looks count against its neighbours."""
        return (self._weight / (self._weight + _PRIOR))[:, None]

    def _diffuse(self, sweeps: int) -> None:
        """Let every vertex settle between what was seen of it and its neighbours (Jacobi sweeps)."""
        share = self._share()
        apart = self._sum / np.maximum(self._weight, 1e-9)[:, None] - self._idea
        change = self.colors - self._idea
        if sweeps == _FIRST_SWEEPS:
            change[:] = np.average(apart, 0, self._weight)
        for _ in range(sweeps):
            change = share * apart + (1 - share) * (self._spread @ change)
        self.colors = np.clip(self._idea + change, 0, 1).astype(np.float32)


def _neighbour_mean(faces: Int[np.ndarray, "F 3"], count: int) -> csr_matrix:
    """Return the matrix that replaces each vertex by the mean of its neighbours."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    degree = np.bincount(edges[:, 0], minlength=count)
    return csr_matrix((1 / degree[edges[:, 0]], (edges[:, 0], edges[:, 1])), (count, count))


def _sample(
    rgb: UInt8[np.ndarray, "h w 3"], uv: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 3"]:
    """Return the picture's colours in [0, 1] at `uv`, bilinearly (cv2 counts from pixel centres)."""
    points = (uv - 0.5).astype(np.float32)[None]
    picked = cv2.remap(rgb, points, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return picked[0].astype(np.float64) / 255


def _likeness(seen: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Return in [0, 1] how much each colour is like the middle one: light may vary, hue may not."""
    total = seen.sum(-1, keepdims=True) + 0.02
    features = np.concatenate([seen[:, :2] / total / _HUE_SD, np.log(total) / _BRIGHTNESS_SD], 1)
    return np.exp(-0.5 * ((features - np.median(features, 0)) ** 2).sum(-1))


def _shading(
    seen: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    weight: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """Return each vertex's brightness under one ambient and one directional light, mean one.

    The skin is taken as one colour for this fit: least squares of luminance on (1, normal), with
    a ridge on the direction so that few or flat views divide out little rather than too much.
    """
    luminance = seen @ np.array([0.299, 0.587, 0.114])
    basis = np.concatenate([np.ones((len(normals), 1)), normals], 1)
    weighted = basis * weight[:, None]
    ridge = np.diag([0.0, 0.02, 0.02, 0.02]) * weight.sum()
    light = np.linalg.solve(weighted.T @ basis + ridge + 1e-9 * np.eye(4), weighted.T @ luminance)
    shade = basis @ light
    mean = max(float(np.average(shade, weights=weight + 1e-12)), 1e-3)
    return np.clip(shade / mean, 0.4, 2.0)
