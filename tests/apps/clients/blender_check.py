"""Run by the tests in Blender's own Python: the add-on, from registering to keys, without a window.

python blender_check.py ADD_ON.py URL

Writes, as JSON, what each empty got from one frame, and whether keys were made.
"""

import importlib.util
import json
import sys
import time
from types import ModuleType
from typing import Any

import bpy  # type: ignore[import-not-found]

PATIENCE_S = 15


def main(path: str, url: str) -> None:
    addon = load(path)
    addon.register()
    bpy.context.scene.handloom_url = url
    assert bpy.ops.handloom.connect() == {"FINISHED"}
    wrist = "handloom_right_wrist"
    tick_until(addon, lambda: bpy.data.objects.get(wrist) is not None)
    bpy.ops.handloom.record()
    tick_until(addon, lambda: bpy.data.objects[wrist].animation_data is not None)
    empties = [o for o in bpy.data.objects if o.rotation_mode == "QUATERNION" and o.parent]
    rows = {
        o.name: [*o.location, *o.rotation_quaternion, o.empty_display_size, o.hide_viewport]
        for o in empties
    }
    assert bpy.ops.handloom.connect() == {"FINISHED"}  # hangs up
    assert addon.SESSION.tick() is None
    addon.unregister()
    sys.stdout.write(json.dumps(rows) + "\n")


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("handloom_hands", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["handloom_hands"] = module
    spec.loader.exec_module(module)
    return module


def tick_until(addon: Any, done: Any) -> None:
    """Do by hand what Blender's timer does where there is a window."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, addon.SESSION.listener.said
        assert addon.SESSION.tick() == addon.PERIOD_S
        time.sleep(addon.PERIOD_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
