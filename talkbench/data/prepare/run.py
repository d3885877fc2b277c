"""A whole preparation: units, records, and the lists that account for every file."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import av

from talkbench import __version__, atomic
from talkbench.data.clip import FPS, Clip
from talkbench.data.prepare import pool
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.units import Listing, TreeError, Unit
from talkbench.data.prepare.workplace import Workplace
from talkbench.data.store import Store, StoreError, is_store, write_store
from talkbench.resources import PACKAGE

RECORDS = "records"  # of the output folder: the store
_FINISHED = (
    ".work-finished"  # what `work` is called before it is removed: half of it must never be taken for work
)
_PACKAGES = ("av", "numpy", "opencv-python-headless", "scikit-image", "soxr")


@dataclass
class Summary:
    """What a preparation did.

    Attributes:
        sources, accepted, quarantined: files. reasons: quarantined files by reason.
        dropped: stretches of accepted files that were refused, by reason.
        clips, frames: kept. missing: listed names without a file.
        packed: whether the records are written (False for one shard of a distributed run).
        seconds: of each pass, over all workers; surveyed: frames that this run looked at, cut: that it wrote.
    """

    sources: int = 0
    accepted: int = 0
    reasons: Counter = field(default_factory=Counter)
    dropped: Counter = field(default_factory=Counter)
    clips: int = 0
    frames: int = 0
    missing: int = 0
    packed: bool = False
    seconds: Counter = field(default_factory=Counter)
    surveyed: int = 0
    cut: int = 0

    @property
    def quarantined(self) -> int:
        return self.sources - self.accepted

    def add(self, row: dict) -> None:
        self.sources += 1
        self.dropped.update(drop["reason"] for drop in row["dropped"])
        frames = sum(clip["frames"] for clip in row["clips"])
        if row["verdict"] == "accepted":
            self.accepted += 1
            self.clips += len(row["clips"])
            self.frames += frames
        else:
            self.reasons[row["reason"]] += 1
        if "seconds" in row:
            self.seconds.update(row["seconds"])
            self.surveyed += row["surveyed"]
            self.cut += frames


def prepare(
    listing: Listing,
    settings: Settings,
    out: Path,
    dataset: str,
    *,
    workers: int = 1,
    shard: tuple[int, int] | None = None,
    keep_work: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
    run_units: Callable = pool.run,
) -> Summary:
    """Turns the files of a listing into records below `out`.

    `out/records` is the store, `out/quarantine.jsonl` has a line for each refused file, `out/dropped.jsonl` for each refused
    stretch of an accepted one, `out/sources.jsonl` for every file, `out/missing.txt` the listed names without a file,
    `out/protocols/NAME.txt` clip ids of benchmarks. `out/work` holds finished units until the records are written. A run
    that was killed is begun again with the same call, and gives the same bytes; so does any number of workers.

    Args:
        dataset: its name, for the manifest.
        workers: processes.
        shard: (i, n): work on each n-th unit from i only, and write no records; a last run without it does.
        keep_work: keep the finished units, so that a later run with more files works on the new ones only.
        progress: told (files done, files in all, file).
        run_units: works on units as `pool.run` does, perhaps on other machines.

    Raises:
        TreeError: no files, two clips of one id. StoreError: `out` cannot be written.
        PoolError: an error that is no fault of a file.
    """
    out = Path(out)
    _check(listing)
    settings = replace(
        settings,
        allow_silent=settings.allow_silent or listing.silent,
        min_frames=min(settings.min_frames, listing.min_frames or settings.min_frames),
    )
    units = listing.units
    if shard is None:
        _tidy(out)
    if shard is None and not (out / "work").exists() and is_store(out / RECORDS):
        done = _already(out, listing, settings)
        if done is not None:
            return done
    if shard is not None:
        units = units[shard[0] :: shard[1]]
    try:
        (out / "work").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{out}: cannot be written: {error.strerror}") from error
    (out / "work" / "CACHE").write_text("finished units; may be removed once the records are written\n")
    summary, done = Summary(missing=len(listing.missing)), _Done(out / "work", listing.units)
    for unit, row in run_units(units, settings, out / "work", workers):
        summary.add(row)
        done.add(row)
        if progress:
            progress(summary.sources, len(units), unit.name)
    if shard is not None:
        return summary
    protocols = listing.protocols(clip for row in done for clip in row["clips"])
    _write_lists(out, listing, done, protocols)
    if summary.clips:
        extra = {"prepare": _about(listing, settings, dataset, summary, done, protocols)}
        records = out / RECORDS
        write_store(
            records, done.clips(), size=settings.size, codec=settings.codec, quality=settings.quality,
            name=dataset, extra=extra, overwrite=is_store(records),
        )  # fmt: skip
        summary.packed = True
    elif is_store(out / RECORDS):
        shutil.rmtree(out / RECORDS)
    if not keep_work:
        (out / "work").rename(out / _FINISHED)
        _tidy(out)
    return summary


def _tidy(out: Path) -> None:
    """Removes what a run that was killed while it finished has left: done work, lists half written."""
    shutil.rmtree(out / _FINISHED, ignore_errors=True)
    for folder, name in ((out, "*.jsonl"), (out, "missing.txt"), (out / "protocols", "*.txt")):
        for half in folder.glob(f".{name}.*"):
            half.unlink(missing_ok=True)


def _already(out: Path, listing: Listing, settings: Settings) -> Summary | None:
    """What an earlier run with the same files and settings did, None if there was none."""
    about = records(out).manifest.get("prepare", {})
    if about.get("units_sha256") != lines_sha256(unit.key(settings) for unit in listing.units):
        return None
    manifest = records(out).manifest
    return Summary(
        about["sources"], about["accepted"], Counter(about["quarantined"]), Counter(about["dropped"]),
        manifest["clips"], manifest["frames"], about["missing"], packed=True,
    )  # fmt: skip


def _check(listing: Listing) -> None:
    if not listing.units:
        raise TreeError(
            "no video files in the source folder; see `talkbench data prepare --help` for its layout"
        )
    seen: dict[str, str] = {}
    for unit in listing.units:
        for take in unit.takes:
            if take.clip_id in seen:
                both = f"{seen[take.clip_id]} and {unit.name}"
                raise TreeError(f"{both} would both become clip {take.clip_id}; rename one")
            seen[take.clip_id] = unit.name


class _Done:
    """Rows of finished units in the listing's order; they lie in one nameless file, for there may be a million."""

    def __init__(self, work: Path, units: list[Unit]):
        self._place, self._units = Workplace(work), units
        self._file = tempfile.TemporaryFile(dir=work)
        self._offsets: dict[str, int] = {}

    def add(self, row: dict) -> None:
        self._offsets[row["path"]] = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(row).encode() + b"\n")

    def _row(self, path: str) -> dict:
        self._file.seek(self._offsets[path])
        return json.loads(self._file.readline())

    def __iter__(self) -> Iterator[dict]:
        return (self._row(unit.name) for unit in self._units)

    def clips(self) -> Iterator[tuple[Clip, dict]]:
        """All clips, sorted by id, and what was found in their files."""
        names = ((clip["clip_id"], row["path"], n) for row in self for n, clip in enumerate(row["clips"]))
        for _, path, number in sorted(names):
            row = self._row(path)
            clip, meta = self._place.clip(row["key"], number)
            yield clip, {**meta, "sha256": row["sha256"]}


