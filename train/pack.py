"""`python -m train pack FOLDER --out SMALL`: labelled hands in few megabytes, to train on elsewhere."""

from pathlib import Path

from rich.console import Console

from tracker.geometry.camera import ASSUMED_FOV_DEG
from train.datasets.image_folder import LEAST_CONFIDENCE
from train.pack_folder import PackConfig, pack_folder
from train.progress import counting_progress


def pack(
    folder: Path,
    /,
    *,
    out: Path,
    labels: Path | None = None,
    megabytes: float = 60.0,
    input_px: int = 224,
    fov_deg: float = ASSUMED_FOV_DEG,
    min_confidence: float = LEAST_CONFIDENCE,
    quality: int | None = None,
    jobs: int = 2,
) -> None:
    """Pack the labelled hands of a folder of pictures into few megabytes, for training elsewhere.

    Each hand becomes a small picture of all that training crops of it can show. Train on them with
    `--data images:OUT`. The new folder appears when it is whole, or not at all.

    Args:
        folder: Folder with pictures.
        out: Folder to make.
        labels: Label file; by default labels.npz or labels.json in the folder.
        megabytes: Most that the new folder may hold, in millions of bytes.
        input_px: Side of the crops that the network will see; larger hands are averaged down to it.
        fov_deg: Assumed angle across the longer side of the pictures, degrees.
        min_confidence: Least mean confidence of a hand.
        quality: Of the JPEGs, to 100; by default the best at which all hands fit, 70 at least.
        jobs: Threads.
    """
    config = PackConfig(megabytes, input_px, fov_deg, min_confidence, quality, jobs)
    console = Console(stderr=True, highlight=False)
    with counting_progress(console) as progress:
        task = progress.add_task("pack", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        report = pack_folder(folder, out, labels, config, on_progress=show)
    console.print(f"{out}: {report}", markup=False, soft_wrap=True)
