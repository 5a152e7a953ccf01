"""The numbers of the open hand: skeleton, girths, finger profiles, and the joint centres they give.

Tables are in millimetres and degrees, as the literature prints them; everything computed is in metres and
radians. The frame is the hand's rest frame: flat right hand, fingers along -x, back of the hand +y, thumb
side +z, wrist at the origin of `skeleton()`.

Sources. Bone lengths are round values near the adult proportions of Buryanov & Kotiuk 2010 (Proportions of hand
segments, doi 10.4067/S0717-95022010000300015), not copied from a table. Hand length is the mean of the sexes in Ibeachu 2011 (male 190.2 mm, female 176.2 mm); breadth
at the metacarpals is set against the same table (85.8 and 76.9 mm). Finger breadths and depths are set so that
the index finger's middle joint is 19 mm wide, as adults' average. How far the thumb's nail is turned from the
back of the hand, and the joints' limits, are `tracker.geometry.joint_limits`'.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from tracker.geometry.joint_limits import THUMB_ROLL_DEG
from tracker.geometry.skeleton import FINGERS, MANO_JOINTS

MM = 1e-3

DIGITS = FINGERS
"""The digits, thumb to pinky: the order of the fingertips."""
LONG_FINGERS = DIGITS[1:]
CHAINS = {
    digit: tuple(k for k, name in enumerate(MANO_JOINTS) if name.startswith(digit))
    for digit in DIGITS
}
"""The three joints of each digit, from the palm outwards."""

HAND_LENGTH_MM = {"male": 190.2, "female": 176.2}
HAND_LENGTH_SD_MM = 9.5

MCP_MM = {
    "index": (-88.0, -6.5, 24.0),
    "middle": (-90.0, -5.0, 2.0),
    "ring": (-85.0, -6.0, -17.5),
    "pinky": (-77.0, -8.5, -35.0),
}
SPLAY_DEG = {"index": 7.0, "middle": -1.0, "ring": -9.0, "pinky": -17.0}
SEGMENTS_MM = {
    "thumb": (42.0, 32.0, 27.0),
    "index": (41.0, 23.5, 24.0),
    "middle": (45.5, 27.0, 25.0),
    "ring": (42.0, 26.0, 25.0),
    "pinky": (33.5, 19.0, 21.5),
}
"""Lengths from joint centre to joint centre, the last one to the fingertip's skin."""
THUMB_CMC_MM = (-25.0, -9.0, 19.0)
THUMB_DIRECTION = (-0.70, -0.27, 0.66)

ARTICULATION_MM = {"wrist": (-1.5, 0.0, -3.5), "thumb_cmc": (3.0, -2.0, 3.5)}
"""How far two joint centres lie from where the surface's tubes begin. The tables' points shape the skin; with
these, the joints of fitted hands meet the wrist and thumb-base landmarks that people and detectors mark in
photographs (measured as the constant part of the fit's residual in the wrist's frame, over 239 pictures)."""

FINGER_PROFILE_MM = (
    (0, -0.15, 9.6, 9.0, 11.0),
    (0, 0.25, 9.6, 9.3, 10.5),
    (0, 0.60, 9.0, 8.6, 9.6),
    (1, -0.02, 9.5, 8.9, 8.9),
    (1, 0.30, 8.7, 7.9, 8.8),
    (1, 0.65, 8.3, 7.3, 8.3),
    (2, -0.02, 8.4, 7.3, 7.4),
    (2, 0.30, 8.1, 6.7, 7.4),
    (2, 0.55, 7.7, 6.1, 7.0),
)
"""Stations of a finger: segment, fraction along it, half-width, dorsal half-depth, palmar half-depth."""
GIRTH = {"index": 0.98, "middle": 1.0, "ring": 0.94, "pinky": 0.81}
THUMB_PROFILE_MM = (
    (4.0, 10.0, 10.0, 12.0),
    (24.0, 10.5, 10.0, 12.5),
    (40.0, 11.0, 10.2, 11.5),
    (52.0, 10.0, 9.4, 10.6),
    (62.0, 9.8, 8.9, 9.6),
    (74.0, 10.8, 9.0, 9.4),
    (83.0, 10.9, 8.0, 9.6),
    (92.0, 9.9, 6.6, 8.4),
)
"""Stations of the thumb: distance from the CMC, half-width, dorsal half-depth, palmar half-depth."""
METACARPALS_MM = {
    "index": (12.0, 11.0, 14.5),
    "middle": (12.0, 12.5, 14.5),
    "ring": (11.0, 12.0, 14.0),
    "pinky": (10.5, 10.5, 13.0),
}
"""Half-width, dorsal and palmar half-depth of the palm over each metacarpal's head."""


