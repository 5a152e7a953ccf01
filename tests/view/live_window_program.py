"""Shows two hands in a live window and prints each change, one JSON line: driven by the test beside it."""

import json
import runpy
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from apps.webcam_view import open_view
from tracker.geometry.hand_params import HandParams
from tracker.view import live_window
from tracker.view.live_headless import LastingView
from tracker.view.live_view import Command, Hud, LivePicture
from tracker.view.live_window import LiveWindow
from tracker.vision.records import Frame, TrackedHand

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "make_two_hands.py"
LONGEST_S = 120.0


def hands() -> tuple[TrackedHand, ...]:
    script = runpy.run_path(str(GOLDEN))
    nothing = HandParams(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3), 1.0)
    found = []
    for track_id, (side, x) in enumerate((("right", -0.07), ("left", 0.07))):
        vertices, faces, joints = script["posed_hand"](
            side, sample=1, orient=(1.57, 0.0, 0.0), at=(x, 0.0, 0.45)
        )
        colors = np.tile(np.float32([0.8, 0.5, 0.4]), (len(vertices), 1))
        uv = script["CAMERA"].project(joints)
        found.append(
            TrackedHand(
                track_id, side, "tracked", 0.9, joints, uv, vertices, faces, colors, nothing
            )
        )
    return tuple(found)


def say(facts: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main(picture_file: Path, title: str) -> None:
    if title == "pyrender":  # as if on a graphics card
        live_window._SOFTWARE_GL = ()
    camera = runpy.run_path(str(GOLDEN))["CAMERA"]
    rgb = np.full((*camera.hw, 3), 90, np.uint8)
    picture = LivePicture(Frame(rgb, camera), camera, hands(), Hud(("30 fps",)))
    view = open_view("window", camera.hw, title=title)
    assert isinstance(view, LastingView)
    window = view.view
    if not isinstance(window, LiveWindow):
        say({"failed": True})
        return
    ended_s = time.monotonic() + LONGEST_S
    said: dict[str, object] = {}
    while time.monotonic() < ended_s:
        view.show(picture)
        commands = view.commands()
        facts = {
            "state": asdict(window.state),
            "size": list(window.size),
            "drawn_by": window.renderer_name,
        }
        for command in commands:
            if command is Command.SCREENSHOT:
                np.save(picture_file, view.shown())
            say({"command": command.value})
        if facts != said:
            said = facts
            say(facts)
        if Command.QUIT in commands:
            break
        time.sleep(0.01)
    view.close()
    view.close()
    say({"closed": True})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
