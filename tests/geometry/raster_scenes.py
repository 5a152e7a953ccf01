"""Scenes for the tests of the rasteriser: the open hand in random poses, a box on the pixel grid, a ball."""

from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from tracker.geometry.hand_model import HandModel
from tracker.geometry.rasteriser import RasterTopology

needs_warp = pytest.mark.skipif(find_spec("warp") is None, reason="needs the package warp-lang")
BACKENDS = ["numba", "torch", pytest.param("warp", marks=needs_warp)]


class Scene(NamedTuple):
    vertices: torch.Tensor
    colors: torch.Tensor
    K: torch.Tensor
    topology: RasterTopology


def hands(count: int, size: int, fill: float = 0.85, seed: int = 3) -> Scene:
    """Hands with smooth colours, each `fill` of a square image large, 60 cm away."""
    model, draw = HandModel.load(), torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=draw)  # noqa: E731
    pose = model.pose_from_pca(0.7 * normal(count, 30))
    orient = normal(count, 3) * torch.tensor([0.6, 0.6, 1.2]) + torch.tensor([1.57, 0, 0])
    vertices = model.with_shape(normal(count, 10)).with_pose(orient, pose).skin().vertices
    vertices = vertices - vertices.mean(1, keepdim=True) + torch.tensor([0, 0, 0.6])
    uv = vertices[..., :2] / vertices[..., 2:]
    low, high = uv.amin(1), uv.amax(1)
    K = torch.eye(3).repeat(count, 1, 1)
    K[:, 0, 0] = K[:, 1, 1] = fill * size / (high - low).amax(1)
    K[:, :2, 2] = size / 2 - K[:, 0, :1] * (low + high) / 2
    waves = model.v_template @ normal(count, 3, 3) * 25 + 3 * normal(count, 1, 3)
    return Scene(vertices, 0.55 + 0.25 * waves.sin(), K, RasterTopology.of(model.faces.numpy()))


def box(u: tuple[float, float], v: tuple[float, float]) -> Scene:
    """A box whose front, 1 m away, covers these pixels; the camera sees nothing else of it."""
    center = (sum(u) / 2, sum(v) / 2)
    corners = [(x - center[0], y - center[1], z) for z in (1.0, 1.1) for y in v for x in u]
    faces = [[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4]]
    faces += [[2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5]]
    K = torch.tensor([[[1.0, 0, center[0]], [0, 1, center[1]], [0, 0, 1]]])
    colors = torch.rand(1, 8, 3, generator=torch.Generator().manual_seed(0))
    return Scene(torch.tensor([corners]), colors, K, RasterTopology.of(np.array(faces)))


def ball() -> Scene:
    """A ball of 80 triangles, none of them a sliver, about 20 pixels large in 24."""
    sphere = trimesh.creation.icosphere(1, 0.1)
    turned = Rotation.from_rotvec([0.3, 0.2, 0.1]).apply(np.array(sphere.vertices))
    vertices = torch.tensor(turned, dtype=torch.float32)[None] + torch.tensor([0, 0, 0.5])
    K = torch.tensor([[[50.0, 0, 12.3], [0, 51, 11.8], [0, 0, 1]]])
    colors = 0.5 + 0.3 * (vertices * 20).sin()
    return Scene(vertices, colors, K, RasterTopology.of(np.array(sphere.faces)))