def _write_lists(out: Path, listing: Listing, rows: Iterable[dict], protocols: dict[str, list[str]]) -> None:
    quarantined = (
        {k: row[k] for k in ("path", "sha256", "reason", "detail", "stage", "tries", "version")}
        for row in rows
        if row["verdict"] == "quarantined"
    )
    sources = (
        {k: row[k] for k in ("path", "sha256", "verdict")}
        | {"clips": [clip["clip_id"] for clip in row["clips"]]}
        for row in rows
    )
    dropped = ({"path": row["path"], **drop} for row in rows for drop in row["dropped"])
    for name, lines in (("quarantine", quarantined), ("sources", sources), ("dropped", dropped)):
        atomic.write_lines(out / f"{name}.jsonl", (json.dumps(line, ensure_ascii=False) for line in lines))
    atomic.write_lines(out / "missing.txt", listing.missing)
    if protocols:
        (out / "protocols").mkdir(exist_ok=True)
        for name, ids in protocols.items():
            atomic.write_lines(out / "protocols" / f"{name}.txt", ids)


def _about(
    listing: Listing, settings: Settings, dataset: str, summary: Summary, done: _Done, protocols: dict
) -> dict:
    return {
        "dataset": dataset,
        "talkbench": __version__,
        "git": git_revision(),
        "settings": settings.as_dict(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "ffmpeg": {name: ".".join(map(str, v)) for name, v in av.library_versions.items()},
        "resize": "area where shrunk, linear where enlarged",
        "sources": summary.sources,
        "accepted": summary.accepted,
        "quarantined": dict(sorted(summary.reasons.items())),
        "dropped": dict(sorted(summary.dropped.items())),
        "missing": len(listing.missing),
        "notes": listing.notes,
        "protocols": {name: lines_sha256(ids) for name, ids in sorted(protocols.items())},
        "units_sha256": lines_sha256(row["key"] for row in done),
        "sources_sha256": lines_sha256(f"{row['path']} {row['sha256']}" for row in done),
        "hours": round(summary.frames / FPS / 3600, 4),
    }


def lines_sha256(lines: Iterable[str]) -> str:
    """Hash of a text with a line end behind each of `lines`."""
    made = hashlib.sha256()
    for line in lines:
        made.update(f"{line}\n".encode())
    return made.hexdigest()


@cache
def git_revision() -> str | None:
    """Commit of the checkout, None outside of one."""
    call = ["git", "-C", str(PACKAGE.parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(call, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def records(out: Path) -> Store:
    """The store of a prepared folder; StoreError if there is none."""
    if not is_store(Path(out) / RECORDS):
        raise StoreError(
            f"{out}: not a prepared folder (no {RECORDS}/manifest.json); run `talkbench data prepare`"
        )
    return Store(Path(out) / RECORDS)
