"""BVH files, read by a small parser and forward kinematics written from the format's description."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.export.bvh import export_bvh
from tracker.export.recording import Recording
from tracker.geometry.skeleton import JOINTS


def axis_rotation(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = {"X": (1, 2), "Y": (2, 0), "Z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def play(text: str) -> tuple[float, list[dict[str, np.ndarray]]]:
    """Return the frame time and, for each frame, the place of every joint and end site."""
    hierarchy, motion = text.split("MOTION")
    nodes: list[dict[str, Any]] = []
    stack: list[int] = []
    for words in map(str.split, hierarchy.splitlines()[1:]):
        if words[0] in ("ROOT", "JOINT", "End"):
            name = words[1] if words[0] != "End" else nodes[stack[-1]]["name"] + " end"
            parent = stack[-1] if stack else None
            nodes.append({"name": name, "parent": parent, "channels": []})
        elif words[0] == "{":
            stack.append(len(nodes) - 1)
        elif words[0] == "}":
            stack.pop()
        elif words[0] == "OFFSET":
            nodes[stack[-1]]["offset"] = np.array([float(word) for word in words[1:]])
        elif words[0] == "CHANNELS":
            assert int(words[1]) == len(words) - 2
            nodes[stack[-1]]["channels"] = words[2:]
    count, frame_time, *lines = motion.strip().splitlines()
    assert int(count.split()[1]) == len(lines)
    return float(frame_time.split()[2]), [pose(nodes, line) for line in lines]


def pose(nodes: list[dict[str, Any]], line: str) -> dict[str, np.ndarray]:
    values = iter([float(word) for word in line.split()])
    turns, places = [], []
    for node in nodes:
        offset, turn = node["offset"].copy(), np.eye(3)
        for channel in node["channels"]:
            if channel.endswith("position"):
                offset["XYZ".index(channel[0])] += next(values)
            else:
                turn = turn @ axis_rotation(channel[0], next(values))
        parent = node["parent"]
        above = (np.eye(3), np.zeros(3)) if parent is None else (turns[parent], places[parent])
        turns.append(above[0] @ turn)
        places.append(above[0] @ offset + above[1])
    assert next(values, None) is None
    return {node["name"]: place for node, place in zip(nodes, places, strict=True)}


def joints_in_metres(places: dict[str, np.ndarray]) -> np.ndarray:
    """The 21 joints in the camera frame."""
    names = [
        f"{JOINTS[i - 1]} end" if name.endswith("_tip") else name for i, name in enumerate(JOINTS)
    ]
    return np.array([places[name] for name in names]) / 100 * [1, -1, -1]


def test_joints_match_when_the_shape_is_settled(steady_hand: Recording, tmp_path: Path) -> None:
    (path,) = export_bvh(steady_hand, tmp_path)
    frame_time, frames = play(path.read_text())
    assert path.name == "hand_left_7.bvh"
    assert frame_time == pytest.approx(1 / 25)
    found = np.array([joints_in_metres(places) for places in frames])
    errors = np.linalg.norm(found - steady_hand.rows["joints"], axis=-1)
    tips = [i for i, name in enumerate(JOINTS) if name.endswith("_tip")]
    assert np.delete(errors, tips, axis=1).max() < 1e-6
    assert errors[:, tips].max() < 5e-4


def test_one_line_for_each_frame_of_the_clip_and_gaps_held(
    two_hands: Recording, tmp_path: Path
) -> None:
    paths = export_bvh(two_hands, tmp_path)
    assert [path.name for path in paths] == ["hand_right_1.bvh", "hand_left_2.bvh"]
    _, frames = play(paths[0].read_text())
    assert len(frames) == 60
    right = two_hands.tracks[0].rows
    wrist = np.array([joints_in_metres(places)[0] for places in frames])
    np.testing.assert_allclose(wrist[right["frame"]], right["joints"][:, 0], atol=1e-6)
    assert np.ptp(wrist[24:31], axis=0).max() == np.ptp(wrist[:3], axis=0).max() == 0


def test_angles_do_not_jump_by_whole_turns(two_hands: Recording, tmp_path: Path) -> None:
    for path in export_bvh(two_hands, tmp_path):
        lines = path.read_text().split("Frame Time")[1].splitlines()[1:]
        angles = np.array([line.split()[3:] for line in lines], np.float64)
        assert np.abs(np.diff(angles, axis=0)).max() < 180


def test_a_clip_without_hands_gives_no_file_and_clears_old_ones(
    two_hands: Recording, no_hands: Recording, tmp_path: Path
) -> None:
    export_bvh(two_hands, tmp_path)
    assert export_bvh(no_hands, tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_a_single_photograph_has_the_nominal_frame_time(studio: Any, tmp_path: Path) -> None:
    (path,) = export_bvh(studio.record([studio.actor(1, "right", [0])], 1), tmp_path)
    frame_time, frames = play(path.read_text())
    assert (frame_time, len(frames)) == (pytest.approx(0.04), 1)
