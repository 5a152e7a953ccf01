"""The container of glTF 2.0 binary files: arrays in, accessors out, one `.glb` at the end."""

import json
import struct
from typing import Any, Final

import numpy as np

from tracker.export.versions import version_of

FLOAT: Final = 5126
_COMPONENTS: Final = {"float32": FLOAT, "uint16": 5123, "uint8": 5121}
_TYPES: Final = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_MAGIC: Final = 0x46546C67
_JSON_CHUNK: Final = 0x4E4F534A
_BINARY_CHUNK: Final = 0x004E4942

ARRAY_BUFFER: Final = 34962
ELEMENT_ARRAY_BUFFER: Final = 34963


class GlbBuilder:
    """A glTF document under construction.

    Example:
        >>> builder = GlbBuilder()
        >>> node = builder.add("nodes", {"name": "empty"})
        >>> builder.to_bytes({"scenes": [{"nodes": [node]}], "scene": 0})[:4]
        b'glTF'
    """

    def __init__(self) -> None:
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._binary = bytearray()

    def add(self, kind: str, item: dict[str, Any]) -> int:
        """Append `item` to the top-level list `kind` (nodes, meshes, ...) and return its index."""
        items = self._lists.setdefault(kind, [])
        items.append(item)
        return len(items) - 1

    def count(self, kind: str) -> int:
        """Return how many items of `kind` there are: the index of the next one."""
        return len(self._lists.get(kind, []))

    def accessor(
        self, array: np.ndarray, *, bounds: bool = False, target: int | None = None
    ) -> int:
        """Store an array (n, ...) and return the accessor that reads it.

        Args:
            array: float32, uint16 or uint8; the axes after the first make a scalar, vector or
                matrix (matrices with columns first, as glTF wants them).
            bounds: also store minimum and maximum, which positions and key times must have.
            target: `ARRAY_BUFFER` for vertex attributes, `ELEMENT_ARRAY_BUFFER` for indices.
        """
        view: dict[str, Any] = {
            "buffer": 0,
            "byteOffset": len(self._binary),
            "byteLength": array.nbytes,
        }
        if target is not None:
            view["target"] = target
        self._binary += _padded(np.ascontiguousarray(array).tobytes(), b"\0")
        accessor: dict[str, Any] = {
            "bufferView": self.add("bufferViews", view),
            "componentType": _COMPONENTS[array.dtype.name],
            "count": len(array),
            "type": _TYPES[array.shape[1:]],
        }
        if bounds:
            columns = array.reshape(len(array), -1)
            accessor["min"], accessor["max"] = columns.min(0).tolist(), columns.max(0).tolist()
        return self.add("accessors", accessor)

    def to_bytes(self, document: dict[str, Any]) -> bytes:
        """Return the file: `document`'s top-level entries with everything added before."""
        asset = {"version": "2.0", "generator": f"Handloom {version_of('handloom')}"}
        buffers = [{"byteLength": len(self._binary)}] if self._binary else []
        whole = {"asset": asset, **document, **self._lists} | (
            {"buffers": buffers} if buffers else {}
        )
        text = json.dumps(whole, allow_nan=False, separators=(",", ":")).encode()
        chunks = _chunk(_JSON_CHUNK, _padded(text, b" "))
        if self._binary:
            chunks += _chunk(_BINARY_CHUNK, bytes(self._binary))
        return struct.pack("<III", _MAGIC, 2, 12 + len(chunks)) + chunks


def _padded(data: bytes, filler: bytes) -> bytes:
    return data + filler * (-len(data) % 4)


def _chunk(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", len(data), kind) + data
