"""The live view in a browser: hands as textured meshes in space, the camera's picture behind them.

viser (an extra, imported when the view is opened) serves the page from a thread of its own, on this
machine only. Everything is sent at its own pace, and nothing while nobody looks.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import cv2
import numpy as np
import trimesh
from jaxtyping import UInt8
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from tracker.geometry.camera import Camera
from tracker.geometry.skeleton import BONES
from tracker.geometry.zbuffer import vertex_normals
from tracker.view.browser_guard import open_server
from tracker.view.live_keys import ViewState
from tracker.view.live_painter import LivePainter
from tracker.view.live_view import Command, Hud, LivePicture
from tracker.view.live_wireframe import SIDE_RGB
from tracker.view.software_renderer import SoftwareRenderer
from tracker.vision.records import TrackedHand
from tracker.vision.smoothing import OneEuroConfig, SmoothingConfig

_PICTURE_S: Final = 0.1
_MESH_S: Final = 1 / 30
_WORDS_S: Final = 0.25
"""At most so often are picture, meshes and words sent."""
_PICTURE_WIDTH: Final = 640
_BACKDROP_M: Final = 0.8
"""Least distance of the camera's picture; it is pushed back behind far hands."""
_AMBIENT: Final = 0.5
"""Added to viser's own lights, so that the side in the shade is seen."""
_FILTERS: Final = ("orientation", "fingers", "direction", "depth")


def retuned(config: SmoothingConfig, rest: float, follow: float) -> SmoothingConfig:
    """Return filters with every cutoff at rest and every gain on speed multiplied.

    Args:
        config: where to begin.
        rest: below 1 is steadier at rest.
        follow: above 1 follows quick movements more closely.
    """

    def tuned(one: OneEuroConfig) -> OneEuroConfig:
        return replace(one, min_cutoff_hz=one.min_cutoff_hz * rest, beta=one.beta * follow)

    return replace(config, **{name: tuned(getattr(config, name)) for name in _FILTERS})


