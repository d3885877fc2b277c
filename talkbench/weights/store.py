"""The folder of weight files: find, download, import and check what the registry lists.

A file is only ever fetched when the user says so. It is trusted by its checksum: the registry's, or, where
the publisher gave a prefix or nothing, the one seen at the first download, which is recorded in
`checksums.json`.
"""

import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from talkbench.weights.registry import Published, by_name

Progress = Callable[[int, int], None]  # bytes so far, bytes in all (0: not known)
_CHUNK = 1 << 18


class WeightsMissing(ValueError):
    """Weights that are not on this machine; the message says how to get them."""


class WeightsRefused(ValueError):
    """A file that is not the one the registry means, or a download that failed."""


def default_folder() -> Path:
    """`$TALKBENCH_WEIGHTS`, else `talkbench/weights` in the user's cache folder."""
    if os.environ.get("TALKBENCH_WEIGHTS"):
        return Path(os.environ["TALKBENCH_WEIGHTS"])
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "talkbench" / "weights"


def path_of(name: str, folder: str | Path | None = None) -> Path:
    """Where the weights `name` are.

    Args:
        name: a name of the registry.
        folder: what `--weights-dir` says; None: the default folder. Files that the user put there by hand
            under the publisher's name are found too.

    Raises:
        WeightsMissing: they are not there.
        ValueError: no such name.
    """
    row = by_name(name)
    path = Path(folder or default_folder()) / row.file
    if not path.is_file():
        raise WeightsMissing(f"{name} ({row.file}) is not available: run talkbench weights fetch {name}")
    return path


def available(name: str, folder: str | Path | None = None) -> bool:
    """Whether `path_of` would find the weights."""
    return (Path(folder or default_folder()) / by_name(name).file).is_file()


def checksum(path: str | Path) -> str:
    """sha256 of a file."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def records(folder: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """What `checksums.json` says: {file: {"sha256", "size", "source", "date"}}."""
    path = Path(folder or default_folder()) / "checksums.json"
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError:
        raise WeightsRefused(f"{path}: damaged: delete it; files are checked anew") from None


def known_checksum(row: Published, folder: str | Path | None = None) -> str:
    """The registry's whole checksum, else the recorded one, else the registry's prefix or ""."""
    if len(row.sha256) == 64:
        return row.sha256
    return records(folder).get(row.file, {}).get("sha256") or row.sha256


def verify(name: str, folder: str | Path | None = None) -> str:
    """Check a file on this machine against its checksum.

    Returns:
        "checksum" (whole one matches), "prefix" (the publisher's prefix matches), or "unverified" (nothing
        known).

    Raises:
        WeightsMissing: not there.
        WeightsRefused: another file, or a damaged one.
    """
    row, path = by_name(name), path_of(name, folder)
    return _judge(row, path, checksum(path), known_checksum(row, folder))


def _judge(row: Published, path: Path, found: str, known: str) -> str:
    if row.size and path.stat().st_size != row.size:
        raise WeightsRefused(
            f"{path}: {path.stat().st_size} bytes, {row.name} has {row.size}: damaged or another file"
        )
    if known and not found.startswith(known):
        raise WeightsRefused(
            f"{path}: sha256 is {found[:16]}..., {row.name} has {known[:16]}...: damaged or another file"
        )
    return "checksum" if len(known) == 64 else "prefix" if known else "unverified"


def fetch(
    name: str,
    folder: str | Path | None = None,
    *,
    accept_unverified: bool = False,
    progress: Progress | None = None,
    attempts: int = 3,
) -> Path:
    """Download a file of the registry unless it is there, check it, and put it into the folder.

    An interrupted download leaves `FILE.part` and goes on from there the next time.

    Args:
        name: a name of the registry.
        folder: see `path_of`.
        accept_unverified: take a file whose checksum nobody published; its checksum is recorded.
        progress: called with bytes so far and bytes in all.
        attempts: tries before giving up; what arrived is kept between them.

    Raises:
        WeightsRefused: no direct address, no checksum to trust, network failure, or a wrong file.
    """
    row = by_name(name)
    target = Path(folder or default_folder()) / row.file
    if target.is_file():
        verify(name, folder)
        return target
    if not row.url:
        raise WeightsRefused(
            f"{name}: no direct address: open {row.page or row.publisher} in a browser, download {row.file}, "
            f"then run talkbench weights import --name {name} {row.file}"
        )
    _demand_checksum(row, folder, accept_unverified)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    _download(row, part, progress, attempts)
    _adopt(row, part, target, row.url, folder, lambda: part.unlink(missing_ok=True))
    return target


def import_file(
    name: str, path: str | Path, folder: str | Path | None = None, *, accept_unverified: bool = False
) -> Path:
    """Copy a file that the user has into the folder, after checking it. Raises as `fetch`."""
    row, source = by_name(name), Path(path)
    if not source.is_file():
        raise WeightsRefused(f"{source}: no such file")
    _demand_checksum(row, folder, accept_unverified)
    target = Path(folder or default_folder()) / row.file
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file() and source.samefile(target):
        verify(name, folder)
        return target
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(source, temporary)
        _adopt(row, temporary, target, f"import {source.name}", folder, lambda: None, shown=source)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _demand_checksum(row: Published, folder, accept_unverified: bool) -> None:
    if not known_checksum(row, folder) and not accept_unverified:
        raise WeightsRefused(
            f"{row.name}: nobody published a checksum of {row.file}: --accept-unverified takes it as it comes"
        )


def _adopt(
    row, temporary: Path, target: Path, source: str, folder, on_refusal, shown: Path | None = None
) -> None:
    found = checksum(temporary)
    try:
        _judge(row, temporary, found, known_checksum(row, folder))
    except WeightsRefused as error:
        on_refusal()
        raise WeightsRefused(str(error).replace(str(temporary), str(shown or source))) from None
    size = temporary.stat().st_size
    os.replace(temporary, target)
    table = records(folder)
    table[row.file] = {
        "sha256": found,
        "size": size,
        "source": source,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    path = target.with_name("checksums.json")
    new = path.with_name(f"checksums.{os.getpid()}.tmp")
    new.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    os.replace(new, path)


def _download(row: Published, part: Path, progress: Progress | None, attempts: int) -> None:
    failure = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(min(2**attempt, 10))
        try:
            if _download_once(row, part, progress):
                return
            failure = "the connection closed early"
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise WeightsRefused(
                    f"{row.name}: {row.url} answered {error.code} {error.reason}: get it elsewhere, then "
                    f"talkbench weights import --name {row.name} FILE"
                ) from None
            failure = f"{error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            failure = str(getattr(error, "reason", error)) or type(error).__name__
    raise WeightsRefused(
        f"{row.name}: download of {row.url} failed ({failure}): the same command goes on where it stopped, "
        f"or talkbench weights import --name {row.name} FILE"
    )


def _download_once(row: Published, part: Path, progress: Progress | None) -> bool:
    """One connection; True if the file is whole."""
    have = part.stat().st_size if part.exists() else 0
    if row.size and have > row.size:
        part.unlink()
        have = 0
    if row.size and have == row.size:
        return True
    request = urllib.request.Request(row.url, headers={"User-Agent": "talkbench"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing left to send: whole already, or a part of another file
            total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if total == str(have):
                return True
            part.unlink()
            return False
        raise
    with response:
        if have and response.status != 206:  # the server sends everything again
            have = 0
        length = response.headers.get("Content-Length")
        total = row.size or (have + int(length) if length else 0)
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                if progress:
                    progress(have, total)
    return not total or have >= total
