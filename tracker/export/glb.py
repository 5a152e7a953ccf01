"""`hands.glb`: skinned, animated glTF 2.0 that opens in Blender, three.js and game engines.

Each track is one skinned mesh with vertex colours and MANO's 16 joints by name, under a node that
is scaled to nothing while the hand is not seen. The `camera` node turns the OpenCV camera frame
(y down, z forward) into glTF's (y up, z back) by half a turn about x, and carries the clip's camera,
so the hands lie in the picture where the video shows them. Time starts with the clip's first frame;
there is one key for each frame from a track's first to its last, and gaps hold.
"""

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from tracker.export.gltf import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, GlbBuilder
from tracker.export.recording import Recording, Track
from tracker.export.rig import Motion, Rig, rig_track
from tracker.geometry.camera import Camera
from tracker.geometry.skeleton import MANO_JOINTS, MANO_PARENTS
from tracker.whole_file import make_folder, whole_file

_HALF_TURN_ABOUT_X: Final = [1.0, 0.0, 0.0, 0.0]
_SKIN_ROUGHNESS: Final = 0.6


def export_glb(recording: Recording, folder: Path) -> list[Path]:
    """Write `hands.glb`; its skinned vertices are those of `hands.npz` to within 0.1 mm.

    Raises:
        OutputError: it cannot be written.
    """
    path = make_folder(folder) / "hands.glb"
    with whole_file(path) as partial:
        partial.write_bytes(encode_glb(recording))
    return [path]


def encode_glb(recording: Recording) -> bytes:
    """Return the recording as the bytes of a `.glb` file."""
    builder = GlbBuilder()
    animation = _Animation(builder)
    hands = [_add_track(builder, animation, recording, track) for track in recording.tracks]
    if animation.channels:
        builder.add(
            "animations",
            {"name": "hands", "channels": animation.channels, "samplers": animation.samplers},
        )
    view = builder.add("nodes", _camera_view(builder, recording.info.camera))
    root = builder.add(
        "nodes",
        {
            "name": "camera_frame",
            "rotation": _HALF_TURN_ABOUT_X,
            "children": [view, *(track_node for track_node, _ in hands)],
        },
    )
    scene = {"name": "hands", "nodes": [root, *(mesh_node for _, mesh_node in hands)]}
    return builder.to_bytes({"scene": 0, "scenes": [scene]})


class _Animation:
    """Channels and samplers of the one animation."""

    def __init__(self, builder: GlbBuilder) -> None:
        self._builder = builder
        self.channels: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []

    def times(self, seconds: Float[np.ndarray, " n"]) -> int:
        return self._builder.accessor(seconds.astype(np.float32), bounds=True)

    def animate(
        self, node: int, path: str, times: int, values: np.ndarray, *, step: bool = False
    ) -> None:
        output = self._builder.accessor(values.astype(np.float32))
        interpolation = "STEP" if step else "LINEAR"
        sampler = {"input": times, "output": output, "interpolation": interpolation}
        self.samplers.append(sampler)
        target = {"node": node, "path": path}
        self.channels.append({"sampler": len(self.samplers) - 1, "target": target})


def _add_track(
    builder: GlbBuilder, animation: _Animation, recording: Recording, track: Track
) -> tuple[int, int]:
    """Add one hand; return its node in the camera frame and its mesh node for the scene's root."""
    rig, motion = rig_track(track)
    joints = _add_joints(builder, motion)
    mesh = builder.add("meshes", _mesh(builder, track, rig, motion))
    track_node = builder.add("nodes", {"name": track.name, "children": [joints[0]]})
    skin = {
        "name": track.name,
        "skeleton": joints[0],
        "joints": joints,
        "inverseBindMatrices": builder.accessor(_inverse_bind_matrices(rig)),
    }
    mesh_node = builder.add(
        "nodes",
        {"name": f"{track.name}_mesh", "mesh": mesh, "skin": builder.add("skins", skin)},
    )
    _animate_visibility(animation, recording, track, track_node)
    _animate_hand(animation, recording, track, motion, joints, mesh_node)
    return track_node, mesh_node


def _add_joints(builder: GlbBuilder, motion: Motion) -> list[int]:
    """Add the 16 joint nodes in the pose of the first row, for viewers that do not play."""
    first = builder.count("nodes")
    for joint, name in enumerate(MANO_JOINTS):
        node: dict[str, Any] = {
            "name": name,
            "translation": motion.translations[0, joint].tolist(),
            "rotation": motion.rotations[0, joint].tolist(),
            "scale": [float(motion.scale[0]) if joint == 0 else 1.0] * 3,
        }
        children = [first + child for child, parent in enumerate(MANO_PARENTS) if parent == joint]
        if children:
            node["children"] = children
        builder.add("nodes", node)
    return [first + joint for joint in range(len(MANO_JOINTS))]


