"""`talkbench data verify`: proof that nothing was lost between the files and the records."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from talkbench.data.clip import SAMPLES_PER_FRAME
from talkbench.data.prepare.run import RECORDS, lines_sha256, records
from talkbench.data.store import Store, StoreError, is_store

_SPLITS = {"train", "val", "test"}  # others, such as "held", are for no one
QUICK = 100  # with `quick` each n-th clip's pictures are decoded


def verify(out: Path, quick: bool = False, progress: Callable[[int, int, str], None] | None = None):
    """Checks a prepared folder.

    Yields:
        (what was checked, faults found): an empty list where all is well.

    Raises:
        StoreError: not a prepared folder.
    """
    out = Path(out)
    if not (out / "sources.jsonl").exists():
        raise StoreError(
            f"{out}: not a prepared folder (no sources.jsonl); run `talkbench data prepare` to its end"
        )
    sources, quarantined = _lines(out / "sources.jsonl"), _lines(out / "quarantine.jsonl")
    yield from _files(sources, quarantined)
    wanted = [clip for source in sources for clip in source["clips"]]
    if not wanted and not is_store(out / RECORDS):
        return
    store = records(out)
    yield "checksums of all shards", _faults(store.verify)
    yield f"{len(store)} clips", _clip_ids(store, wanted)
    yield f"{store.manifest['frames']} frames, sound and landmarks", _contents(store, quick, progress)
    yield "splits", _splits(store)
    yield "protocol lists", _protocols(out, store)


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _faults(check: Callable[[], None]) -> list[str]:
    try:
        check()
    except StoreError as error:
        return [str(error)]
    return []


def _files(sources: list[dict], quarantined: list[dict]) -> Iterator[tuple[str, list[str]]]:
    faults = []
    paths = [source["path"] for source in sources]
    faults += [f"{path} is listed twice" for path in sorted(p for p, n in Counter(paths).items() if n > 1)]
    accepted = {source["path"] for source in sources if source["verdict"] == "accepted"}
    refused = {row["path"] for row in quarantined}
    faults += [f"{path} is accepted and quarantined" for path in sorted(accepted & refused)]
    faults += [
        f"{path} is neither accepted nor quarantined" for path in sorted(set(paths) - accepted - refused)
    ]
    faults += [f"{path} is quarantined but no source" for path in sorted(refused - set(paths))]
    faults += [
        f"{s['path']} is accepted without a clip" for s in sources if s["path"] in accepted and not s["clips"]
    ]
    yield f"{len(paths)} source files = {len(accepted)} accepted + {len(refused)} quarantined", faults


def _clip_ids(store: Store, wanted: list[str]) -> list[str]:
    lost, strange = set(wanted) - set(store.clip_ids), set(store.clip_ids) - set(wanted)
    faults = [f"clip {clip_id} is not in the records" for clip_id in sorted(lost)]
    faults += [f"clip {clip_id} comes from no source" for clip_id in sorted(strange)]
    if len(set(store.clip_ids)) != len(store.clip_ids):
        faults.append("a clip id is there twice")
    return faults


def _contents(store: Store, quick: bool, progress) -> list[str]:
    faults, total = [], 0
    size = store.manifest["size"]
    for number, clip_id in enumerate(store.clip_ids):
        view = store.view(clip_id)
        count = view.num_frames
        total += count
        try:
            if not quick or number % QUICK == 0:
                for index in range(count):
                    if view.frame(index).shape != (size, size, 3):
                        faults.append(f"{clip_id}: frame {index} is not {size}x{size}")
            record = store.read_record(clip_id)
        except StoreError as error:
            faults.append(str(error))
            continue
        if len(record["audio"]) != SAMPLES_PER_FRAME * count:
            faults.append(f"{clip_id}: {len(record['audio'])} samples of sound for {count} frames")
        points, detected = record["landmarks"], record["labels"].get("detected")
        if points is not None and (points.shape != (count, 68, 3) or not np.isfinite(points).all()):
            faults.append(f"{clip_id}: landmarks are not {count} rows of finite numbers")
        if points is not None and (detected is None or len(detected) != count):
            faults.append(f"{clip_id}: no mark for each frame whether a face was detected")
        if progress:
            progress(number + 1, len(store), clip_id)
    if total != store.manifest["frames"]:
        faults.append(f"the clips have {total} frames, the manifest says {store.manifest['frames']}")
    return faults


def _splits(store: Store) -> list[str]:
    faults = []
    homes: dict[tuple[str, str], set[str]] = {}
    for clip_id in store.clip_ids:
        split = store.view(clip_id).split
        homes.setdefault(("speaker", store.identity(clip_id)), set()).add(split)
        homes.setdefault(("video", store.meta(clip_id)["video"]), set()).add(split)
    for (kind, name), splits in sorted(homes.items()):
        splits &= _SPLITS
        if len(splits) > 1:
            faults.append(f"{kind} {name} is in several splits: {', '.join(sorted(splits))}")
    return faults


def _protocols(out: Path, store: Store) -> list[str]:
    faults = []
    for name, expected in store.manifest["prepare"]["protocols"].items():
        path = out / "protocols" / f"{name}.txt"
        if not path.exists():
            faults.append(f"{path}: is missing; prepare again")
            continue
        lines = path.read_text().splitlines()
        if lines_sha256(lines) != expected:
            faults.append(f"{path}: differs from the manifest's hash")
        asked = {clip_id for line in lines for clip_id in line.split("\t")}
        faults += [
            f"{path}: {clip_id} is not in the records" for clip_id in sorted(asked - set(store.clip_ids))
        ]
    return faults
