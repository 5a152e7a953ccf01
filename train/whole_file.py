"""Files that are whole or what they were before: written under another name, then renamed."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tracker.errors import OutputError


@contextmanager
def whole_file(path: Path, advice: str) -> Generator[BinaryIO, None, None]:
    """Give a stream to write to; what lay at `path` stays until the block has ended well.

    Args:
        path: where the file goes.
        advice: what to do where it cannot be written, for the message.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            # Without it a power cut may leave an empty file under the final name.
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as problem:
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {path} ({problem.strerror or problem}); {advice}"
        ) from problem


def write_json(path: Path, content: object, advice: str) -> None:
    """Write something as JSON for people and programs; see `whole_file`.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path, advice) as stream:
        stream.write((json.dumps(content, indent=2) + "\n").encode())
