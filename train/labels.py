"""`python -m train labels FOLDER`: 2D keypoints for pictures and videos that have none."""

from pathlib import Path

from rich.console import Console

from train.datasets.image_folder import LEAST_CONFIDENCE
from train.datasets.keypoint_files import labels_as_json, read_labels, write_labels
from train.label_folder import LabelReport, label_folder
from train.label_hands import LabelConfig
from train.progress import counting_progress


def labels(
    folder: Path,
    /,
    *,
    out: Path | None = None,
    views: int = 6,
    jobs: int = 2,
    max_hands: int = 2,
    every: int = 1,
) -> None:
    """Detect hands and their 21 joints in a folder, with a confidence for each joint.

    Interrupt it when you like: the next call goes on where this one stopped.

    Args:
        folder: Folder with pictures, videos or both.
        out: Label file; by default labels.npz in the folder.
        views: How often each hand is looked at; how far the views agree is the confidence.
        jobs: Processes.
        max_hands: Most hands in one picture.
        every: Of a video, look at every so-manieth frame.
    """
    config = LabelConfig(views=views, max_hands=max_hands)
    console = Console(stderr=True)
    with counting_progress(console) as progress:
        task = progress.add_task("labels", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        report = label_folder(folder, out, config=config, jobs=jobs, every=every, on_progress=show)
    console.print(summary(report, out or folder / "labels.npz"))


def import_labels(source: Path, out: Path, /) -> None:
    """Turn OpenPose's JSON or the paper's detect.json into a label file.

    Args:
        source: JSON file, or a folder of OpenPose's files.
        out: Label file to write: .npz, or .json for other programs.
    """
    found = read_labels(source)
    if out.suffix.lower() == ".json":
        out.write_text(labels_as_json(found), "utf-8")
    else:
        write_labels(out, found)


def summary(report: LabelReport, out: Path) -> str:
    """Return what a run did, in a few lines for people."""
    hands = [label for label in report.labels if label.side != "none"]
    unsure = sum(float(label.confidence.mean()) < LEAST_CONFIDENCE for label in hands)
    mean = sum(float(label.confidence.mean()) for label in hands) / max(len(hands), 1)
    lines = [
        f"{out}: {len(hands)} hands in {len({label.name for label in hands})} pictures, mean "
        f"confidence {mean:.2f}; {unsure} too unsure to train on; {report.without_hand} pictures "
        f"without a hand; {report.labelled} files labelled now, {report.resumed} before",
        *(f"broken: {problem}" for problem in report.broken.values()),
    ]
    return "\n".join(lines)
