"""How much of a photograph the network's colours and light explain, on hands it never saw.

Each held-out photograph is reconstructed by the network alone and drawn in the crop of its hand.
Inside the drawn mask (whole pixels only) the mean absolute difference to the photograph, over RGB
in [0, 1], is compared with what one constant colour leaves: the mean of all hands, which is what a
renderer without appearance could know, and each hand's own mean, which it could not.

Left out is a photograph without a hand that the palm detector finds. A contact sheet of
photograph, render and overlay, from light to dark skin, goes to `out/benchmarks/texture.png`.
The names are those of `pool_heldout.json`, the pictures lie under `pool/`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from PIL import Image

from benchmarks.labelled import REPOSITORY, data_folder
from benchmarks.metric import Metric
from benchmarks.network import network_file
from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.geometry.rasteriser import RasterTopology, rasterise
from tracker.geometry.vertex_light import light_vertices, vertex_normals
from tracker.view.contact_sheet import contact_sheet
from tracker.vision.crop_camera import crop_view
from tracker.vision.crops import cut, roi_from_landmarks
from tracker.vision.engines.choosing import open_engine
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.network_files import read_network
from tracker.vision.records import Frame, Reconstruction, Roi
from tracker.vision.regressor import Regressor

SHEET = REPOSITORY / "out" / "benchmarks" / "texture.png"
_CROP_PX = 224
_QUICK = 24
_MOST_SHOWN = 60
_FEWEST_PX = 200
"""Of a mask in the crop; a hand fills some 12,000."""


@dataclass(frozen=True)
class Look:
    """One hand's crop beside what the network draws there, RGB in [0, 1]."""

    photo: Float32[np.ndarray, "h w 3"]
    render: Float32[np.ndarray, "h w 3"]
    mask: Float32[np.ndarray, "h w"]

    @property
    def inside(self) -> Bool[np.ndarray, "h w"]:
        """Pixels that the hand covers wholly."""
        return self.mask > 0.99

    @property
    def mean_rgb(self) -> Float32[np.ndarray, " 3"]:
        """The photograph's mean colour inside."""
        return self.photo[self.inside].mean(0)

    @property
    def lightness(self) -> float:
        """L* of that colour, 0 to 100. Measures of skin that use hue fail under coloured light."""
        return float(cv2.cvtColor(self.mean_rgb[None, None], cv2.COLOR_RGB2LAB)[0, 0, 0])

    def overlay(self) -> Float32[np.ndarray, "h w 3"]:
        """Return the photograph with the hand drawn on it."""
        return self.photo * (1 - self.mask[..., None]) + self.render