@dataclass(frozen=True)
class Skeleton:
    """Joint centres and fingertips in the rest frame, in metres, with the anatomical axes of each joint.

    Rows of `axes[k]` are flexion, abduction and twist: a positive rotation about the first bends the joint
    towards the palm. The wrist's axes are the identity.
    """

    joints: Float[np.ndarray, "16 3"]
    tips: Float[np.ndarray, "5 3"]
    axes: Float[np.ndarray, "16 3 3"]

    def chain(self, digit: str) -> Float[np.ndarray, "4 3"]:
        """Return the three joints and the tip of a digit, from the palm outwards."""
        return np.vstack([self.joints[list(CHAINS[digit])], self.tips[DIGITS.index(digit)]])

    def scaled(self, factor: float) -> "Skeleton":
        """Return this skeleton scaled and moved so that the middle finger's first joint is the origin."""
        origin = self.joints[CHAINS["middle"][0]]
        return Skeleton((self.joints - origin) * factor, (self.tips - origin) * factor, self.axes)

    def articulated(self) -> "Skeleton":
        """Return this skeleton with the joint centres where the hand turns, see `ARTICULATION_MM`."""
        joints = self.joints.copy()
        for name, shift in ARTICULATION_MM.items():
            joints[MANO_JOINTS.index(name)] += np.array(shift) * MM
        return Skeleton(joints, self.tips, _anatomical_axes(joints, self.tips))


def unit(vector: np.ndarray) -> np.ndarray:
    """Return the vector divided by its length."""
    return vector / np.linalg.norm(vector)


def _anatomical_axes(joints: np.ndarray, tips: np.ndarray) -> np.ndarray:
    axes = np.tile(np.eye(3), (16, 1, 1))
    roll = np.radians(THUMB_ROLL_DEG)
    for digit, chain in CHAINS.items():
        ends = [*joints[list(chain[1:])], tips[DIGITS.index(digit)]]
        for joint, end in zip(chain, ends, strict=True):
            along = unit(end - joints[joint])
            dorsal = unit(np.array([0.0, 1.0, 0.0]) - along * along[1])
            if digit == "thumb":
                dorsal = np.cos(roll) * dorsal + np.sin(roll) * np.cross(dorsal, along)
            axes[joint] = np.cross(dorsal, along), dorsal, along
    return axes


@lru_cache(maxsize=1)
def skeleton() -> Skeleton:
    """Return the skeleton of the tables, wrist at the origin."""
    joints, tips = np.zeros((16, 3)), np.zeros((5, 3))
    for digit, chain in CHAINS.items():
        if digit == "thumb":
            position, direction = np.array(THUMB_CMC_MM), unit(np.array(THUMB_DIRECTION))
        else:
            splay = np.radians(SPLAY_DEG[digit])
            position = np.array(MCP_MM[digit])
            direction = np.array([-np.cos(splay), 0.0, np.sin(splay)])
        for joint, length in zip(chain, SEGMENTS_MM[digit], strict=True):
            joints[joint] = position * MM
            position = position + direction * length
        tips[DIGITS.index(digit)] = position * MM
    return Skeleton(joints, tips, _anatomical_axes(joints, tips))


def hand_length(bones: Skeleton) -> float:
    """Return the length of a hand in metres, from the wrist over the middle finger's first joint to its tip."""
    knuckle, tip = bones.chain("middle")[[0, 3]]
    return float(np.linalg.norm(knuckle - bones.joints[0]) + np.linalg.norm(tip - knuckle))


@lru_cache(maxsize=1)
def template_scale() -> float:
    """Return the factor from the tables to the template, whose hand length is the mean of the sexes."""
    return (
        float(np.mean(list(HAND_LENGTH_MM.values()))) * MM / hand_length(skeleton().articulated())
    )


def template_skeleton() -> Skeleton:
    """Return the skeleton of the shipped template: mean size, origin at the middle finger's first joint."""
    return skeleton().articulated().scaled(template_scale())


def finger_stations(finger: str) -> np.ndarray:
    """Return a digit's profile in metres: distance from its first joint, half-width, dorsal, palmar depth."""
    if finger == "thumb":
        return np.array(THUMB_PROFILE_MM) * MM
    starts, lengths = segment_starts(finger), np.array(SEGMENTS_MM[finger]) * MM
    rows = [
        (starts[k] + t * lengths[k], *(GIRTH[finger] * MM * np.array(sizes)))
        for k, t, *sizes in FINGER_PROFILE_MM
    ]
    return np.array(rows)


def segment_starts(digit: str) -> np.ndarray:
    """Return the distances in metres of a digit's joints and tip from its first joint, (4,)."""
    return np.concatenate([[0.0], np.cumsum(SEGMENTS_MM[digit])]) * MM
