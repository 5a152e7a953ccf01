"""Frames, regions and sides around the network: what it sees and says is the same as in training."""

import numpy as np
import pytest
import torch

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.vision.crop_camera import crop_view
from tracker.vision.crops import cut
from tracker.vision.engines.answers import NetworkEngine
from tracker.vision.engines.on_torch import TorchRunner
from tracker.vision.network import NetworkConfig, NetworkOutput, S2HandNetwork, decode
from tracker.vision.records import Frame, Roi
from tracker.vision.regressor import Regressor
from train.datasets.synthetic import SyntheticConfig, SyntheticHands

PX = 128


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load()


@pytest.fixture(scope="module")
def network(hand: HandModel) -> S2HandNetwork:
    """Random, but with heads that differ from picture to picture."""
    torch.manual_seed(3)
    config = NetworkConfig("mobilenetv4_conv_small", PX, joint_maps=True)
    network = S2HandNetwork(config.for_hand(hand)).eval()
    with torch.no_grad():
        for head in ("pose", "betas", "scale", "rotation", "transl"):
            getattr(network.geometry, head)[-1].weight *= 200
        network.joints.heat.weight *= 20
    return network


@pytest.fixture(scope="module")
def regressor(network: S2HandNetwork, hand: HandModel) -> Regressor:
    return Regressor(NetworkEngine(network, TorchRunner(network)), hand)


@torch.no_grad()
def said(network: S2HandNetwork, crop: np.ndarray, K: np.ndarray) -> NetworkOutput:
    rgb = torch.from_numpy(crop.astype(np.float32) / 255).permute(2, 0, 1)[None]
    return network(rgb, torch.from_numpy(K.astype(np.float32))[None])


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    sample = SyntheticHands(SyntheticConfig(size_px=200))[5]
    return np.pad(sample.rgb, ((20, 60), (50, 70), (0, 0)))


@pytest.fixture(scope="module")
def camera(picture: np.ndarray) -> Camera:
    height, width = picture.shape[:2]
    K = np.array([[410.0, 0, width / 2 + 9], [0, 420, height / 2 - 4], [0, 0, 1]])
    return Camera(K, (height, width))


@torch.no_grad()
def test_a_region_that_is_the_frame_gives_the_networks_own_hand(network, regressor, hand):
    sample = SyntheticHands(SyntheticConfig(size_px=PX))[3]
    roi = Roi(np.full(2, PX / 2), float(PX), 0.0)
    frame = Frame(sample.rgb, Camera(sample.K, (PX, PX)))
    found = regressor(frame, [roi], ["right"])[0]
    output = said(network, sample.rgb, sample.K)
    mesh = decode(output, hand)
    np.testing.assert_allclose(found.vertices, mesh.vertices[0].numpy(), atol=2e-6)
    np.testing.assert_allclose(found.joints, mesh.joints[0].numpy(), atol=2e-6)
    np.testing.assert_allclose(found.texture, output.texture[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(found.light, output.light[0].numpy(), atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_turned_region_is_put_back_into_the_frames_camera(
    network, regressor, hand, picture, camera, side
):
    roi = Roi(np.array([150.0, 120.0]), 170.0, 0.7)
    found = regressor(Frame(picture, camera), [roi], [side])[0]
    # The slow way: mirror the whole picture, cut, and turn the surface itself.
    view, seen, canonical = picture, camera, roi
    if side == "left":
        view, seen = np.ascontiguousarray(picture[:, ::-1]), camera.mirrored()
        center = np.array([picture.shape[1] - roi.center_uv[0], roi.center_uv[1]])
        canonical = Roi(center, roi.size_px, -roi.angle_rad)
    rolled = crop_view(seen.K, canonical, PX)
    output = said(network, cut(view, canonical, PX), rolled.K)
    surface = decode(output, hand).vertices[0].double().numpy() @ rolled.crop_from_cam
    toward = output.light[0, 8:].double().numpy() @ rolled.crop_from_cam
    flip = np.array([-1.0 if side == "left" else 1.0, 1, 1])
    # Bytes of the crop may be rounded otherwise in the mirrored picture: a fraction of a millimetre here.
    np.testing.assert_allclose(found.vertices, surface * flip, atol=1e-3)
    np.testing.assert_allclose(found.light[8:], toward * flip, atol=1e-3)


def test_joints_that_are_seen_lie_on_the_picture_of_the_region(regressor, picture, camera):
    roi = Roi(np.array([150.0, 120.0]), 170.0, 0.4)
    look = regressor.look(Frame(picture, camera), camera, [roi], ["right"])[0]
    assert look.uv is not None
    assert np.linalg.norm(look.uv - roi.center_uv, axis=1).max() < roi.size_px / np.sqrt(2)


def test_hands_of_both_sides_go_through_together(regressor, picture, camera):
    rois = [Roi(np.array([150.0, 120.0]), 170.0, 0.7), Roi(np.array([130.0, 110.0]), 200.0, -0.2)]
    frame = Frame(picture, camera)
    both = regressor(frame, rois, ["left", "right"])
    alone = [
        regressor(frame, [roi], [side])[0]
        for roi, side in zip(rois, ["left", "right"], strict=True)
    ]
    for a, b in zip(both, alone, strict=True):
        np.testing.assert_allclose(a.vertices, b.vertices, atol=1e-5)
    assert regressor(frame, [], []) == []
