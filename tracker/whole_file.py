"""Files that are whole or absent: written beside their place under another name, then renamed."""

import contextlib
import errno
import json
import os
import re
import secrets
from collections.abc import Generator, Iterable
from pathlib import Path

from tracker.errors import OutputError

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space, or choose another folder with --out",
    errno.EDQUOT: "your disk quota is used up; free some space, or choose another folder with --out",
    errno.EACCES: "permission denied; choose a folder you may write to with --out",
    errno.EPERM: "permission denied; choose a folder you may write to with --out",
    errno.EROFS: "the disk is read-only; choose another folder with --out",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another folder with --out",
    errno.EEXIST: "a file stands where a folder is needed; choose another folder with --out",
    errno.EISDIR: "a folder stands where the file should go; move it or choose another with --out",
    errno.ENOENT: "there is no such folder; make it, or choose another with --out",
    errno.ENAMETOOLONG: "the path is too long; choose a shorter folder with --out",
}


def output_error(path: Path, cause: OSError) -> OutputError:
    """Return the error that says which path could not be written, why, and what to do."""
    fallback = f"{cause.strerror or cause}; check the folder or choose another with --out"
    return OutputError(f"cannot write {path}: {_REMEDIES.get(cause.errno or 0, fallback)}")


def make_folder(folder: Path) -> Path:
    """Create `folder` and its parents where they are missing, and return it.

    Raises:
        OutputError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise output_error(folder, cause) from cause
    return folder


@contextlib.contextmanager
def whole_file(path: Path, *, durable: bool = True) -> Generator[Path, None, None]:
    """Give a temporary path to write to; move it to `path` once the block ends well.

    The temporary name lies in the same folder and has the same suffix, because many writers choose
    their format by it. When the block fails or is interrupted, whatever lay at `path` before stays
    as it was and the temporary file is removed.

    Args:
        path: where the file goes.
        durable: also keep the promise through a power cut. That costs a wait for the disk, which
            adds up over hundreds of small files.

    Raises:
        OutputError: the disk is full, the folder may not be written to, and the like.
    """
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        yield partial
        if durable:
            with partial.open("rb") as written:
                # Without it a power cut may leave an empty file under the final name.
                os.fsync(written.fileno())
        partial.replace(path)
    except OSError as cause:
        raise output_error(path, cause) from cause
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write something as JSON, for people and programs; see `whole_file`.

    Raises:
        OutputError: the file cannot be written.
        ValueError: it holds a NaN or an infinity, which JSON does not have.
    """
    text = json.dumps(content, indent=2, allow_nan=False)
    with whole_file(path) as partial:
        partial.write_text(f"{text}\n", encoding="utf-8")


def remove_stale(folder: Path, name_pattern: str, keep: Iterable[Path]) -> None:
    """Delete the files of `folder` an earlier run left: those named like ours but not in `keep`."""
    kept = set(keep)
    stale = [p for p in folder.iterdir() if re.fullmatch(name_pattern, p.name) and p not in kept]
    for path in stale:
        try:
            path.unlink()
        except OSError as cause:
            raise output_error(path, cause) from cause
