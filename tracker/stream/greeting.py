"""What a server says of itself: `hello`, `status`, and the topology of its mesh."""

import json
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Literal

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel, Side
from tracker.geometry.skeleton import JOINTS, OPENXR_JOINTS
from tracker.stream.openxr_skeleton import EMULATED, PARENTS
from tracker.stream.protocol import MAX_MESSAGE, MAX_WINDOW, PARTS, VERSION

CameraState = Literal["ok", "lost"]


@dataclass(frozen=True)
class StreamFacts:
    """What only the program that tracks can know; told to every client as it is."""

    scale_source: Literal["assumed", "calibrated"] = "assumed"
    """Whether the size of the hand was measured: one camera cannot tell size from distance."""
    t_capture: Literal["driver", "read_return"] = "read_return"
    """What `t_capture_ns` is: the driver's time of exposure, or when reading the picture returned."""
    camera_in_world: list[list[float]] | None = None
    """Rows of the 4 x 4 pose of the camera, where it is known."""
    filter: dict[str, Any] = field(default_factory=lambda: {"name": "one_euro"})
    """What smooths the joints, with its settings."""


def _server_name() -> str:
    try:
        return f"handloom {version('handloom')}"
    except PackageNotFoundError:
        return "handloom"


_SERVER: Final = _server_name()
_SPACE: Final = {
    "frame": "openxr",
    "handed": "right",
    "up": "+y",
    "forward": "-z",
    "unit": "m",
    "origin": "camera",
    "quat": "xyzw",
}
_SKELETONS: Final[dict[str, object]] = {
    "openxr26": {
        "joints": OPENXR_JOINTS,
        "parents": PARENTS,
        "emulated": EMULATED,
        "radii": "nearest skin of the resting hand",
    },
    "mp21": {"joints": JOINTS},
}


def camera_facts(camera: Camera | None, t_capture: str) -> dict[str, Any] | None:
    """Describe the camera; None before the first frame."""
    if camera is None:
        return None
    height, width = camera.hw
    K = camera.K
    return {
        "width": width,
        "height": height,
        "mirrored": False,
        "fx": float(K[0, 0]),
        "fy": float(K[1, 1]),
        "cx": float(K[0, 2]),
        "cy": float(K[1, 2]),
        "intrinsics": "assumed" if camera.assumed else "calibrated",
        "t_capture": t_capture,
    }


def hello_message(
    session: int, camera: Camera | None, facts: StreamFacts, model: HandModel, palm_length: float
) -> str:
    """Write the first message of a connection.

    Args:
        session: number of this run of the server.
        camera: the camera, if a frame was published already; else it comes with `status`.
        facts: what the tracking program tells.
        model: the right hand.
        palm_length: metres from wrist to middle MCP in the mean hand.
    """
    content = {
        "type": "hello",
        "protocol": "handstream",
        "v": VERSION,
        "server": _SERVER,
        "session": session,
        "clock": {
            "now_ns": time.monotonic_ns(),
            "unix_ns": time.time_ns(),
            "source": "monotonic",
        },
        "space": _SPACE | {"camera_in_world": facts.camera_in_world},
        "camera": camera_facts(camera, facts.t_capture),
        "scale": {"source": facts.scale_source, "wrist_to_middle_mcp_m": round(palm_length, 4)},
        "filter": facts.filter,
        "skeletons": _SKELETONS | {"mano16": {"order": "mano", "tips": model.tip_ids}},
        "mesh": {
            "model": model.model_id,
            "vertices": len(model.v_template),
            "faces": len(model.faces),
            "topology": "/v1/topology/{side}",
        },
        "parts": PARTS,
        "limits": {"max_message": MAX_MESSAGE, "max_window": MAX_WINDOW},
    }
    return json.dumps(content)


def topology_message(model: HandModel, side: Side) -> str:
    """Write the triangles of one side's mesh, counter-clockwise from outside in right-handed axes.

    Seen in a left-handed frame their order is clockwise, as Unity wants it.
    """
    content = {
        "model": model.model_id,
        "sha256": model.sha256,
        "side": side,
        "vertices": len(model.v_template),
        "faces": model.faces.tolist(),
    }
    return json.dumps(content, separators=(",", ":"))
