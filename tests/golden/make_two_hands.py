"""Draws tests/golden/two_hands.png: run `python tests/golden/make_two_hands.py`, then look at it.

To be run again when the open hand, the light or the renderer change on purpose, never to make a
test pass. The picture is RGBA, so that it fixes colours and outline apart.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tracker.geometry.camera import Camera
from tracker.geometry.hand_files import read_hand_file
from tracker.geometry.hand_model import HandModel, Side
from tracker.geometry.skin_tones import skin_texture
from tracker.view.renderer import Mesh
from tracker.view.software_renderer import SoftwareRenderer

PICTURE = Path(__file__).with_name("two_hands.png")
CAMERA = Camera.from_fov((270, 360), 40.0)


def posed_hand(
    side: Side, *, sample: int, orient: tuple[float, float, float], at: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices with their middle at `at` (m), faces and joints of a hand in a pose sample."""
    model = HandModel.load(side=side)
    coefficients = torch.from_numpy(read_hand_file().hands_coeffs[sample : sample + 1]).float()
    shaped = model.with_shape(torch.zeros(1, 10))
    mesh = shaped.with_pose(torch.tensor([orient]), model.pose_from_pca(coefficients)).skin()
    shift = np.float32(at) - mesh.vertices[0].numpy().mean(0)
    return mesh.vertices[0].numpy() + shift, model.faces.numpy(), mesh.joints[0].numpy() + shift


def two_hands() -> list[Mesh]:
    """A pale right hand showing its palm, and a brown left hand in front of it."""
    rng = np.random.default_rng(0)
    right = posed_hand("right", sample=0, orient=(1.57, 0.0, 0.0), at=(-0.03, 0.03, 0.42))
    left = posed_hand("left", sample=3, orient=(1.2, 0.3, 0.5), at=(0.02, -0.03, 0.36))
    arrays = read_hand_file()
    return [
        Mesh(vertices, faces, skin_texture(arrays, tone, rng))
        for (vertices, faces, _), tone in ((right, 3.5), (left, 7.0))
    ]


if __name__ == "__main__":
    drawn = SoftwareRenderer().render(two_hands(), CAMERA)
    alpha = np.round(drawn.alpha * 255).astype(np.uint8)
    Image.fromarray(np.dstack([drawn.rgb, alpha])).save(PICTURE, optimize=True)
