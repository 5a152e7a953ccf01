"""From the tracker's hands to the stream's: everything a subscriber may ask for, in OpenXR's frame.

`compose` runs once a frame; `select` cuts out and turns what one kind of subscriber wants.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from tracker.geometry.hand_model import HandModel
from tracker.geometry.hand_params import HandParams
from tracker.geometry.skeleton import JOINTS
from tracker.stream.frames import AXES, AxisChange
from tracker.stream.motion import Motion
from tracker.stream.openxr import CAMERA_TO_OPENXR, EMULATED_MASK, OpenXrHand
from tracker.stream.protocol import PARTS, Subscription
from tracker.stream.records import StreamFrame, StreamHand
from tracker.vision.records import TrackedHand

_THUMB_TIP: Final = JOINTS.index("thumb_tip")
_OTHER_TIPS: Final = [JOINTS.index(f"{f}_tip") for f in ("index", "middle", "ring", "pinky")]
_WRIST, _MIDDLE_MCP = JOINTS.index("wrist"), JOINTS.index("middle_mcp")
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

    def compose(self, hands: Sequence[TrackedHand], t_capture_ns: int) -> tuple[StreamHand, ...]:
        """Return the hands of one frame with all parts; a hand with broken numbers is left out."""
        sound = [hand for hand in hands if _is_finite(hand)]
        self._motion.keep_only({hand.track_id for hand in sound})
        return tuple(self._compose_hand(hand, t_capture_ns) for hand in sound)

    def reset(self) -> None:
        """Forget the frame before, as nobody saw it."""
        self._motion.keep_only(set())

    def _compose_hand(self, hand: TrackedHand, time_ns: int) -> StreamHand:
        joints = self.hands[hand.side](hand.params, hand.joints.astype(np.float64))
        orientations, velocities = self._motion.follow(hand.track_id, joints, time_ns)
        rows = np.concatenate([joints.positions, orientations, joints.radii[:, None]], axis=1)
        return StreamHand(
            id=hand.track_id,
            side=hand.side,
            state=hand.state,
            score=float(hand.score),
            side_score=None,
            scale=float(hand.params.scale),
            emulated=EMULATED_MASK,
            joints=rows,
            kp3d=hand.joints * CAMERA_TO_OPENXR,
            kp2d=hand.uv if np.isfinite(hand.uv).all() else None,
            mano=_mano_vector(hand.params),
            verts=hand.vertices * CAMERA_TO_OPENXR,
            vel=velocities,
            pinch=pinch_strengths(hand.joints),
        )


def _is_finite(hand: TrackedHand) -> bool:
    numbers = (hand.joints, hand.vertices, _mano_vector(hand.params), hand.score, hand.params.scale)
    return all(np.isfinite(values).all() for values in numbers)


def _mano_vector(params: HandParams) -> np.ndarray:
    return np.concatenate(
        [params.global_orient, params.hand_pose.ravel(), params.betas, params.transl]
    )


def pinch_strengths(joints: np.ndarray) -> np.ndarray:
    """Return how far thumb and index, middle, ring, little finger pinch: 0 to 1 each.

    Args:
        joints: (21, 3) positions in any frame and unit.
    """
    size = np.linalg.norm(joints[_MIDDLE_MCP] - joints[_WRIST])
    gaps = np.linalg.norm(joints[_OTHER_TIPS] - joints[_THUMB_TIP], axis=1) / size
    return ((_APART - gaps) / (_APART - _TOUCHING)).clip(0.0, 1.0)


def select(frame: StreamFrame, wanted: Subscription) -> StreamFrame:
    """Return a frame of OpenXR's axes with only the hands and parts that are wanted, in their axes."""
    change = AXES[wanted.frame]
    hands = (_selected_hand(hand, wanted, change) for hand in frame.hands)
    return replace(frame, hands=tuple(h for h in hands if h.side in wanted.hands))


def _selected_hand(hand: StreamHand, wanted: Subscription, change: AxisChange) -> StreamHand:
    dropped = dict.fromkeys(part for part in PARTS if part not in wanted.parts)
    kept = replace(hand, **dropped, axes=wanted.frame)
    if wanted.frame == "openxr":
        return kept
    return replace(
        kept,
        joints=None if kept.joints is None else _turned_joints(kept.joints, change),
        kp3d=None if kept.kp3d is None else change.points(kept.kp3d),
        verts=None if kept.verts is None else change.points(kept.verts),
        vel=None if kept.vel is None else _turned_velocities(kept.vel, change),
    )


def _turned_joints(joints: np.ndarray, change: AxisChange) -> np.ndarray:
    radii = joints[:, 7:] * change.units_per_m
    return np.concatenate(
        [change.points(joints[:, :3]), change.quaternions(joints[:, 3:7]), radii], axis=1
    )


def _turned_velocities(vel: np.ndarray, change: AxisChange) -> np.ndarray:
    return np.concatenate([change.points(vel[:, :3]), change.angular(vel[:, 3:])], axis=1)