class BrowserView:
    """Shows pictures to the browsers of this machine.

    Args:
        title: of the page.
        port: first port tried; 0 takes a free one.
        state: what is shown at first.
        smoothing: where the sliders begin; without `on_smoothing` there are none.
        on_smoothing: called from `commands` with what the sliders ask for.

    Raises:
        RenderError: viser is not installed, or no port is free.
    """

    def __init__(
        self,
        *,
        title: str = "Handloom",
        port: int = 4264,
        state: ViewState | None = None,
        smoothing: SmoothingConfig | None = None,
        on_smoothing: Callable[[SmoothingConfig], None] | None = None,
    ) -> None:
        self.state = state or ViewState()
        self._viser, self._server = open_server(port, title)
        self._smoothing = smoothing or SmoothingConfig()
        self._on_smoothing = on_smoothing
        self._asked: deque[Command] = deque()
        self._retune = False
        self._meshes: dict[int, Any] = {}
        self._bones: dict[int, Any] = {}
        self._due: dict[str, float] = {}
        self._picture: LivePicture | None = None
        self._painter = LivePainter(SoftwareRenderer())
        self._closed = False
        self._furnish()

    @property
    def url(self) -> str:
        """Where to look."""
        return f"http://127.0.0.1:{self._server.get_port()}"

    def show(self, picture: LivePicture) -> None:
        """Send what is due to whoever looks."""
        self._picture = picture
        if self._closed or not self._server.get_clients():
            return
        with self._server.atomic():
            if self._is_due("meshes", _MESH_S):
                self._send_hands(picture.hands)
            if self._is_due("picture", _PICTURE_S):
                self._send_picture(picture.frame.rgb, picture.camera, picture.hands)
            if self._is_due("words", _WORDS_S):
                self._words.content = _markdown(picture.hud)

    def commands(self) -> list[Command]:
        """Return which buttons were pressed; pass on what the sliders ask for."""
        if self._retune and self._on_smoothing is not None:
            self._retune = False
            rest, follow = 2.0**self._rest.value, 2.0**self._follow.value
            self._on_smoothing(retuned(self._smoothing, rest, follow))
        return [self._asked.popleft() for _ in range(len(self._asked))]

    def shown(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return the last picture with its hands, as a window would show it."""
        return None if self._picture is None else self._painter.paint(self._picture, self.state)

    def close(self) -> None:
        """Stop serving; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._server.stop()

    def _furnish(self) -> None:
        """Put up what stays: the viewer's place, words, buttons, sliders."""
        server = self._server
        server.gui.configure_theme(dark_mode=True, show_share_button=False)
        server.scene.set_up_direction("-y")
        server.scene.add_light_ambient("/light", intensity=_AMBIENT)
        server.initial_camera.position = (0.25, -0.2, -0.15)
        server.initial_camera.look_at = (0.0, 0.0, 0.5)
        self._frustum: Any = None
        self._words = server.gui.add_markdown("waiting for the first picture")
        labels = (
            *((Command.PAUSE, "Pause"), (Command.RECORD, "Record")),
            *((Command.SCREENSHOT, "Screenshot"), (Command.CALIBRATE, "Calibrate")),
        )
        for command, label in labels:
            self._on_change("on_click", server.gui.add_button(label), self._asks(command))
        for field in ("texture", "skeleton"):
            box = server.gui.add_checkbox(field.capitalize(), getattr(self.state, field))
            self._on_change("on_update", box, self._switches(field))
        surface = server.gui.add_dropdown(
            "Surface", ("mesh", "wireframe", "none"), initial_value=self.state.surface
        )
        self._on_change("on_update", surface, self._switches("surface"))
        if self._on_smoothing is not None:
            with server.gui.add_folder("Smoothing"):
                self._rest = self._slider(
                    "Steady at rest ... quick", "0 as tuned; -1 halves the cutoff at rest"
                )
                self._follow = self._slider(
                    "Calm ... follows speed", "0 as tuned; 1 doubles the gain on speed"
                )

    def _slider(self, label: str, hint: str) -> Any:
        slider = self._server.gui.add_slider(label, -3.0, 3.0, 0.25, 0.0, hint=hint)
        self._on_change("on_update", slider, self._asks_to_retune)
        return slider

    def _on_change(self, event: str, thing: Any, call: Callable[[Any], None]) -> None:
        getattr(thing, event)(call)

    def _asks(self, command: Command) -> Callable[[Any], None]:
        return lambda event: self._asked.append(command)

    def _switches(self, field: str) -> Callable[[Any], None]:
        def switch(event: Any) -> None:
            self.state = replace(self.state, **{field: event.target.value})
            self._due.pop("meshes", None)

        return switch

    def _asks_to_retune(self, event: Any) -> None:
        self._retune = True

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_s
        return True

    def _send_hands(self, hands: tuple[TrackedHand, ...]) -> None:
        state = self.state
        alive = [hand for hand in hands if hand.state != "lost"]
        drawn = {hand.track_id for hand in alive}
        for things, wanted in (
            (self._meshes, state.surface != "none"),
            (self._bones, state.skeleton),
        ):
            for track_id in [i for i in things if not wanted or i not in drawn]:
                things.pop(track_id).remove()
        for hand in alive:
            if state.surface != "none":
                self._meshes[hand.track_id] = self._mesh(hand)
            if state.skeleton:
                self._bones[hand.track_id] = self._skeleton(hand)

    def _mesh(self, hand: TrackedHand) -> Any:
        """Send a hand's surface; the same name takes the place of the last one."""
        name = f"/hands/{hand.track_id}"
        if self.state.surface == "wireframe" or not self.state.texture:
            wires = self.state.surface == "wireframe"
            color = SIDE_RGB[hand.side]
            vertices = hand.vertices.astype(np.float32)
            return self._server.scene.add_mesh_simple(
                name, vertices, hand.faces, color=color, wireframe=wires, side="double"
            )
        return self._server.scene.add_mesh_trimesh(name, _coloured(hand))

    def _skeleton(self, hand: TrackedHand) -> Any:
        ends = hand.joints[np.array(BONES)].astype(np.float32)
        return self._server.scene.add_line_segments(
            f"/bones/{hand.track_id}", ends, (255, 255, 255), line_width=3.0
        )

    def _send_picture(
        self, rgb: np.ndarray, camera: Camera, hands: tuple[TrackedHand, ...]
    ) -> None:
        height, width = rgb.shape[:2]
        small = cv2.resize(rgb, (_PICTURE_WIDTH, round(height * _PICTURE_WIDTH / width)))
        if self._frustum is not None:
            self._frustum.image = small
            return
        fov = 2 * np.arctan(height / 2 / float(camera.K[1, 1]))
        self._frustum = self._server.scene.add_camera_frustum(
            "/camera",
            fov,
            width / height,
            scale=_BACKDROP_M,
            thickness=0.002,
            color=(120, 128, 140),
            image=small,
            format="jpeg",
            jpeg_quality=70,
        )


def _coloured(hand: TrackedHand) -> trimesh.Trimesh:
    """Return a hand for glTF, whose vertex colours are linear and whose plain material is metal."""
    encoded = np.clip(hand.colors, 0, 1)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    rgba = np.c_[linear * 255, np.full(len(linear), 255.0)].round().astype(np.uint8)
    skin = PBRMaterial(metallicFactor=0.0, roughnessFactor=0.7)
    visual = TextureVisuals(material=skin)
    visual.vertex_attributes["color"] = rgba
    normals = vertex_normals(hand.vertices, hand.faces)
    return trimesh.Trimesh(
        hand.vertices, hand.faces, visual=visual, vertex_normals=normals, process=False
    )


def _markdown(hud: Hud) -> str:
    """Return the words for the page; what comes from outside stays plain text."""
    notice = [f"**{_plain(hud.notice)}**", ""] if hud.notice else []
    return "\n".join([*notice, *(f"{_plain(line)}  " for line in hud.lines)])


def _plain(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+!|~$" else letter for letter in text)
