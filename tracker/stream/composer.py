"""From the tracker's hands to the stream's: everything a subscriber may ask for, in OpenXR's frame.

`compose` runs once a frame; `select` cuts out and turns what one kind of subscriber wants.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skeleton import JOINTS
from tracker.stream.frames import AXES, AxisChange
from tracker.stream.motion import Motion
from tracker.stream.openxr import CAMERA_TO_OPENXR, OpenXrHand
from tracker.stream.openxr_skeleton import EMULATED_MASK
from tracker.stream.protocol import PARTS, Subscription
from tracker.stream.records import StreamFrame, StreamHand
from tracker.vision.records import TrackedHand

_THUMB_TIP: Final = JOINTS.index("thumb_tip")
_OTHER_TIPS: Final = [JOINTS.index(f"{f}_tip") for f in ("index", "middle", "ring", "pinky")]
_WRIST, _MIDDLE_MCP = JOINTS.index("wrist"), JOINTS.index("middle_mcp")
_FLIP: Final = CAMERA_TO_OPENXR.astype(np.float32)
_TOUCHING, _APART = 0.12, 0.60
"""Distances of two tips where a pinch is whole and where it ends, relative to wrist-middle MCP.

About 1 cm and 5 cm in an adult's hand: tips are points of the skin, so pads that touch leave their
tips a few millimetres apart.
"""


class Composer:
    """Turn tracked hands into hands to send; holds what it needs of the frame before.

    Example:
        >>> composer = Composer(HandModel.load())
        >>> hands = composer.compose(tracker(frame), t_capture_ns)
    """

    def __init__(self, model: HandModel) -> None:
        sides = (model, model.mirrored())
        self.hands = {side.side: OpenXrHand(side) for side in sides}
        self.models = {side.side: side for side in sides}
        self._motion = Motion()

    def compose(
        self, hands: Sequence[TrackedHand], t_capture_ns: int, parts: Collection[str] = PARTS
    ) -> tuple[StreamHand, ...]:
        """Return the hands of one frame; a hand with broken numbers is left out.

        Args:
            hands: what the tracker gave, in the camera frame.
            t_capture_ns: when the picture was taken.
            parts: what is wanted; the joints come in any case.
        """
        vectors = [_mano_vector(hand.params) for hand in hands]
        sound = [(h, m) for h, m in zip(hands, vectors, strict=True) if _is_finite(h, m)]
        self._motion.keep_only({hand.track_id for hand, _ in sound})
        composed = [self._compose_hand(hand, mano, t_capture_ns, parts) for hand, mano in sound]
        return tuple(hand for hand in composed if hand is not None)

    def reset(self) -> None:
        """Forget the frame before, as nobody saw it."""
        self._motion.keep_only(set())

    def _compose_hand(
        self, hand: TrackedHand, mano: np.ndarray, time_ns: int, parts: Collection[str]
    ) -> StreamHand | None:
        joints = self.hands[hand.side](hand.params, hand.joints.astype(np.float64))
        if not math.isfinite(joints.orientations.sum()):
            return None  # joints that lie in one point have no directions
        orientations, velocities = self._motion.follow(hand.track_id, joints, time_ns)
        rows = np.empty((26, 8))
        rows[:, :3], rows[:, 3:7], rows[:, 7] = joints.positions, orientations, joints.radii
        in_view = "kp2d" in parts and math.isfinite(hand.uv.sum())
        return StreamHand(
            id=hand.track_id,
            side=hand.side,
            state=hand.state,
            score=float(hand.score),
            side_score=None,
            scale=float(hand.params.scale),
            emulated=EMULATED_MASK,
            joints=rows,
            kp3d=hand.joints * _FLIP if "kp3d" in parts else None,
            kp2d=hand.uv if in_view else None,
            mano=mano,
            verts=hand.vertices * _FLIP if "verts" in parts else None,
            vel=velocities,
            pinch=pinch_strengths(hand.joints) if "pinch" in parts else None,
        )


def _is_finite(hand: TrackedHand, mano: np.ndarray) -> bool:
    """Return whether all numbers are finite: any that is not makes the sum so too."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = hand.joints.sum() + hand.vertices.sum() + mano.sum()
    return math.isfinite(total + hand.score + hand.params.scale)


def _mano_vector(params: HandParams) -> np.ndarray:
    return np.concatenate(
        [params.global_orient, params.hand_pose.ravel(), params.betas, params.transl]
    )


def pinch_strengths(joints: np.ndarray) -> np.ndarray:
    """Return how far thumb and index, middle, ring, little finger pinch: 0 to 1 each.

    Args:
        joints: (21, 3) positions in any frame and unit.
    """
    points: list[list[float]] = joints.tolist()
    size = math.dist(points[_MIDDLE_MCP], points[_WRIST])
    gaps = [math.dist(points[tip], points[_THUMB_TIP]) / size for tip in _OTHER_TIPS]
    strengths = [(_APART - gap) / (_APART - _TOUCHING) for gap in gaps]
    return np.array([min(max(strength, 0.0), 1.0) for strength in strengths])


def select(frame: StreamFrame, wanted: Subscription) -> StreamFrame:
    """Return a frame of OpenXR's axes with only the hands and parts that are wanted, in their axes."""
    change = AXES[wanted.frame]
    hands = (_selected_hand(hand, wanted, change) for hand in frame.hands)
    return replace(frame, hands=tuple(h for h in hands if h.side in wanted.hands))


def _selected_hand(hand: StreamHand, wanted: Subscription, change: AxisChange) -> StreamHand:
    dropped = dict.fromkeys(part for part in PARTS if part not in wanted.parts)
    kept = replace(hand, **dropped, axes=wanted.frame)
    return kept if wanted.frame == "openxr" else _turned(kept, change)


def to_openxr(frame: StreamFrame) -> StreamFrame:
    """Return a received frame, of whatever axes, in OpenXR's."""
    hands = (
        hand
        if hand.axes == "openxr"
        else replace(_turned(hand, AXES[hand.axes].inverted()), axes="openxr")
        for hand in frame.hands
    )
    return replace(frame, hands=tuple(hands))


def _turned(hand: StreamHand, change: AxisChange) -> StreamHand:
    return replace(
        hand,
        joints=None if hand.joints is None else _turned_joints(hand.joints, change),
        kp3d=None if hand.kp3d is None else change.points(hand.kp3d),
        verts=None if hand.verts is None else change.points(hand.verts),
        vel=None if hand.vel is None else _turned_velocities(hand.vel, change),
    )


def _turned_joints(joints: np.ndarray, change: AxisChange) -> np.ndarray:
    radii = joints[:, 7:] * change.units_per_m
    return np.concatenate(
        [change.points(joints[:, :3]), change.quaternions(joints[:, 3:7]), radii], axis=1
    )


def _turned_velocities(vel: np.ndarray, change: AxisChange) -> np.ndarray:
    return np.concatenate([change.points(vel[:, :3]), change.angular(vel[:, 3:])], axis=1)
