"""The 21 joints by name, the tree they form, and the orders other projects keep them in.

Joints are addressed by name; an index list of another data set exists in this file only.
"""

from typing import Final

import numpy as np
from jaxtyping import Int

FINGERS: Final = ("thumb", "index", "middle", "ring", "pinky")

JOINTS: Final = (
    "wrist",
    *("thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"),
    *(f"{finger}_{part}" for finger in FINGERS[1:] for part in ("mcp", "pip", "dip", "tip")),
)
"""Names of the 21 joints in Handloom's order."""

PARENTS: Final = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
"""Parent of each of the 21 joints; -1 for the wrist."""

BONES: Final = tuple((parent, child) for child, parent in enumerate(PARENTS) if parent >= 0)
"""The 20 bones as (parent, child) pairs, in child order."""

TIPS: Final = tuple(i for i, name in enumerate(JOINTS) if name.endswith("_tip"))

MANO_FINGERS: Final = ("index", "middle", "pinky", "ring", "thumb")
"""Order of the fingers in MANO's 16-joint tree (three joints a finger after the wrist)."""

MANO_PARENTS: Final = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""Parent of each of MANO's 16 joints."""

_PARTS: Final = {"thumb": ("cmc", "mcp", "ip")} | dict.fromkeys(FINGERS[1:], ("mcp", "pip", "dip"))

MANO_JOINTS: Final = (
    "wrist",
    *(f"{finger}_{part}" for finger in MANO_FINGERS for part in _PARTS[finger]),
)
"""Names of MANO's 16 joints, in MANO's order."""


def _along(fingers: tuple[str, ...], *, tip_first: bool = False) -> tuple[str, ...]:
    """Wrist, then every finger from palm to tip (or from tip to palm)."""
    chains = [[*(f"{f}_{p}" for p in _PARTS[f]), f"{f}_tip"] for f in fingers]
    return ("wrist", *(n for chain in chains for n in (reversed(chain) if tip_first else chain)))


_MANO_TIPS: Final = tuple(f"{finger}_tip" for finger in FINGERS)

_OPENXR_PARTS: Final = {"mcp": "proximal", "pip": "intermediate", "dip": "distal", "tip": "tip"}
_OPENXR_THUMB_PARTS: Final = {"cmc": "metacarpal", "mcp": "proximal", "ip": "distal", "tip": "tip"}

OPENXR_JOINTS: Final = (
    *("palm", "wrist"),
    *("thumb_metacarpal", "thumb_proximal", "thumb_distal", "thumb_tip"),
    *(
        f"{finger}_{part}"
        for finger in ("index", "middle", "ring", "little")
        for part in ("metacarpal", "proximal", "intermediate", "distal", "tip")
    ),
)
"""The 26 joints of OpenXR's XR_EXT_hand_tracking, in its order."""

ORDERS: Final[dict[str, tuple[str, ...]]] = {
    "handloom": JOINTS,
    "freihand": JOINTS,
    "mediapipe": JOINTS,
    "mano": _along(MANO_FINGERS),
    "ho3d": (*MANO_JOINTS, *_MANO_TIPS),
    "rhd": _along(FINGERS, tip_first=True),
}
"""Joint names in the order each project stores its 21 joints.

`mano` is MANO's tree with each tip behind its finger; `ho3d` is MANO's 16 joints followed by the
five tips, thumb to pinky; `rhd` runs from tip to palm in each finger.
"""


def permutation(source: str, target: str) -> Int[np.ndarray, " 21"]:
    """Return indices such that `joints_source[permutation(source, target)]` is in `target`'s order.

    Raises:
        KeyError: an order is not in `ORDERS`; the message lists those that are.
    """
    for name in (source, target):
        if name not in ORDERS:
            raise KeyError(f"joint order {name!r} is unknown; known orders: {', '.join(ORDERS)}")
    return np.array([ORDERS[source].index(joint) for joint in ORDERS[target]])


def _openxr_name(joint: str) -> str:
    finger, _, part = joint.partition("_")
    if not part:
        return joint
    parts = _OPENXR_THUMB_PARTS if finger == "thumb" else _OPENXR_PARTS
    return f"{'little' if finger == 'pinky' else finger}_{parts[part]}"


OPENXR_FROM_HANDLOOM: Final = np.array(
    [
        next((i for i, joint in enumerate(JOINTS) if _openxr_name(joint) == name), -1)
        for name in OPENXR_JOINTS
    ]
)
"""(26,) index into the 21 joints for each OpenXR joint; -1 where OpenXR has one more (palm, CMCs)."""
