"""`hands.glb`, read by pygltflib and skinned here from the glTF specification alone, and by three.js."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pygltflib
import pytest
from scipy.spatial.transform import Rotation

from tracker.export.glb import encode_glb, export_glb
from tracker.export.npz import HandsFile, export_npz, read_npz
from tracker.export.recording import Recording
from tracker.geometry.skeleton import JOINTS, MANO_JOINTS

Y_UP = np.array([1.0, -1.0, -1.0])
DTYPES = {5126: np.float32, 5123: np.uint16, 5121: np.uint8}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def three_package() -> Path | None:
    """Folder of the npm package three: HANDLOOM_THREE, else node_modules of the repository."""
    repository = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("HANDLOOM_THREE", repository / "node_modules" / "three"))
    return folder if (folder / "package.json").is_file() else None


@dataclass
class Player:
    """A minimal glTF player: what the specification says about animation, morphing and skinning."""

    gltf: pygltflib.GLTF2

    def array(self, index: int) -> np.ndarray:
        accessor = self.gltf.accessors[index]
        view = self.gltf.bufferViews[accessor.bufferView]
        width = WIDTHS[accessor.type]
        array = np.frombuffer(
            self.gltf.binary_blob(),
            DTYPES[accessor.componentType],
            accessor.count * width,
            view.byteOffset,
        )
        assert array.nbytes == view.byteLength
        return array.reshape(accessor.count, width)

    def value(self, node: int, path: str, time_s: float) -> np.ndarray | None:
        """Sample the channel of a node's property; None where it is not animated."""
        animation = self.gltf.animations[0]
        for channel in animation.channels:
            if (channel.target.node, channel.target.path) == (node, path):
                sampler = animation.samplers[channel.sampler]
                times = self.array(sampler.input)[:, 0]
                values = self.array(sampler.output).reshape(len(times), -1)
                if sampler.interpolation == "STEP":
                    return values[max(0, np.searchsorted(times, time_s + 1e-6, side="right") - 1)]
                return np.array([np.interp(time_s, times, column) for column in values.T])
        return None

    def local(self, index: int, time_s: float) -> np.ndarray:
        node = self.gltf.nodes[index]
        defaults = {"translation": [0, 0, 0], "rotation": [0, 0, 0, 1], "scale": [1, 1, 1]}
        animated = {path: self.value(index, path, time_s) for path in defaults}
        t, r, s = (
            np.array(animated[p] if animated[p] is not None else getattr(node, p) or defaults[p])
            for p in defaults
        )
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_quat(r).as_matrix() * s
        matrix[:3, 3] = t
        return matrix

    def world(self, index: int, time_s: float) -> np.ndarray:
        parents = {c: i for i, node in enumerate(self.gltf.nodes) for c in node.children or ()}
        matrix = self.local(index, time_s)
        while index in parents:
            index = parents[index]
            matrix = self.local(index, time_s) @ matrix
        return matrix

    def mesh_node(self, name: str) -> int:
        return next(i for i, node in enumerate(self.gltf.nodes) if node.name == f"{name}_mesh")

    def joints(self, name: str, time_s: float) -> np.ndarray:
        skin = self.gltf.skins[self.gltf.nodes[self.mesh_node(name)].skin]
        return np.stack([self.world(joint, time_s) for joint in skin.joints])

    def vertices(self, name: str, time_s: float) -> np.ndarray:
        node_index = self.mesh_node(name)
        node = self.gltf.nodes[node_index]
        primitive = self.gltf.meshes[node.mesh].primitives[0]
        position = self.array(primitive.attributes.POSITION).astype(np.float64)
        weights = self.value(node_index, "weights", time_s)
        for weight, target in zip(weights, primitive.targets, strict=True):
            position += weight * self.array(target["POSITION"])
        inverse_binds = self.array(self.gltf.skins[node.skin].inverseBindMatrices)
        matrices = self.joints(name, time_s) @ inverse_binds.reshape(-1, 4, 4).swapaxes(1, 2)
        blend = np.einsum(
            "vk,vkab->vab",
            self.array(primitive.attributes.WEIGHTS_0),
            matrices[self.array(primitive.attributes.JOINTS_0)],
        )
        return np.einsum("vab,vb->va", blend[:, :3, :3], position) + blend[:, :3, 3]


