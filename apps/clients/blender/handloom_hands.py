"""Both hands of a Handloom stream in Blender: 26 empties a hand, in a collection of their own.

Install it as an add-on (Edit > Preferences > Add-ons > Install from Disk), then open the sidebar of
the 3D view (N), tab Handloom, and press Connect. It needs nothing but what comes with Blender: the
WebSocket below speaks the little of RFC 6455 that a Handloom server needs.

A thread listens and keeps the newest frame; only Blender's own timer touches Blender's data. The
hands come in Blender's axes (x right, y forward, z up) from the camera's place; move the collection's
parent empty to put them elsewhere. While a recording runs (the button below Connect), every frame
gets keys.
"""

import base64
import contextlib
import importlib
import json
import os
import secrets
import socket
import struct
import threading
from typing import Any
from urllib.parse import urlsplit

bl_info = {
    "name": "Handloom hands",
    "version": (1, 0, 0),
    "blender": (4, 2, 0),
    "location": "3D View > Sidebar > Handloom",
    "description": "Both hands of a Handloom stream as empties",
    "category": "Animation",
}

DEFAULT_URL = "ws://127.0.0.1:4263/v1/stream"
PERIOD_S, RETRY_S, PATIENCE_S = 1 / 60, 1.0, 10.0
MAX_MESSAGE = 1 << 20
WANTED = {"type": "subscribe", "parts": ["joints"], "frame": "blender", "flow": "ack", "window": 2}

FINGERS = ("index", "middle", "ring", "little")
PARTS = ("metacarpal", "proximal", "intermediate", "distal", "tip")
JOINTS = (
    *("palm", "wrist", "thumb_metacarpal", "thumb_proximal", "thumb_distal", "thumb_tip"),
    *(f"{finger}_{part}" for finger in FINGERS for part in PARTS),
)
"""OpenXR's names and order."""

_HEADER = struct.Struct("<4sBBHIIQqqBBHI")
_HAND = struct.Struct("<IIBBBBffIfI")
_SECTION = struct.Struct("<BBHI")
_ROW = struct.Struct("<8f")
_SIDES = {1: "left", 2: "right"}
_LOST = 0
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


# Reading the stream: nothing here needs Blender --------------------------------------------------


def decode_frame(data: bytes) -> dict[str, list[tuple[float, ...]]]:
    """Return 26 rows (x, y, z, qx, qy, qz, qw, radius) for each side in view, the best scored hand.

    Raises:
        ValueError: the message is no frame, or damaged.
    """
    try:
        magic, _, kind, at, *_, count, _, _, length = _HEADER.unpack_from(data)
        if magic != b"HS1\0" or kind != 1 or at < _HEADER.size or at + length > len(data):
            raise ValueError(f"{len(data)} bytes that are no whole frame")
        best: dict[str, tuple[float, list[tuple[float, ...]]]] = {}
        for _ in range(count):
            size, _, side, state, sections, _, score, *_ = _HAND.unpack_from(data, at)
            if size < _HAND.size or at + size > len(data):
                raise ValueError("a hand overruns its frame")
            rows = _joint_rows(data, at + _HAND.size, at + size, sections)
            name = _SIDES.get(side, "")
            if rows and name and state != _LOST and score > best.get(name, (-1.0, rows))[0]:
                best[name] = (score, rows)
            at += size
    except struct.error as error:
        raise ValueError(f"a frame is cut short: {error}") from error
    return {name: rows for name, (_, rows) in best.items()}


def _joint_rows(data: bytes, at: int, stop: int, sections: int) -> list[tuple[float, ...]]:
    rows: list[tuple[float, ...]] = []
    for _ in range(sections):
        kind, encoding, _, length = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        if at + length > stop:
            raise ValueError("a section overruns its hand")
        if (kind, encoding) == (1, 0):
            if length != len(JOINTS) * _ROW.size:
                raise ValueError(f"joints of {length} bytes")
            rows = list(_ROW.iter_unpack(data[at : at + length]))
        at += length + -length % 4
    return rows


