"""`--data` on the command line: which records to train on or evaluate with."""

import os
from pathlib import Path

from talkbench.data.folder import FolderSource, cached_store
from talkbench.data.prepare import DATASETS
from talkbench.data.store import Store, is_store
from talkbench.data.synthetic.materialise import cache_folder, materialise

# `folder` means videos, read on the fly, or records; `prepared` the records of any data set
KINDS = ("synthetic", "prepared", *DATASETS)


class SourceError(ValueError):
    """An unknown data set, or a folder that is not there; names the flag."""


def parse(spec: str) -> tuple[str, Path | None]:
    """`synthetic`, `folder=DIR`, `prepared=DIR` or `NAME=DIR` of a prepared data set -> (kind, folder).

    Raises:
        SourceError: unknown kind, a folder that is missing, or one that is not prepared but must be.
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
    if kind != "folder":
        store = stored(Path(place))
        made_of = store and store.manifest.get("prepare", {}).get("dataset")
        if made_of is None or kind not in ("prepared", made_of):
            found = f"was prepared as {made_of}" if made_of else "holds no prepared records"
            name = "DATASET" if kind == "prepared" else kind
            raise SourceError(
                f"--data {spec}: {place} {found}; run `talkbench data prepare --dataset {name} --source DIR --out OUT`"
                f" and pass --data {kind}=OUT"
            )
    return kind, Path(place)


def stored(folder: Path) -> Store | None:
    """The records of a folder that is a store or was prepared; None for any other."""
    for place in (folder, folder / "records"):
        if is_store(place):
            return Store(place)
    return None


def held_out(spec: str, split: str) -> bool:
    """Whether `open_store` gives clips of that split alone (and not all there are)."""
    kind, folder = parse(spec)
    if kind == "synthetic":
        return True
    store = stored(folder)
    return store is not None and split in store.manifest["splits"]


def open_store(spec: str, size: int, split: str, progress=None) -> Store:
    """The records of `spec` at `size` pixels.

    Args:
        spec: see `parse`. A folder that `write_store` made is opened as it is; any other is read as videos and kept
            as records in the cache. A folder of videos has no splits: every split is the whole.
        split: "train", "val", "dev" or "test" of the synthetic set; of prepared records one of theirs or "all", and all
            of them where they have no such split (said in a line).
        progress: told (done, all) while clips are drawn.

    Raises:
        SourceError: see `parse`; prepared records of another size.
    """
    kind, folder = parse(spec)
    if kind == "synthetic":
        return materialise(split, size, workers=os.cpu_count(), progress=progress)
    store = stored(folder)
    if store is not None:
        return _split_of(store, spec, size, split) if "prepare" in store.manifest else store
    source = FolderSource(folder, size)
    store = cached_store(source, cache_folder() / "folders")
    for path, reason in sorted(source.rejected.items()):
        print(f"left out {path}: {reason}", flush=True)
    return store


def _split_of(store: Store, spec: str, size: int, split: str) -> Store:
    if store.manifest["size"] != size:
        raise SourceError(
            f"--data {spec}: its pictures are {store.manifest['size']} px, {size} px are wanted; prepare it with "
            f"--size {size}"
        )
    there = store.manifest["splits"]
    if split in there:
        return store.only(store.ids(split))
    if split != "all" and set(there) != {""}:
        print(
            f"{spec} has no split {split!r} (it has {', '.join(there)}): all {len(store)} clips", flush=True
        )
    return store
