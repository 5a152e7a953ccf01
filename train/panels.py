"""Pictures that show how training goes: crops, joints, renders and colours side by side."""

from typing import Final

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from tracker.geometry.skeleton import BONES
from tracker.vision.network import S2HandNetwork
from train.batch import TrainBatch
from train.objective import HandPrediction, Objective

_SHOWN: Final = 6
_SHIFT_BITS: Final = 4
"""cv2 draws at sixteenths of a pixel."""
_DETECTED: Final = (255, 200, 40)
_OURS: Final = (40, 220, 255)


@torch.no_grad()
def panel(
    objective: Objective, network: S2HandNetwork, batch: TrainBatch
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a sheet with a row for each hand.

    From the left: the crop with its keypoints (yellow) and the network's joints (blue), the render
    over the crop, the render alone, and the albedo without light on the hand seen from its back.
    """
    learning = network.training
    network.eval()
    few = batch.map(lambda tensor: tensor[:_SHOWN])
    hand = objective.predict(network, few, draw=True)
    network.train(learning)
    assert hand.rendered is not None
    image = few.rgb.permute(0, 2, 3, 1)
    alone = hand.rendered.rgb
    over = alone + (1 - hand.rendered.mask)[..., None] * image
    columns = (_with_joints(few, hand), _bytes(over), _bytes(alone), _albedo(objective, few, hand))
    return np.concatenate([np.concatenate(list(column)) for column in columns], 1)


def _with_joints(batch: TrainBatch, hand: HandPrediction) -> UInt8[np.ndarray, "b h w 3"]:
    pictures = _bytes(batch.rgb.permute(0, 2, 3, 1))
    for picture, seen, confidence, uv in zip(
        pictures, _array(batch.uv), _array(batch.confidence), _array(hand.uv), strict=True
    ):
        _draw(picture, seen, _DETECTED, confidence > 0)
        _draw(picture, uv, _OURS, np.isfinite(uv).all(1))
    return pictures


def _draw(
    picture: np.ndarray, uv: np.ndarray, color: tuple[int, int, int], shown: np.ndarray
) -> None:
    """Draw a skeleton into the picture; pixel centres are at 0.5 here and at 0 in cv2."""
    # Far outside nothing is seen, and cv2 wants numbers that fit.
    places = np.nan_to_num(uv).clip(-1e4, 1e4) - 0.5
    points = np.rint(places * 2**_SHIFT_BITS).astype(int)
    for a, b in BONES:
        if shown[a] and shown[b]:
            ends = tuple(map(int, points[a])), tuple(map(int, points[b]))
            cv2.line(picture, *ends, color, 1, cv2.LINE_AA, _SHIFT_BITS)


def _albedo(
    objective: Objective, batch: TrainBatch, hand: HandPrediction
) -> UInt8[np.ndarray, "b h w 3"]:
    """Return each hand's own colours on the mean hand, flat, its back to the camera."""
    model, side = objective.hand, batch.rgb.shape[-1]
    count = len(batch.rgb)
    zero = model.v_template.new_zeros(count, 10)
    mesh = model.with_shape(zero).with_pose(zero[:, :3], model.pose_from_pca(zero[:, :1])).skin()
    # Fingers (-x) up, the back (+y) to the camera: camera from hand, one axis a row.
    turn = mesh.vertices.new_tensor([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
    vertices = mesh.vertices @ turn.T
    middle = (vertices.amax(1, keepdim=True) + vertices.amin(1, keepdim=True)) / 2
    vertices = vertices - middle + vertices.new_tensor([0.0, 0, 1])
    focal_px = 4.2 * side
    K = vertices.new_tensor([[focal_px, 0, side / 2], [0, focal_px, side / 2], [0, 0, 1]])
    drawn = objective.draw_colors(vertices, hand.output.texture, K.expand(count, 3, 3), side)
    return _bytes(drawn.rgb)


def _bytes(pictures: Float[torch.Tensor, "b h w 3"]) -> UInt8[np.ndarray, "b h w 3"]:
    scaled = (pictures.clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(scaled.cpu().numpy())


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
