"""`--data` on the command line: which records to train on or evaluate with."""

import os
from pathlib import Path

from talkbench.data.folder import FolderSource, cached_store
from talkbench.data.store import Store, is_store
from talkbench.data.synthetic.materialise import cache_folder, materialise

KINDS = ("synthetic", "folder")


class SourceError(ValueError):
    """An unknown data set, or a folder that is not there; names the flag."""


def parse(spec: str) -> tuple[str, Path | None]:
    """`synthetic` or `folder=DIR` -> (kind, folder).

    Raises:
        SourceError: unknown kind, or a folder that is missing.
    """
    kind, _, place = spec.partition("=")
    if kind not in KINDS:
        from talkbench.config import nearest

        raise SourceError(f"--data {spec}: no data set {kind!r}; {nearest(kind, KINDS)}")
    if kind == "synthetic":
        if place:
            raise SourceError(
                f"--data {spec}: the synthetic set is computed and takes no folder; pass --data synthetic"
            )
        return kind, None
    if not place:
        raise SourceError(f"--data {spec}: name the folder, --data {kind}=DIR")
    if not Path(place).is_dir():
        raise SourceError(f"--data {spec}: no folder {place}")
    return kind, Path(place)


def open_store(spec: str, size: int, split: str, progress=None) -> Store:
    """The records of `spec` at `size` pixels.

    Args:
        spec: see `parse`. A folder that `write_store` made is opened as it is; any other is read as videos and kept
            as records in the cache. A folder of videos has no splits: every split is the whole.
        split: "train", "val", "dev" or "test" of the synthetic set.
        progress: told (done, all) while clips are drawn.
    """
    kind, folder = parse(spec)
    if kind == "synthetic":
        return materialise(split, size, workers=os.cpu_count(), progress=progress)
    if is_store(folder):
        return Store(folder)
    source = FolderSource(folder, size)
    store = cached_store(source, cache_folder() / "folders")
    for path, reason in sorted(source.rejected.items()):
        print(f"left out {path}: {reason}", flush=True)
    return store
