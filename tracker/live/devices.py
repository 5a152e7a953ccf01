"""Which cameras this machine has, asked of the system and not by opening them."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SYSTEM: Final = Path("/sys/class/video4linux")


@dataclass(frozen=True)
class CameraDevice:
    """A camera as Linux lists it."""

    path: str
    """Such as `/dev/video0`."""
    name: str
    """What its maker calls it."""

    def __str__(self) -> str:
        return f"{self.path} ({self.name})"


def found_cameras(system: Path = _SYSTEM) -> list[CameraDevice]:
    """Return the cameras of a Linux machine in order; elsewhere the list is empty.

    Many webcams have a second node that gives no pictures but facts about them; it is left out.
    """
    if not system.is_dir():
        return []
    nodes = sorted(system.glob("video*"), key=lambda node: _number(node.name))
    return [
        CameraDevice(f"/dev/{node.name}", _line(node / "name") or node.name)
        for node in nodes
        if _line(node / "index") in ("", "0")
    ]


def no_camera(wanted: str, why: str) -> str:
    """Return what to say when a camera cannot be opened: what there is, and what to do."""
    found = found_cameras()
    if found:
        listed = f"cameras found: {', '.join(map(str, found))}"
    elif sys.platform == "linux":
        listed = "this machine lists no camera"
    else:
        listed = "its number may be another"
    return (
        f"camera {wanted} {why}; {listed}. Try another --source, such as a file, "
        "an rtsp:// address or screen, or `--source demo` to see how it works without a camera"
    )


def _number(name: str) -> int:
    digits = re.sub(r"\D", "", name)
    return int(digits) if digits else 0


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
