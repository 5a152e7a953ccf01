"""Draw the demo clip and its exact truth: two moving hands of which every joint is known.

python -m apps.demo.make_demo [FOLDER]
"""

import tempfile
import zipfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final

import av
import numpy as np
import tyro
from jaxtyping import Float
from rich.progress import track

from apps.demo.scene import CAMERA, FPS, FRAME_COUNT, SIDES, PlacedHand, Scene
from tracker.export.npz import export_npz
from tracker.export.recording import ClipInfo, Recording
from tracker.vision.records import TrackedHand, TrackState
from tracker.whole_file import make_folder, whole_file

HERE: Final = Path(__file__).resolve().parent
MARGIN_PX: Final = 12
SHARE_IN_SIGHT: Final = 0.7
"""A hand is in sight when this part of its joints lies in the picture, `MARGIN_PX` from its edge."""

_ENCODING: Final = {"preset": "veryslow", "crf": "19", "tune": "film", "threads": "1"}
_GRID_PER_M: Final = 2**12  # vertices are stored to 0.12 mm, which makes the file small


def make_demo(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = HERE,
) -> None:
    """Write demo.mp4 and demo.truth.npz into a folder (default: where this program lies)."""
    scene = Scene()
    write_truth(true_hands(scene), make_folder(folder) / "demo.truth.npz")
    write_clip(scene, folder / "demo.mp4")


def true_hands(scene: Scene, frames: Iterable[int] = range(FRAME_COUNT)) -> Recording:
    """Return the hands of these frames, those with no joint in the picture left out."""
    recording = Recording(ClipInfo("demo.mp4", CAMERA, FPS), scene.models["right"])
    for frame in frames:
        hands = [scene.hand(side, frame / FPS) for side in SIDES]
        seen = [_as_tracked(scene, hand, frame / FPS) for hand in hands if _share(hand, 0) > 0]
        recording.append(frame, frame / FPS, seen)
    return recording


def _as_tracked(scene: Scene, hand: PlacedHand, time_s: float) -> TrackedHand:
    state: TrackState = "tracked" if _share(hand, MARGIN_PX) >= SHARE_IN_SIGHT else "lost"
    return TrackedHand(
        track_id=SIDES.index(hand.side),
        side=hand.side,
        state=state,
        score=1.0,
        joints=hand.joints,
        uv=_pixels(hand),
        vertices=hand.vertices,
        faces=scene.models[hand.side].faces.numpy(),
        colors=scene.albedo,
        params=hand.params,
        timestamp_s=time_s,
    )


def _pixels(hand: PlacedHand) -> Float[np.ndarray, "21 2"]:
    return CAMERA.project(hand.joints.astype(np.float64))


def _share(hand: PlacedHand, margin_px: float) -> float:
    """Return the part of the joints in the picture, this far from its edge."""
    uv, (height, width) = _pixels(hand), CAMERA.hw
    inside = (uv >= margin_px) & (uv <= np.array([width, height]) - margin_px)
    return float(inside.all(-1).mean())


def write_truth(truth: Recording, path: Path) -> None:
    """Write the truth as a compressed `hands.npz`."""
    with tempfile.TemporaryDirectory() as folder, whole_file(path) as partial:
        (plain,) = export_npz(truth, Path(folder))
        with np.load(plain) as arrays, zipfile.ZipFile(partial, "w") as packed:
            for name in arrays.files:
                # Frame after frame of one coordinate packs better than vertex after vertex.
                array = np.array(arrays[name], order="F")
                if name == "vertices":
                    array = np.round(array * _GRID_PER_M) / np.float32(_GRID_PER_M)
                member = zipfile.ZipInfo(f"{name}.npy")  # undated: equal truths, equal files
                member.compress_type = zipfile.ZIP_LZMA
                with packed.open(member, "w") as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)


def write_clip(scene: Scene, path: Path) -> None:
    """Draw and encode all frames (H.264), smaller and more slowly than `tracker.export.video` does."""
    with (
        whole_file(path) as partial,
        av.open(str(partial), "w", options={"movflags": "faststart"}) as container,
    ):
        stream = container.add_stream("libx264", rate=Fraction(FPS), options=_ENCODING)
        stream.height, stream.width = CAMERA.hw
        stream.pix_fmt = "yuv420p"
        for frame in track(range(FRAME_COUNT), "drawing"):
            picture = av.VideoFrame.from_ndarray(scene.draw(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def main() -> None:
    """Run the program."""
    tyro.cli(make_demo)


if __name__ == "__main__":
    main()
