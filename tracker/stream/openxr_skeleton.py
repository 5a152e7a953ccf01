"""OpenXR's 26 joints as tables: their tree, what carries them, and along which bones they point."""

from typing import Final

import numpy as np

from tracker.geometry.skeleton import (
    JOINTS,
    MANO_JOINTS,
    OPENXR_FROM_HANDLOOM,
    OPENXR_JOINTS,
)

PALM, WRIST = 0, 1
METACARPALS: Final = np.array(
    [OPENXR_JOINTS.index(f"{f}_metacarpal") for f in ("index", "middle", "ring", "little")]
)
MIDDLE_METACARPAL, MIDDLE_PROXIMAL = (
    OPENXR_JOINTS.index(f"middle_{bone}") for bone in ("metacarpal", "proximal")
)

PARENTS: Final = (1, -1, *(1 if j in (2, *METACARPALS) else j - 1 for j in range(2, 26)))
"""Parent of each of the 26 joints; -1 for the wrist."""

EMULATED: Final = (PALM, *METACARPALS.tolist())
"""Joints that the hand model does not have: constant places in the palm."""
EMULATED_MASK: Final = sum(1 << joint for joint in EMULATED)

TIPS: Final = np.array([j for j, n in enumerate(OPENXR_JOINTS) if n.endswith("_tip")])
DISTALS: Final = TIPS - 1
MODELLED: Final = np.flatnonzero(OPENXR_FROM_HANDLOOM >= 0)
SOURCE: Final = OPENXR_FROM_HANDLOOM[MODELLED]
"""Which of the 21 joints each of `MODELLED` is."""
INDEX_MCP, MIDDLE_MCP, LITTLE_MCP = (JOINTS.index(f"{f}_mcp") for f in ("index", "middle", "pinky"))


def _drivers() -> tuple[int, ...]:
    carried = [0] * len(OPENXR_JOINTS)
    for joint, source in enumerate(OPENXR_FROM_HANDLOOM):
        if joint in TIPS:
            carried[joint] = carried[joint - 1]
        elif source >= 0:
            carried[joint] = MANO_JOINTS.index(JOINTS[source])
    return tuple(carried)


DRIVERS: Final = np.array(_drivers())
"""For each joint, the MANO joint whose rotation carries it."""

# The bone whose direction is a joint's +Z: from its far end to the joint. Tips copy the distal joint.
FAR: Final = np.array([MIDDLE_PROXIMAL] * 2 + [j if j in TIPS else j + 1 for j in range(2, 26)])
NEAR: Final = np.array([WRIST] * 2 + [j - 1 if j in TIPS else j for j in range(2, 26)])
IS_TIP: Final = np.isin(np.arange(26), TIPS)
IS_THUMB: Final = np.array([name.startswith("thumb") for name in OPENXR_JOINTS])