class WebSocket:
    """One WebSocket, as a client: no compression, no TLS."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme != "ws" or parts.hostname is None:
            raise ValueError(f"{url!r} is no address such as {DEFAULT_URL}")
        address = (parts.hostname, parts.port or 80)
        self._socket = socket.create_connection(address, PATIENCE_S)
        self._read_ahead = b""
        request = [
            f"GET {parts.path or '/'} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: handstream.v1.bin",
        ]
        request += [f"Authorization: Bearer {token}"] if token else []
        try:
            self._socket.sendall("\r\n".join([*request, "", ""]).encode())
            self._expect_upgrade()
        except OSError:
            self._socket.close()
            raise

    def _expect_upgrade(self) -> None:
        while b"\r\n\r\n" not in self._read_ahead:
            if len(self._read_ahead) > 1 << 16:
                raise ConnectionError("the server answers without end")
            self._read_ahead += self._receive()
        head, _, self._read_ahead = self._read_ahead.partition(b"\r\n\r\n")
        status = head.split(b"\r\n")[0].decode("latin-1")
        if " 101" not in status:
            raise ConnectionError(f"the server answers {status}")

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the server hung up")
        return data

    def _read(self, count: int) -> bytes:
        while len(self._read_ahead) < count:
            self._read_ahead += self._receive()
        data, self._read_ahead = self._read_ahead[:count], self._read_ahead[count:]
        return data

    def receive(self) -> str | bytes:
        """Wait for the next message: text or bytes.

        Raises:
            OSError: the line is broken, or nothing came in PATIENCE_S.
        """
        message, kind = b"", 0
        while True:
            first, second = self._read(2)
            length = second & 127
            if length > 125:
                length = int.from_bytes(self._read(2 if length == 126 else 8), "big")
            if len(message) + length > MAX_MESSAGE:
                raise ConnectionError("a message is too long")
            content = self._read(length)
            opcode = first & 15
            if opcode == _CLOSE:
                raise ConnectionError("the server closed the line")
            if opcode == _PING:
                self._send(_PONG, content)
            if opcode in (_TEXT, _BINARY, 0):
                kind, message = opcode or kind, message + content
                if first & 128:  # its last part
                    return message.decode() if kind == _TEXT else message

    def send(self, text: str) -> None:
        """Send a text message of at most 64 KiB."""
        self._send(_TEXT, text.encode())

    def _send(self, opcode: int, content: bytes) -> None:
        mask = os.urandom(4)
        size = len(content)
        head = bytes([128 | opcode, 128 | size]) if size < 126 else bytes([128 | opcode, 254])
        head += b"" if size < 126 else size.to_bytes(2, "big")
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(content))
        self._socket.sendall(head + mask + masked)

    def close(self) -> None:
        """Hang up; whoever waits in `receive` is woken by an error."""
        with contextlib.suppress(OSError):  # the other side may have been quicker
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Listener:
    """Follow a stream in a thread: `take` gives the newest hands, `said` how it goes."""

    def __init__(self, url: str = DEFAULT_URL, token: str = "") -> None:
        self._url, self._token = url, token
        self._stopping = threading.Event()
        self._socket: WebSocket | None = None
        self._latest: dict[str, list[tuple[float, ...]]] | None = None
        self.said = "connecting"
        self._thread = threading.Thread(target=self._run, name="handloom-hands", daemon=True)
        self._thread.start()

    def take(self) -> dict[str, list[tuple[float, ...]]] | None:
        """Return the hands of the newest frame, by side; None if it was taken before."""
        latest, self._latest = self._latest, None
        return latest

    def close(self) -> None:
        """Hang up and wait for the thread."""
        self._stopping.set()
        if self._socket is not None:
            self._socket.close()
        self._thread.join(RETRY_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._socket = WebSocket(self._url, self._token)
                self._listen(self._socket)
            except (OSError, ValueError) as error:
                self.said = str(error)
            if self._socket is not None:
                self._socket.close()
            self._stopping.wait(RETRY_S)

    def _listen(self, line: WebSocket) -> None:
        self.said, subscribed = "connected", False
        line.send(json.dumps(WANTED))
        while not self._stopping.is_set():
            message = line.receive()
            if isinstance(message, str):
                # Frames that come before the answer are in nobody's axes.
                subscribed = subscribed or json.loads(message).get("type") == "subscribed"
            elif subscribed:
                self._latest = decode_frame(message)
                line.send('{"type":"ack"}')  # one frame is done with, so the next may come


# Showing the hands: all of this runs on Blender's main thread ------------------------------------


def blender() -> Any:
    """Return the module `bpy`, which only Blender has: whoever reads the stream alone needs none."""
    return importlib.import_module("bpy")


class HandsInScene:
    """The empties of both hands; made when they are first needed."""

    def __init__(self, bpy: Any) -> None:
        self._bpy = bpy
        self.recording = False

    def show(self, hands: dict[str, list[tuple[float, ...]]]) -> None:
        """Move the empties; hide those of a hand that is not in view."""
        for side in _SIDES.values():
            rows = hands.get(side)
            for joint, name in enumerate(JOINTS):
                empty = self.empty(f"handloom_{side}_{name}")
                empty.hide_viewport = rows is None
                if rows is None:
                    continue
                x, y, z, qx, qy, qz, qw, radius = rows[joint]
                empty.location = (x, y, z)
                empty.rotation_quaternion = (qw, qx, qy, qz)  # Blender has w first
                empty.empty_display_size = radius
                if self.recording:
                    empty.keyframe_insert("location")
                    empty.keyframe_insert("rotation_quaternion")

    def empty(self, name: str) -> Any:
        """Return the empty of a joint, or make it."""
        found = self._bpy.data.objects.get(name)
        if found is not None:
            return found
        made = self._bpy.data.objects.new(name, None)
        made.empty_display_type = "SPHERE"
        made.rotation_mode = "QUATERNION"
        made.parent = self._camera()
        self._collection().objects.link(made)
        return made

    def _camera(self) -> Any:
        """The parent of all joints, which stands where the camera is."""
        found = self._bpy.data.objects.get("handloom_camera")
        if found is None:
            found = self._bpy.data.objects.new("handloom_camera", None)
            found.empty_display_type = "ARROWS"
            found.empty_display_size = 0.1
            self._collection().objects.link(found)
        return found

    def _collection(self) -> Any:
        found = self._bpy.data.collections.get("Handloom")
        if found is None:
            found = self._bpy.data.collections.new("Handloom")
            self._bpy.context.scene.collection.children.link(found)
        return found


class Session:
    """What the buttons start and stop."""

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self.hands: HandsInScene | None = None

    def start(self, url: str, token: str) -> None:
        """Connect, and look for news 60 times a second."""
        self.stop()
        self.listener, self.hands = Listener(url, token), HandsInScene(blender())
        blender().app.timers.register(self.tick)

    def stop(self) -> None:
        """Hang up; the empties stay."""
        if self.listener is not None:
            self.listener.close()
        self.listener = None

    def tick(self) -> float | None:
        """Show what came since; returns when to come again, None for never."""
        if self.listener is None or self.hands is None:
            return None
        hands = self.listener.take()
        if hands is not None:
            self.hands.show(hands)
        return PERIOD_S


SESSION = Session()
_classes: list[Any] = []


def register() -> None:
    """Put the panel into the sidebar; Blender calls this when the add-on is switched on."""
    bpy = blender()
    _classes[:] = _make_classes(bpy)
    for each in _classes:
        bpy.utils.register_class(each)
    bpy.types.Scene.handloom_url = bpy.props.StringProperty(name="Address", default=DEFAULT_URL)
    bpy.types.Scene.handloom_token = bpy.props.StringProperty(name="Token", subtype="PASSWORD")


def unregister() -> None:
    """Take everything back; Blender calls this when the add-on is switched off."""
    bpy = blender()
    SESSION.stop()
    del bpy.types.Scene.handloom_url, bpy.types.Scene.handloom_token
    for each in reversed(_classes):
        bpy.utils.unregister_class(each)


def _make_classes(bpy: Any) -> list[Any]:
    class Connect(bpy.types.Operator):
        """Connect to the stream, or hang up."""

        bl_idname, bl_label = "handloom.connect", "Connect or hang up"

        def execute(self, context: Any) -> set[str]:
            if SESSION.listener is None:
                SESSION.start(context.scene.handloom_url, context.scene.handloom_token)
            else:
                SESSION.stop()
            return {"FINISHED"}

    class Record(bpy.types.Operator):
        """Give every joint a key at the current frame whenever hands come, or stop doing so."""

        bl_idname, bl_label = "handloom.record", "Record keys"

        def execute(self, _: Any) -> set[str]:
            if SESSION.hands is not None:
                SESSION.hands.recording = not SESSION.hands.recording
            return {"FINISHED"}

    class Panel(bpy.types.Panel):
        """Address, token and the buttons."""

        bl_idname, bl_label = "VIEW3D_PT_handloom", "Handloom hands"
        bl_space_type, bl_region_type, bl_category = "VIEW_3D", "UI", "Handloom"

        def draw(self, context: Any) -> None:
            self.layout.prop(context.scene, "handloom_url")
            self.layout.prop(context.scene, "handloom_token")
            connected = SESSION.listener is not None
            self.layout.operator("handloom.connect", text="Hang up" if connected else "Connect")
            recording = SESSION.hands is not None and SESSION.hands.recording
            self.layout.operator(
                "handloom.record", text="Stop keys" if recording else "Record keys"
            )
            if SESSION.listener is not None:
                self.layout.label(text=SESSION.listener.said)

    return [Connect, Record, Panel]


if __name__ == "__main__":
    register()
