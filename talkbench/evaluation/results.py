"""Result files: one JSON a clip, written atomically; a row's file beside them; aggregation over clips.

RESULTS/METHOD/TASK/row.json           what the row is, its provenance, the clips that are due
RESULTS/METHOD/TASK/clips/CLIP.json    one clip's scores, or why there are none
RESULTS/METHOD/TASK/clips/CLIP.npz     features for the set-level metrics, where there is a judge for them
RESULTS/METHOD/TASK/gallery/CLIP.*     footage of the clips that pages show, see `gallery`
"""

import io
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from talkbench.evaluation.measure import FRAMES_PER_CLIP
from talkbench.evaluation.protocol import Protocol
from talkbench.metrics import bootstrap, frechet
from talkbench.metrics.registry import METRICS

LEAST_COVERAGE = 0.95  # of the frames due; tables flag a value below it
FREE_SET_ROUNDS = 100  # resamples of a set-level metric
LARGEST_RESAMPLED = 512  # feature dimensions above which its resampling would take hours


def default_folder(benchmark: str) -> Path:
    """Where a benchmark's results go unless told otherwise."""
    return Path("results") / benchmark


def file_name(name: str) -> str:
    """A clip's or method's name as a file name."""
    return name.replace(".", "%2E") if name in (".", "..") else quote(name, safe=" ")


def one_line(error: Exception) -> str:
    """An error as a result file tells it; its type too, where it isn't one of the expected kind."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value) -> None:
    """Write plain values atomically; NaN and infinity are refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def write_features(path: Path, real: np.ndarray, fake: np.ndarray) -> None:
    """Write a clip's features for the set-level metrics, both sides (n, d) float32, atomically."""
    content = io.BytesIO()
    np.savez(content, real=real, fake=fake)
    write_atomically(path, content.getvalue())


