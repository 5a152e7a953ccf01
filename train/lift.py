"""`python -m train lift FOLDER`: joints in space for labels that have pixels only."""

import logging
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tracker.errors import HandloomError
from tracker.geometry.camera import ASSUMED_FOV_DEG
from tracker.geometry.hand_model import HandModel
from train.datasets.image_folder import LEAST_CONFIDENCE, find_labels
from train.datasets.keypoint_files import HandLabel, read_labels, write_labels
from train.label_folder import SAVE_EVERY_S
from train.labelled_pictures import Picture, labelled_pictures
from train.lift_hands import HandLifter
from train.progress import counting_progress

_log = logging.getLogger(__name__)


def lift(
    folder: Path,
    /,
    *,
    labels: Path | None = None,
    out: Path | None = None,
    fov_deg: float = ASSUMED_FOV_DEG,
    hand_model: Path | None = None,
) -> None:
    """Fit the hand model to labelled pictures and videos, for networks to learn depth from as well.

    The paper learns from keypoints in pixels alone. This goes beyond it, still without annotation:
    what the tracker's fit makes of a picture's keypoints becomes a pseudo-label of its joints in
    space. Train with `--data images:FOLDER,lifted=yes` (or `videos:`) and a positive `--weights.truth`.
    Interrupt it when you like: the next call goes on where this one stopped.

    Args:
        folder: Folder with pictures, videos or both.
        labels: Label file; by default labels.npz or labels.json in the folder.
        out: File for the labels with joints in space (.npz); by default labels.npz in the folder.
        fov_deg: Assumed angle across the longer side of the pictures, degrees; where labels know
            their camera, it is theirs.
        hand_model: Hand file; the open hand by default.
    """
    source = labels or find_labels(folder)
    out = out or folder / "labels.npz"
    # What an earlier call has lifted lies in `out`.
    found = read_labels(out if out.is_file() else source)
    todo = [i for i, label in enumerate(found) if _worth_lifting(label)]
    console = Console(stderr=True, highlight=False)
    counts: Counter[str] = Counter()
    lifter = HandLifter(HandModel.load(hand_model), fov_deg=fov_deg)
    saved_s = time.monotonic()
    try:
        with counting_progress(console) as progress:
            pictures = labelled_pictures(folder, [found[i] for i in todo])
            for number, rgb in progress.track(pictures, len(todo), description="lift"):
                i = todo[number]
                found[i], said = _lifted(lifter, rgb, found[i])
                counts[said] += 1
                if time.monotonic() - saved_s > SAVE_EVERY_S:
                    write_labels(out, found)
                    saved_s = time.monotonic()
    finally:
        write_labels(out, found)
    console.print(summary(counts, out, found), markup=False, soft_wrap=True)


def _worth_lifting(label: HandLabel) -> bool:
    new = label.side != "none" and label.xyz is None
    return new and float(label.confidence.mean()) >= LEAST_CONFIDENCE


def _lifted(
    lifter: HandLifter, rgb: Picture | HandloomError, label: HandLabel
) -> tuple[HandLabel, str]:
    """Return the label and, in a word, what came of it."""
    try:
        if isinstance(rgb, HandloomError):
            raise rgb
        lifted = lifter(rgb, label)
    except HandloomError as problem:
        _log.warning("left out: %s", problem)
        return replace(label, xyz=None), "broken"
    return lifted, "lifted" if lifted.xyz is not None else "unexplained"


def summary(counts: Counter[str], out: Path, labels: list[HandLabel]) -> str:
    """Return what a run did, in a line for people."""
    have = sum(label.xyz is not None for label in labels)
    return (
        f"{out}: {have} hands with joints in space, {counts['lifted']} of them lifted now; "
        f"{counts['unexplained']} that no hand explains, {counts['broken']} broken"
    )
