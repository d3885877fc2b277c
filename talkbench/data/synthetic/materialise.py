"""Draw a split of the synthetic benchmark into a store on disk: once, by several processes, resumable."""

import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from talkbench.data.clip import Clip
from talkbench.data.store import Store, is_store, write_store
from talkbench.data.synthetic.source import SPLITS, SyntheticError, SyntheticSource, clip_name, synthetic_clip

_ARRAYS = ("audio", "landmarks", "pose", "shape", "expression")


def cache_folder() -> Path:
    """Where talkbench keeps what it can make again: $TALKBENCH_CACHE, else its XDG cache folder."""
    chosen = os.environ.get("TALKBENCH_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "talkbench"


def _key(source: SyntheticSource) -> str:
    return hashlib.sha256(json.dumps(source.manifest, sort_keys=True).encode()).hexdigest()


def default_folder(source: SyntheticSource) -> Path:
    """Where a source is stored by default; the name changes with all that its clips depend on."""
    return cache_folder() / "synthetic" / f"{source.split}-{source.size}-{_key(source)[:12]}"


def materialise(
    split: str,
    size: int,
    folder: str | Path | None = None,
    workers: int | None = None,
    *,
    identities: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """The store of a split, drawn if it is not there yet.

    Identities are drawn into a hidden folder of parts beside `folder`, so that an interrupted call goes on
    where it stopped; then one PNG store is packed and renamed into place. Calls for the same folder wait for
    one another. The bytes do not depend on `workers`.

    Args:
        split, size, identities: as for `SyntheticSource`.
        folder: where to; `default_folder` if None.
        workers: processes; None: one a core; 0 or 1: this process. Started by "spawn", so a script needs its
            `if __name__ == "__main__"`.
        progress: called with (identities done, identities in all).

    Raises:
        SyntheticError: what `SyntheticSource` refuses; a folder with another store; a worker that died.
        StoreError: the store cannot be written.
    """
    source = SyntheticSource(split, size, identities)
    folder = default_folder(source) if folder is None else Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SyntheticError(f"{folder}: cannot make the folder above it: {error.strerror}") from error
    with _lock(folder.parent / f".{folder.name}.lock"):
        if is_store(folder):
            store = Store(folder)
            if store.manifest.get("synthetic_key") != _key(source):
                raise SyntheticError(
                    f"{folder}: holds another store than split {split!r} at {size} px of version "
                    f"{source.manifest['version']}; remove it or give another folder"
                )
            return store
        parts = folder.parent / f".{folder.name}.parts-{_key(source)[:12]}"
        parts.mkdir(exist_ok=True)
        store = write_store(
            folder,
            _draw_all(source, parts, workers, progress),
            size=source.size,
            codec="png",
            name=source.name,
            extra={"synthetic": source.manifest, "synthetic_key": _key(source)},
        )
        shutil.rmtree(parts, ignore_errors=True)
        return store


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _draw_all(source: SyntheticSource, parts: Path, workers: int | None, progress) -> Iterator[Clip]:
    """Clips in order, identity by identity, from parts that are drawn as needed."""
    total = len(source.identities)
    missing = [i for i in source.identities if not _part(parts, i).exists()]
    workers = (os.cpu_count() or 1) if workers is None else workers
    workers = min(workers, len(missing))
    if workers <= 1:
        for done, identity in enumerate(source.identities):
            if not _part(parts, identity).exists():
                _draw_part(parts, source.split, source.size, identity)
            yield from _read_part(_part(parts, identity))
            _tell(progress, done + 1, total)
        return
    # What numba compiles is in its cache before the workers start, else each of them would compile it.
    synthetic_clip(missing[0], 0, 1, source.size)
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        drawn = {i: pool.submit(_draw_part, parts, source.split, source.size, i) for i in missing}
        for done, identity in enumerate(source.identities):
            if identity in drawn:
                drawn[identity].result()
            yield from _read_part(_part(parts, identity))
            _tell(progress, done + 1, total)
    except BrokenProcessPool as error:
        raise SyntheticError(
            "a process that drew the synthetic data died (out of memory? a script without its "
            '`if __name__ == "__main__"`?); call again to go on, with workers=1 if it dies again'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _tell(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _part(parts: Path, identity: int) -> Path:
    return parts / f"s{identity:04d}.npz"


def _draw_part(parts: Path, split: str, size: int, identity: int) -> None:
    """Draw all clips of an identity into one file, atomically.

    Frames are kept as differences in time, which a still background makes small and quick to compress.
    """
    rule = SPLITS[split]
    arrays = {}
    for number in rule.clips:
        clip = synthetic_clip(identity, number, rule.num_frames, size, split=split)
        change = np.diff(clip.frames, axis=0, prepend=np.zeros_like(clip.frames[:1]))
        arrays[f"{clip.clip_id}/frames"] = np.frombuffer(zlib.compress(change.tobytes(), 1), np.uint8)
        for name in _ARRAYS:
            arrays[f"{clip.clip_id}/{name}"] = getattr(clip, name)
        for name, value in clip.labels.items():
            arrays[f"{clip.clip_id}/labels/{name}"] = value
    arrays["split"] = np.array(split)
    temporary = parts / f"s{identity:04d}.tmp-{os.getpid()}"
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, _part(parts, identity))


def _read_part(path: Path) -> Iterator[Clip]:
    with np.load(path, allow_pickle=False) as arrays:
        split = str(arrays["split"])
        rule = SPLITS[split]
        identity = path.stem
        for number in rule.clips:
            clip_id = clip_name(int(identity[1:]), number)
            change = np.frombuffer(zlib.decompress(arrays[f"{clip_id}/frames"].tobytes()), np.uint8)
            edge = int(round((len(change) / (3 * rule.num_frames)) ** 0.5))
            change = change.reshape(rule.num_frames, edge, edge, 3)
            prefix = f"{clip_id}/labels/"
            yield Clip(
                clip_id=clip_id,
                identity=identity,
                frames=np.cumsum(change, axis=0, dtype=np.uint8),
                landmark_source="synthetic",
                split=split,
                **{name: arrays[f"{clip_id}/{name}"] for name in _ARRAYS},
                labels={
                    name.removeprefix(prefix): arrays[name]
                    for name in arrays.files
                    if name.startswith(prefix)
                },
            )
