"""`python -m train submit freihand|ho3d`: a network's answers as the evaluation servers want them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress

from tracker.geometry.hand_model import HandModel
from tracker.geometry.skeleton import permutation
from train.dataset_joints import MANO, RULE_IN_WORDS, rule_for
from train.datasets import open_dataset
from train.datasets.ho3d import CV_FROM_GL
from train.datasets.mixing import ordered_batches
from train.datasets.sample import Dataset
from train.errors import TrainingError
from train.evaluate_crops import BoxRegions
from train.predictor import DeviceName, NetworkPredictor, Predictor, pick_device
from train.progress import counting_progress
from train.submission_file import Answers, write_submission

Server = Literal["freihand", "ho3d"]
MANO_VERTICES: Final = 778
"""Length of the surface that both servers expect."""
_TO_HO3D: Final = permutation("handloom", "ho3d")


@dataclass(frozen=True)
class Hands:
    """Hands of some pictures in their own cameras' frames (OpenCV), metres, in our joint order."""

    joints: Float[np.ndarray, "b 21 3"]
    vertices: Float[np.ndarray, "b V 3"]


def submit(
    server: Server,
    /,
    *,
    weights: Path,
    data: Path,
    out: Path = Path("pred.zip"),
    keypoints: Path | None = None,
    hand_model: Path | None = None,
    batch: int = 32,
    device: DeviceName = "auto",
) -> None:
    """Answer every picture of an evaluation set and write the archive its server takes.

    The true joints are never looked at, also where they lie beside the pictures.

    Args:
        server: Whose evaluation part it is.
        weights: Network that a run exported.
        data: Folder of the data set.
        out: Archive to write, with pred.json inside.
        keypoints: Label file with detected joints, which say where the hand is; by default the box
            that the data set gives (FreiHAND: the whole picture).
        hand_model: Hand file the network was trained for; by default the open hand.
        batch: Pictures at a time.
        device: Where to compute.
    """
    hand, console = HandModel.load(hand_model), Console(stderr=True)
    if len(hand.v_template) != MANO_VERTICES:
        raise TrainingError(
            f"the servers take surfaces of {MANO_VERTICES} vertices, the hand {hand.model_id} has "
            f"{len(hand.v_template)}; submit a network trained on a hand of MANO's size"
        )
    rule = rule_for(server, hand)
    predictor = NetworkPredictor.read(weights, hand, rule, pick_device(device))
    side = predictor.network.config.input_px
    dataset = evaluation_set(server, data, keypoints)
    with counting_progress(console) as progress:
        answers = all_answers(predictor, dataset, side, batch, progress)
    write_submission(out, in_server_terms(server, answers))
    console.print(
        f"{out}: {len(dataset)} hands for {server}; joints: {RULE_IN_WORDS[rule]}", markup=False
    )
    if hand.model_id != MANO:
        console.print(
            f"[yellow]the surface is that of {hand.model_id}, whose vertices are not MANO's: the "
            "server's vertex errors and F-scores will mean nothing[/]"
        )


def evaluation_set(server: Server, root: Path, keypoints: Path | None) -> Dataset:
    """Open an evaluation part, without its true joints as a guide to the hands.

    Raises:
        DatasetError: it cannot be used.
    """
    words = f"{server}:{root},split=evaluation"
    if keypoints is not None:
        return open_dataset(f"{words},keypoints={keypoints}")
    return BoxRegions(open_dataset(words))


def all_answers(
    predictor: Predictor, dataset: Dataset, side: int, batch: int, progress: Progress
) -> Hands:
    """Return the hands of every sample in the data set's order.

    Raises:
        SampleError: a sample is broken; a submission needs every one.
    """
    task = progress.add_task(dataset.name, total=len(dataset))
    joints, vertices = [], []
    for part in _hands(predictor, dataset, side, batch):
        joints.append(part.joints.astype(np.float32))
        vertices.append(part.vertices.astype(np.float32))
        progress.advance(task, len(part.joints))
    return Hands(np.concatenate(joints), np.concatenate(vertices))


def _hands(predictor: Predictor, dataset: Dataset, side: int, batch: int) -> Iterator[Hands]:
    for made in ordered_batches(dataset, batch=batch, hw_px=side):
        found = predictor(made)
        # The crop's camera is rolled against the picture's: xyz_crop = turn @ xyz.
        turn = made.crop_from_cam.double().numpy()
        yield Hands(found.joints @ turn, found.vertices @ turn)


def in_server_terms(server: Server, hands: Hands) -> Answers:
    """Return hands in a server's frame and joint order.

    FreiHAND: ours, OpenCV's frame (x right, y down, z forward). HO-3D: OpenGL's frame (y up, z
    backward), the 16 joints of MANO followed by the tips, thumb to pinky.
    """
    terms: dict[Server, Callable[[], Answers]] = {
        "freihand": lambda: Answers(hands.joints, hands.vertices),
        "ho3d": lambda: Answers(
            hands.joints[:, _TO_HO3D] * CV_FROM_GL, hands.vertices * CV_FROM_GL
        ),
    }
    return terms[server]()