def read_features(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(real, fake) as `write_features` wrote them."""
    with np.load(path, allow_pickle=False) as file:
        return file["real"], file["fake"]


def read_json(path: Path):
    """Read a JSON file; ValueError with its name where it isn't one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file ({error}); delete it and evaluate again") from error


@dataclass
class Row:
    """A candidate's results in one task.

    Attributes:
        method, kind, task, driven_by, provenance, provenance_hash: as in row.json.
        due: clip ids that should be there.
        clips: {clip id: record} of those that are, with the row's provenance hash.
        failed: {clip id: why}; stale: clips on disk that other code, weights or data made.
        folder: where it was read.
    """

    method: str
    kind: str
    task: str
    driven_by: list[str]
    provenance: dict
    provenance_hash: str
    due: list[str]
    only: list[str] | None = None
    clips: dict[str, dict] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    folder: Path | None = None


def row_folder(results: Path, method: str, task: str) -> Path:
    """Where a row's files are."""
    return Path(results) / file_name(method) / task


def read_rows(results: Path) -> list[Row]:
    """All rows under a results folder, in the order of their names. ValueError if there are none."""
    results = Path(results)
    rows = [_read_row(path.parent) for path in sorted(results.glob("*/*/row.json"))]
    if not rows:
        raise ValueError(f"{results} holds no results; run `talkbench eval` first or name another folder")
    return rows


def _read_row(folder: Path) -> Row:
    about = read_json(folder / "row.json")
    row = Row(**{key: about[key] for key in about if key in Row.__dataclass_fields__}, folder=folder)
    for clip_id in row.due:
        path = folder / "clips" / f"{file_name(clip_id)}.json"
        if not path.exists():
            continue
        record = read_json(path)
        if record.get("provenance_hash") != row.provenance_hash:
            row.stale.append(clip_id)
        elif "error" in record:
            row.failed[clip_id] = record["error"]
        else:
            row.clips[clip_id] = record
    return row


@dataclass(frozen=True)
class Summary:
    """A metric over all clips: clip mean, 95 % interval, clips, share of frames, frame-weighted mean."""

    value: float
    low: float | None
    high: float | None
    clips: int
    coverage: float
    frame_weighted: float | None = None


def summarise(values, scored, due, speakers, *, missing_due: int = 0, seed: int = 0) -> Summary:
    """Aggregate one metric.

    Args:
        values, scored, due, speakers: of the clips that have a value: score, frames scored, frames due,
            identity.
        missing_due: frames due in clips that have none.
    """
    mean, low, high = bootstrap.cluster_interval(values, speakers, seed=seed)
    coverage = float(np.sum(scored) / max(1, np.sum(due) + missing_due))
    return Summary(
        mean, low, high, len(values), coverage, bootstrap.weighted_mean(values, np.maximum(scored, 1))
    )


def aggregate(row: Row, protocol: Protocol) -> tuple[dict[str, Summary], dict[str, str]]:
    """A row's metrics over its clips, and the reason for each that has no value.

    The clip mean is unweighted; the interval resamples speakers; a clip that failed or is missing counts in
    the coverage with the average length.
    """
    keys = [key for key in protocol.metrics if row.only is None or key in row.only]
    records = list(row.clips.values())
    if not records:
        reason = next(iter(row.failed.values()), "no clip was evaluated")
        return {}, dict.fromkeys(keys, f"every clip failed: {reason}" if row.failed else reason)
    typical = int(round(np.mean([record["due"] for record in records])))
    absent = typical * (len(row.due) - len(records))
    summaries, unavailable = {}, {}
    for key in keys:
        if METRICS[key].level == "set":
            found = _set_metric(key, row, protocol)
            (unavailable if isinstance(found, str) else summaries)[key] = found
            continue
        scored = [r for r in records if r["metrics"].get(key, {}).get("value") is not None]
        if not scored:
            reasons = [r["unavailable"].get(key) for r in records]
            unavailable[key] = next((reason for reason in reasons if reason), "not measured")
            continue
        lost = sum(r["due"] for r in records) - sum(r["due"] for r in scored)
        cells = [r["metrics"][key] for r in scored]
        summaries[key] = summarise(
            [cell["value"] for cell in cells],
            [cell["scored"] for cell in cells],
            [r["due"] for r in scored],
            [r["identity"] for r in scored],
            missing_due=lost + absent,
            seed=protocol.seed,
        )
    return summaries, unavailable


def _set_metric(key: str, row: Row, protocol: Protocol) -> Summary | str:
    """A set-level metric over all clips' features, or why there is none."""
    options = protocol.options.get(key, {})
    real, fake, speakers = [], [], []
    for clip_id, record in row.clips.items():
        path = row.folder / "clips" / f"{file_name(clip_id)}.npz"
        if record.get("features") and path.exists():
            one, other = read_features(path)
            real.append(one)
            fake.append(other)
            speakers.append(record["identity"])
    if not real:
        return next(
            (r["unavailable"][key] for r in row.clips.values() if key in r["unavailable"]),
            "no features judge",
        )
    due = len(row.due) * options.get("frames_per_clip", FRAMES_PER_CLIP)
    return set_summary(key, real, fake, speakers, due, options.get("allow_small", False), protocol.seed)


DISTANCES = {
    "fid": frechet.fid,
    "fid_infinity": frechet.fid_infinity_of,
    "kid": lambda a, b: 1000 * frechet.kid(a, b),
}  # of two sets of features


def set_summary(key, real, fake, speakers, due, allow_small: bool, seed: int = 0) -> Summary | str:
    """A set-level metric of clips' features, or why there is none.

    Args:
        key: of `DISTANCES`. real, fake: lists of (n, d), one a clip. speakers: of the clips.
        due: frames that should be there. allow_small: FID of fewer than `frechet.SMALLEST` frames too.
    """
    count = sum(map(len, real))
    if (why := too_few(key, count)) and not allow_small:
        return why
    value = DISTANCES[key](np.concatenate(real), np.concatenate(fake))
    low = high = None
    if real[0].shape[1] <= LARGEST_RESAMPLED and len(real) > 1:
        draws = bootstrap.cluster_draws(speakers, seed=seed, rounds=FREE_SET_ROUNDS)
        spread = [DISTANCES[key](take(real, draw), take(fake, draw)) for draw in draws]
        low, high = bootstrap.interval(bootstrap.unbiased(value, spread))
    return Summary(value, low, high, len(real), min(1.0, count / max(1, due)))


def too_few(key: str, count: int) -> str | None:
    """Why a set-level metric of so many frames should not be trusted; None where it may be."""
    if key.startswith("fid") and count < frechet.SMALLEST:
        return f"{count} frames; {METRICS[key].name} needs {frechet.SMALLEST} (option allow_small)"
    return None


def take(parts, draw) -> np.ndarray:
    """The parts that a resample drew, one below the other."""
    return np.concatenate([parts[i] for i in draw])