@pytest.fixture(scope="module")
def glb_path(two_hands: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = export_glb(two_hands, tmp_path_factory.mktemp("glb"))
    return path


@pytest.fixture(scope="module")
def player(glb_path: Path) -> Player:
    return Player(pygltflib.GLTF2().load_binary(str(glb_path)))


@pytest.fixture(scope="module")
def truth(two_hands: Recording, tmp_path_factory: pytest.TempPathFactory) -> HandsFile:
    return read_npz(export_npz(two_hands, tmp_path_factory.mktemp("npz"))[0])


def name_of(truth: HandsFile, row: int) -> str:
    return f"hand_{truth.side[row]}_{truth.track_id[row]}"


def shown_rows(truth: HandsFile) -> list[int]:
    return [i for i in range(len(truth.frame)) if truth.state[i] != "lost"]


def test_skinned_vertices_and_joints_match_the_npz_to_a_tenth_of_a_millimetre(
    player: Player, truth: HandsFile
) -> None:
    mano_from_21 = [JOINTS.index(name) for name in MANO_JOINTS]
    worst = {"vertices": 0.0, "joints": 0.0}
    for row in shown_rows(truth)[::3]:
        time_s, name = float(truth.timestamp_s[row] - 3.0), name_of(truth, row)
        vertices = player.vertices(name, time_s) * Y_UP
        joints = player.joints(name, time_s)[:, :3, 3] * Y_UP
        for key, found, wanted in (
            ("vertices", vertices, truth.vertices[row]),
            ("joints", joints, truth.joints[row, mano_from_21]),
        ):
            worst[key] = max(worst[key], np.linalg.norm(found - wanted, axis=1).max())
    assert worst["vertices"] < 1e-4
    assert worst["joints"] < 1e-6


def test_hands_are_scaled_away_while_they_are_not_seen(player: Player, truth: HandsFile) -> None:
    for name in ("hand_right_1", "hand_left_2"):
        track_node = next(i for i, n in enumerate(player.gltf.nodes) if n.name == name)
        seen = [player.value(track_node, "scale", f / 25.0)[0] == 1 for f in range(60)]
        rows = [row for row in shown_rows(truth) if name_of(truth, row) == name]
        assert np.flatnonzero(seen).tolist() == truth.frame[rows].tolist()


def test_animation_has_one_key_for_each_frame_and_lasts_as_long_as_the_clip(
    player: Player,
) -> None:
    animation = player.gltf.animations[0]
    lengths = {}
    for channel in animation.channels:
        times = player.array(animation.samplers[channel.sampler].input)[:, 0]
        assert (np.diff(times) > 0).all()
        lengths.setdefault(channel.target.path, set()).add(len(times))
    ends = [player.array(sampler.input)[-1, 0] for sampler in animation.samplers]
    assert lengths["rotation"] == {58, 46}  # frames 2 to 59 and 5 to 50, gaps included
    assert max(ends) == pytest.approx(59 / 25)


def test_gaps_hold_the_last_pose(player: Player) -> None:
    last_seen, in_gap = (player.vertices("hand_right_1", f / 25.0 + 1e-9) for f in (24, 29))
    wrist = next(
        c.target.node
        for c in player.gltf.animations[0].channels
        if c.target.path == "translation" and player.gltf.nodes[c.target.node].name == "wrist"
    )
    at = [player.value(wrist, "translation", f / 25.0) for f in (24, 29)]
    np.testing.assert_allclose(at[0], at[1], atol=1e-7)
    assert np.ptp(last_seen, axis=0).max() > 0.05
    assert np.ptp(in_gap, axis=0).max() < 1e-6  # scaled away


def test_rotation_keys_take_the_short_way(player: Player) -> None:
    for channel in player.gltf.animations[0].channels:
        if channel.target.path == "rotation":
            sampler = player.gltf.animations[0].samplers[channel.sampler]
            quaternions = player.array(sampler.output)
            assert ((quaternions[1:] * quaternions[:-1]).sum(1) > 0).all()


def test_colours_are_linear_light_and_weights_sum_to_one(
    player: Player, two_hands: Recording
) -> None:
    node = player.gltf.nodes[player.mesh_node("hand_left_2")]
    attributes = player.gltf.meshes[node.mesh].primitives[0].attributes
    srgb = two_hands.tracks[1].colors
    linear = player.array(attributes.COLOR_0)
    back = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(back, srgb, atol=1e-5)
    np.testing.assert_allclose(player.array(attributes.WEIGHTS_0).sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(
        np.linalg.norm(player.array(attributes.NORMAL), axis=1), 1, atol=1e-5
    )


def test_faces_look_outwards(player: Player) -> None:
    """A closed surface wound counter-clockwise encloses a positive volume; the wrist hole changes little."""
    for name in ("hand_right_1", "hand_left_2"):
        node = player.gltf.nodes[player.mesh_node(name)]
        primitive = player.gltf.meshes[node.mesh].primitives[0]
        vertices = player.array(primitive.attributes.POSITION).astype(np.float64)
        a, b, c = np.moveaxis(vertices[player.array(primitive.indices).reshape(-1, 3)], 1, 0)
        assert (a * np.cross(b, c)).sum() / 6 > 1e-4  # cubic metres


def test_bones_keep_their_length_when_the_shape_is_settled(steady_hand: Recording) -> None:
    gltf = pygltflib.GLTF2().load_from_bytes(encode_glb(steady_hand))
    moved = [
        gltf.nodes[c.target.node].name
        for c in gltf.animations[0].channels
        if c.target.path == "translation"
    ]
    assert moved == ["wrist"]
    assert not any(
        c.target.path == "scale" and gltf.nodes[c.target.node].name == "wrist"
        for c in gltf.animations[0].channels
    )


def test_a_clip_without_hands_gives_a_valid_empty_scene(
    no_hands: Recording, tmp_path: Path
) -> None:
    (path,) = export_glb(no_hands, tmp_path)
    gltf = pygltflib.GLTF2().load_binary(str(path))
    assert [*gltf.meshes, *gltf.animations, *gltf.buffers] == []
    assert [gltf.nodes[i].name for i in gltf.scenes[0].nodes] == ["camera_frame"]


def test_camera_sees_what_the_clip_shows(player: Player, truth: HandsFile) -> None:
    """Project the joints with the glTF camera, as a viewer does, and land on the recorded pixels."""
    camera_node = next(i for i, n in enumerate(player.gltf.nodes) if n.camera is not None)
    lens = player.gltf.cameras[0].perspective
    world_from_camera = player.world(camera_node, 0.0)
    points = truth.joints[0] * Y_UP
    x, y, z = ((points - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]).T
    f = 1 / np.tan(lens.yfov / 2)
    height, width = truth.hw
    u = (f / lens.aspectRatio * x / -z + 1) / 2 * width
    v = (1 - f * y / -z) / 2 * height
    np.testing.assert_allclose(np.stack([u, v], 1), truth.uv[0], atol=1e-2)


@pytest.mark.skipif(
    three_package() is None or shutil.which("node") is None,
    reason="needs node and three.js: `npm install three`, and name another place in HANDLOOM_THREE",
)
def test_three_js_plays_the_same_vertices(glb_path: Path, truth: HandsFile) -> None:
    frames = list(range(2, 60, 4))
    command = ["node", str(Path(__file__).with_name("three_reader.mjs")), str(three_package())]
    times = json.dumps([frame / 25.0 + 1e-6 for frame in frames])
    run = subprocess.run(
        [*command, str(glb_path), times], capture_output=True, text=True, check=True, timeout=60
    )
    answer = json.loads(run.stdout)
    assert answer["duration_s"] == pytest.approx(59 / 25, abs=1e-6)
    worst = compared = 0
    for i, frame in enumerate(frames):
        for name, mesh in answer["meshes"].items():
            track = name.removesuffix("_mesh")
            rows = [
                r
                for r in shown_rows(truth)
                if truth.frame[r] == frame and name_of(truth, r) == track
            ]
            assert mesh["visible"][i] == bool(rows)
            for row in rows:
                vertices = np.reshape(mesh["vertices"][i], (-1, 3)) * Y_UP
                worst = max(worst, np.linalg.norm(vertices - truth.vertices[row], axis=1).max())
                compared += 1
    assert compared > 20
    assert worst < 1e-4
