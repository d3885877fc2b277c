"""Files that are written whole or not at all."""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file in one step, into a folder that is there: readers see the old file or the new one, a kill leaves the
    old one.

    Raises:
        OSError: names the file (a full disk's own error has no name); nothing of the new content is left.
    """
    path, temporary = Path(path), None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
        mask = os.umask(0)  # mkstemp's files are for their owner only
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` in one step; see `write_parts`."""
    write_parts(path, (content,))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write text in one step, a line end behind each of `lines`; see `write_parts`."""
    write_parts(path, (f"{line}\n".encode() for line in lines))


def write_json(path: Path, content: dict) -> None:
    """Write JSON in one step; see `write_parts`."""
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())
