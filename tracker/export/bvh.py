"""`hand_right_1.bvh`: one motion-capture skeleton for each track, for animation programs.

Centimetres (what Maya, MotionBuilder and Unreal assume; in Blender choose a scale of 0.01), y up
and z towards the viewer as in glTF. The wrist is the root with six channels, the finger joints turn
in the order Z, X, Y. There is one line for each frame of the clip: before the hand's first frame and
in gaps the nearest earlier pose is held, for BVH cannot hide anything.

BVH has one set of bone lengths, so a hand whose shape still changes is drawn with its median shape
and size; and one frame time, so frames of uneven length are spread evenly. `hands.npz` and
`hands.glb` carry both.
"""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from tracker.export.recording import Recording, Track, blocks, posed
from tracker.export.rig import rest_of
from tracker.geometry.skeleton import JOINTS, MANO_JOINTS, MANO_PARENTS
from tracker.whole_file import make_folder, remove_stale, whole_file

CM_PER_M: Final = 100.0
_ROTATION_CHANNELS: Final = "Zrotation Xrotation Yrotation"
_TIP_OF: Final = {
    MANO_JOINTS.index(JOINTS[i - 1]): i for i, name in enumerate(JOINTS) if name.endswith("_tip")
}
"""The tip (of the 21 joints) at the end of each of the last MANO joints."""


def export_bvh(recording: Recording, folder: Path) -> list[Path]:
    """Write `hand_SIDE_TRACK.bvh` for each track; those of an earlier run are removed.

    Raises:
        OutputError: one of them cannot be written.
    """
    make_folder(folder)
    written: list[Path] = []
    for track in recording.tracks:
        path = folder / f"{track.name}.bvh"
        with whole_file(path) as partial:
            partial.write_text(encode_bvh(recording, track), encoding="ascii")
        written.append(path)
    remove_stale(folder, r"hand_(left|right)_\d+\.bvh", written)
    return written


def encode_bvh(recording: Recording, track: Track) -> str:
    """Return one track as the text of a BVH file."""
    offsets = rest_of(track).joints * CM_PER_M
    offsets[1:] -= offsets[list(MANO_PARENTS[1:])]
    offsets[0] = 0  # the root's place is in its channels
    skeleton = ["HIERARCHY", *_joint_lines(0, offsets, _tip_offsets(track) * CM_PER_M)]
    rows, _ = track.at(recording.frames)
    values = _channels(track)[rows]
    line = " ".join(["%.6f"] * values.shape[1])
    motion = ["MOTION", f"Frames: {len(values)}", f"Frame Time: {_frame_seconds(recording):.8f}"]
    return "\n".join([*skeleton, *motion, *(line % tuple(row) for row in values.tolist()), ""])


def _joint_lines(
    joint: int, offsets: Float[np.ndarray, "16 3"], tips: Float[np.ndarray, "21 3"]
) -> list[str]:
    """Return the lines of a joint and, indented, of all that hangs on it."""
    kind = "JOINT" if joint else "ROOT"
    channels = "3" if joint else "6 Xposition Yposition Zposition"
    inner = [_offset(offsets[joint]), f"CHANNELS {channels} {_ROTATION_CHANNELS}"]
    for child, parent in enumerate(MANO_PARENTS):
        if parent == joint:
            inner += _joint_lines(child, offsets, tips)
    if joint in _TIP_OF:
        inner += ["End Site", "{", f"\t{_offset(tips[_TIP_OF[joint]])}", "}"]
    return [f"{kind} {MANO_JOINTS[joint]}", "{", *(f"\t{line}" for line in inner), "}"]


def _offset(xyz: Float[np.ndarray, " 3"]) -> str:
    return "OFFSET {:.6f} {:.6f} {:.6f}".format(*xyz.tolist())


def _tip_offsets(track: Track) -> Float[np.ndarray, "21 3"]:
    """Return each tip in the frame of its last joint (m; other joints zero), the median over the track.

    A tip is a point of the skin, so it also yields a little to the pose; BVH cannot follow that.
    """
    samples = []
    for rows in blocks(track.rows):
        turns = posed(track.model, rows).joint_transforms()[0].numpy()[:, list(_TIP_OF)]
        tips = list(_TIP_OF.values())
        bones = rows["joints"][:, tips] - rows["joints"][:, [tip - 1 for tip in tips]]
        local = (turns.swapaxes(-1, -2) @ bones[..., None])[..., 0]
        samples.append(local / rows["scale"][:, None, None])
    offsets = np.zeros((len(JOINTS), 3))
    offsets[list(_TIP_OF.values())] = np.median(np.concatenate(samples), 0) * track.median_scale
    return offsets


def _channels(track: Track) -> Float[np.ndarray, "n 51"]:
    """Return the root's place (cm) and the 16 joints' angles (degrees) for each row."""
    y_up = np.array([1.0, -1.0, -1.0])
    places = track.rows["joints"][:, 0] * y_up * CM_PER_M
    wrist = Rotation.from_matrix(np.diag(y_up)) * Rotation.from_rotvec(track.rows["global_orient"])
    fingers = Rotation.from_rotvec(track.rows["hand_pose"].reshape(-1, 3))
    angles = np.concatenate(
        [
            wrist.as_euler("ZXY", degrees=True),
            fingers.as_euler("ZXY", degrees=True).reshape(len(places), 45),
        ],
        axis=1,
    )
    return np.concatenate([places, np.unwrap(angles, period=360, axis=0)], 1)


def _frame_seconds(recording: Recording) -> float:
    seconds = recording.timestamps_s
    if len(seconds) < 2:
        return 1 / recording.info.fps
    return float(seconds[-1] - seconds[0]) / (len(seconds) - 1)
