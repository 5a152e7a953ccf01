"""One hand of 450 pixels drawn over a 1280 x 720 frame: the software renderer against pyrender."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch

from benchmarks.metric import Metric, alternating_ms
from tracker.errors import RenderError
from tracker.geometry.camera import Camera
from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.hand_model import HandModel
from tracker.geometry.shading import DEFAULT_LIGHT
from tracker.geometry.skin_tones import skin_texture
from tracker.view.gl_shims import import_pyrender, open_offscreen
from tracker.view.pyrender_renderer import PyrenderRenderer
from tracker.view.renderer import Mesh, Rendering, prepare
from tracker.view.software_renderer import SoftwareRenderer

CAMERA: Final = Camera.from_fov((720, 1280))
HAND_PX: Final = 450


def run(quick: bool) -> list[Metric]:
    """Time the overlay; ratios are how many times faster than pyrender drawing the whole frame."""
    meshes, frame = [_open_hand()], np.full((*CAMERA.hw, 3), 127, np.uint8)
    software, rounds = SoftwareRenderer(), 10 if quick else 40

    def overlay() -> None:
        software.blend_into(frame, meshes, CAMERA)

    try:
        boxed = PyrenderRenderer()
    except RenderError as error:
        (ours,) = alternating_ms([overlay], rounds)
        why = f"pyrender not measured: {error}"
        return [Metric("overlay_450px_ms", float(np.median(ours)), "ms", reference=why)]
    candidates = [overlay, lambda: boxed.render(meshes, CAMERA), _whole_frame(meshes, frame)]
    ours_ms, boxed_ms, whole_ms = (
        float(np.median(times)) for times in alternating_ms(candidates, rounds)
    )
    difference = _mean_difference(software.render(meshes, CAMERA), boxed.render(meshes, CAMERA))
    boxed.close()
    reference = f"{boxed.name}, whole frame, drawn flat, read back and mixed"
    return [
        Metric("overlay_450px_ms", ours_ms, "ms", reference, whole_ms, whole_ms / ours_ms),
        Metric("pyrender_450px_box_ms", boxed_ms, "ms", reference, whole_ms, whole_ms / boxed_ms),
        Metric("renderers_difference", difference, "of 255", "software against pyrender"),
    ]


def _open_hand() -> Mesh:
    """Return the open hand, its palm to the camera, 450 pixels long."""
    model, arrays = HandModel.load(), read_hand_file()
    orient, flat = torch.tensor([[1.57, 0.0, 0.0]]), torch.zeros(1, 15, 3)
    mesh = model.with_shape(torch.zeros(1, 10)).with_pose(orient, flat).skin()
    vertices = mesh.vertices[0].numpy()
    length = float(np.ptp(vertices[:, 0]))
    depth = length * float(CAMERA.K[0, 0]) / HAND_PX
    middle = (vertices.min(0) + vertices.max(0)) / 2
    colors = skin_texture(arrays, 4.5, np.random.default_rng(0))
    return Mesh(
        vertices - middle + np.array([0, 0, depth], np.float32), model.faces.numpy(), colors
    )


def _whole_frame(meshes: list[Mesh], frame: np.ndarray) -> Callable[[], np.ndarray]:
    """Return pyrender's own way: one viewport of the frame's size, a new mesh each time."""
    pyrender, platform = import_pyrender()
    height, width = CAMERA.hw
    offscreen: Any = open_offscreen(pyrender, platform, width, height)
    fx, fy, cx, cy = (float(CAMERA.K[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    intrinsics = pyrender.IntrinsicsCamera(fx, fy, cx, cy)
    flags = pyrender.RenderFlags.FLAT | pyrender.RenderFlags.RGBA

    def draw() -> np.ndarray:
        mesh = prepare(meshes, DEFAULT_LIGHT)
        primitive = pyrender.Primitive(
            positions=mesh.vertices * np.array([1, -1, -1], np.float32),
            indices=mesh.faces,
            color_0=np.concatenate([mesh.colors, np.ones_like(mesh.colors[:, :1])], 1),
            mode=pyrender.GLTF.TRIANGLES,
        )
        scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0])
        scene.add(pyrender.Mesh([primitive]))
        scene.add(intrinsics, pose=np.eye(4))
        rgba = offscreen.render(scene, flags)[0]
        under = 1 - rgba[..., 3:] / np.float32(255)
        return (frame * under + rgba[..., :3]).astype(np.uint8)

    return draw


def _mean_difference(one: Rendering, other: Rendering) -> float:
    both = (one.alpha == 1) & (other.alpha == 1)
    return float(np.abs(one.rgb[both].astype(int) - other.rgb[both]).mean())