def _mesh(builder: GlbBuilder, track: Track, rig: Rig, motion: Motion) -> dict[str, Any]:
    faces = track.model.faces.numpy()

    def attribute(array: np.ndarray, dtype: type, *, bounds: bool = False) -> int:
        return builder.accessor(array.astype(dtype), bounds=bounds, target=ARRAY_BUFFER)

    primitive: dict[str, Any] = {
        "attributes": {
            "POSITION": attribute(rig.vertices, np.float32, bounds=True),
            "NORMAL": attribute(_normals(rig.vertices, faces), np.float32),
            "COLOR_0": attribute(track.linear_colors, np.float32),
            "JOINTS_0": attribute(rig.influences, np.uint8),
            "WEIGHTS_0": attribute(rig.weights, np.float32),
        },
        "indices": builder.accessor(faces.ravel().astype(np.uint16), target=ELEMENT_ARRAY_BUFFER),
        "material": builder.add("materials", _skin_material(track.name)),
    }
    mesh: dict[str, Any] = {"name": track.name, "primitives": [primitive]}
    if len(motion.correctives):
        primitive["targets"] = [
            {"POSITION": attribute(offsets, np.float32, bounds=True)}
            for offsets in motion.correctives
        ]
        mesh["weights"] = motion.corrective_weights[0].tolist()
        names = [f"corrective_{i:02d}" for i in range(len(motion.correctives))]
        mesh["extras"] = {"targetNames": names}
    return mesh


def _animate_visibility(
    animation: _Animation, recording: Recording, track: Track, node: int
) -> None:
    """Scale the track to nothing where it is not seen; glTF has no other switch that all viewers read."""
    changes, _ = track.visibility(recording.frames)
    # The last key makes the animation as long as the clip.
    keys = np.union1d(changes, len(recording.frames) - 1)
    _, seen = track.at(recording.frames[keys])
    times = animation.times(_clip_seconds(recording)[keys])
    animation.animate(node, "scale", times, np.repeat(seen[:, None], 3, 1), step=True)


def _animate_hand(
    animation: _Animation,
    recording: Recording,
    track: Track,
    motion: Motion,
    joints: list[int],
    mesh_node: int,
) -> None:
    frames = recording.frames
    alive = (frames >= track.rows["frame"][0]) & (frames <= track.rows["frame"][-1])
    rows, _ = track.at(frames[alive])
    times = animation.times(_clip_seconds(recording)[alive])
    for joint, node in enumerate(joints):
        animation.animate(node, "rotation", times, motion.rotations[rows, joint])
        if joint == 0 or motion.bones_change:
            animation.animate(node, "translation", times, motion.translations[rows, joint])
    if np.ptp(motion.scale) > 0:
        animation.animate(joints[0], "scale", times, np.repeat(motion.scale[rows, None], 3, 1))
    if len(motion.correctives):
        animation.animate(mesh_node, "weights", times, motion.corrective_weights[rows].ravel())


def _clip_seconds(recording: Recording) -> Float[np.ndarray, " m"]:
    return recording.timestamps_s - recording.timestamps_s[0]


def _inverse_bind_matrices(rig: Rig) -> Float[np.ndarray, "16 4 4"]:
    matrices = np.tile(np.eye(4, dtype=np.float32), (16, 1, 1))
    matrices[:, 3, :3] = -rig.joints  # columns first: the last row here is the translation
    return matrices


def _normals(vertices: np.ndarray, faces: np.ndarray) -> Float[np.ndarray, "V 3"]:
    """Return unit vertex normals, each face counting by its area."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    # A vertex without a face of any area has no normal of its own; glTF wants a unit vector still.
    return np.where(lengths > 0, normals / np.where(lengths > 0, lengths, 1), [0, 0, 1])


def _skin_material(name: str) -> dict[str, Any]:
    surface = {"metallicFactor": 0.0, "roughnessFactor": _SKIN_ROUGHNESS}
    return {"name": name, "pbrMetallicRoughness": surface, "doubleSided": True}


def _camera_view(builder: GlbBuilder, camera: Camera) -> dict[str, Any]:
    """Return a node with the clip's camera; glTF cannot carry a principal point off the centre."""
    height, width = camera.hw
    perspective = {
        "yfov": 2 * math.atan(height / 2 / float(camera.K[1, 1])),
        "aspectRatio": width * float(camera.K[1, 1]) / (height * float(camera.K[0, 0])),
        "znear": 0.01,
    }
    index = builder.add("cameras", {"type": "perspective", "perspective": perspective})
    # A glTF camera looks along its own -z, so it is turned back from the frame it stands in.
    return {"name": "camera", "camera": index, "rotation": _HALF_TURN_ABOUT_X}