def run(quick: bool) -> list[Metric]:
    """Measure on the held-out photographs and write the contact sheet."""
    folder, network = data_folder(), network_file()
    if folder is None or not (folder / "pool_heldout.json").is_file():
        print("texture: no held-out photographs (set HANDLOOM_TEST_DATA)")
        return []
    if network is None:
        print("texture: no trained network (set HANDLOOM_NETWORK); nothing is measured")
        return []
    files = held_out(folder)
    if quick:
        files = files[:: max(len(files) // _QUICK, 1)]
    looks = list(_looks(files, network))
    print(f"texture: {len(looks)} hands in {len(files)} photographs")
    if not looks:
        return []
    write_sheet(looks, SHEET)
    return metrics(looks)


def held_out(folder: Path) -> list[Path]:
    """Return the photographs that no training may see."""
    names = json.loads((folder / "pool_heldout.json").read_text())
    files = [folder / "pool" / name for name in names]
    return [file for file in files if file.is_file()]


def metrics(looks: Sequence[Look]) -> list[Metric]:
    """Return the render's L1 beside that of constant colours, each hand counting once."""
    render = float(np.mean([l1(look, look.render) for look in looks]))
    common = np.mean([look.mean_rgb for look in looks], 0)
    constants = {
        "": ("mean colour of all hands", [l1(look, common) for look in looks]),
        "_own": ("each hand's own mean colour", [l1(look, look.mean_rgb) for look in looks]),
    }
    return [
        Metric(
            f"texture_l1{end}", render, "of 1", name, float(np.mean(left)), render / np.mean(left)
        )
        for end, (name, left) in constants.items()
    ] + [
        Metric(
            f"texture_closer_percent{end}",
            100 * (1 - render / float(np.mean(left))),
            "%",
            f"{name}; goal 40 %" if not end else name,
            better="higher",
        )
        for end, (name, left) in constants.items()
    ]


def l1(look: Look, colors: Float[np.ndarray, "*hw 3"]) -> float:
    """Return the mean absolute difference of `colors` (a picture or one colour) inside the mask."""
    apart = np.abs(look.photo - colors)
    return float(apart[look.inside].mean())


def _looks(files: Sequence[Path], network: Path) -> Iterator[Look]:
    """Find, reconstruct and draw the surest hand of each photograph."""
    hand = HandModel.load()
    finder = HandTracker(
        HandTrackerConfig(mode="landmarks", static=True, texture_every=0, max_hands=1)
    )
    regressor = Regressor(open_engine(read_network(network, hand)), hand)
    topology = {
        "right": RasterTopology.of(hand.faces.numpy()),
        "left": RasterTopology.of(np.ascontiguousarray(hand.faces.numpy()[:, ::-1])),
    }
    for file in files:
        with Image.open(file) as image:
            frame = Frame(np.array(image.convert("RGB")))
        camera = Camera.from_fov(frame.rgb.shape[:2], assumed=True)
        for found in finder(frame):
            roi = roi_from_landmarks(found.uv)
            (seen,) = regressor(frame, [roi], [found.side])
            look = _drawn(frame, camera, roi, seen, topology[found.side])
            if look.inside.sum() >= _FEWEST_PX:
                yield look


def _drawn(
    frame: Frame, camera: Camera, roi: Roi, seen: Reconstruction, topology: RasterTopology
) -> Look:
    """Draw a reconstruction with its own colours and light in the crop of its hand."""
    assert seen.texture is not None
    assert seen.light is not None
    view = crop_view(camera.K, roi, _CROP_PX)
    light = np.concatenate([seen.light[:8], view.crop_from_cam @ seen.light[8:]])
    vertices, texture, light, K = (
        torch.from_numpy(np.asarray(part, np.float32))[None]
        for part in (view.points(seen.vertices), seen.texture, light, view.K)
    )
    normals = vertex_normals(vertices, torch.from_numpy(topology.faces.copy()))
    colors = light_vertices(texture, light, normals).clamp(0, 1)
    drawn = rasterise(vertices, colors, K, topology, (_CROP_PX, _CROP_PX))
    photo = cut(frame.rgb, roi, _CROP_PX).astype(np.float32) / 255
    return Look(photo, drawn.rgb[0].numpy(), drawn.mask[0].numpy())


def write_sheet(looks: Sequence[Look], file: Path) -> None:
    """Draw photograph, render and overlay of up to sixty hands, from light to dark skin."""
    ordered = sorted(looks, key=lambda look: -look.lightness)
    places = np.linspace(0, len(ordered) - 1, min(len(ordered), _MOST_SHOWN)).round().astype(int)
    images: list[np.ndarray] = []
    captions: list[str] = []
    for look in (ordered[place] for place in places):
        views = (look.photo, look.render, look.overlay())
        images += [np.round(255 * view.clip(0, 1)).astype(np.uint8) for view in views]
        captions += [f"L* {look.lightness:.0f}", f"L1 {l1(look, look.render):.3f}"]
        captions += [f"own mean {l1(look, look.mean_rgb):.3f}"]
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(contact_sheet(images, captions, columns=12, tile_px=128)).save(file)
    print(f"texture: {len(places)} hands from light to dark in {file}")
