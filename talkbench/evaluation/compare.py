"""Two systems on the same clips: the difference of each metric, its interval and p, by paired bootstrap."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from talkbench.evaluation.external import Tally
from talkbench.evaluation.results import (
    DISTANCES,
    FREE_SET_ROUNDS,
    LARGEST_RESAMPLED,
    file_name,
    read_features,
    read_json,
    take,
    too_few,
)
from talkbench.metrics import bootstrap
from talkbench.metrics.registry import METRICS, version


class CompareError(ValueError):
    """Two systems that can't be compared; the message says why."""


@dataclass
class Scores:
    """Scores of one system, clip by clip.

    Attributes:
        name: for people.
        clips: {clip id: record with identity and metrics}.
        versions: {metric key: version and judge, spelled out}; compared for equality.
        real: {clip id: what says which real clip it was scored against}.
        features: {clip id: (real, fake)}, for the set-level metrics.
        allow_small: FID of fewer than 2048 frames too.
    """

    name: str
    clips: dict[str, dict]
    versions: dict[str, str]
    real: dict[str, str]
    features: dict[str, tuple] = field(default_factory=dict)
    allow_small: bool = False


@dataclass(frozen=True)
class Comparison:
    """One metric of A and B over the clips that both have.

    Attributes:
        key, clips: metric, and number of clips that both have a value for.
        a, b: clip means. difference: b - a.
        low, high, p: 95 % interval of the difference and its two-sided p; None where clips can't be resampled.
        better: "a" or "b" where the interval excludes 0, else "".
    """

    key: str
    clips: int
    a: float
    b: float
    difference: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    better: str = ""


def _spelled(key: str, text: str, judges: dict) -> str:
    kind = METRICS[key].judge
    judge = judges.get(kind) if kind else None
    return text if judge is None else f"{text}; judge {judge['name']} {(judge['hash'] or '')[:16]}".rstrip()


def of_tally(total: Tally, name: str) -> Scores:
    """Scores that were just computed. The real clips are those of this very run."""
    judges = {k: {"name": j.name, "hash": j.hash} for k, j in total.judges.items() if j is not None}
    versions = {k: _spelled(k, version(k, total.options.get(k)), judges) for k in total.metrics}
    clips = {record["clip"]: record for record in total.clips}
    small = any(options.get("allow_small") for options in total.options.values())
    return Scores(name, clips, versions, dict.fromkeys(clips, ""), total.features, small)


def is_results(folder: Path) -> bool:
    """Whether a folder was written by `talkbench score --results` or is a row's folder of `talkbench eval`."""
    return (Path(folder) / "row.json").is_file()


def read(folder: Path) -> Scores:
    """Scores from a results folder (`row.json`, `clips/`).

    Raises:
        CompareError: no such folder, or nothing in it.
    """
    folder = Path(folder)
    if not is_results(folder):
        raise CompareError(
            f"{folder} holds no row.json; name a folder of `talkbench score --results`, or METHOD/TASK of `eval`"
        )
    about = read_json(folder / "row.json")
    clips, real, features = {}, {}, {}
    for clip_id in about["due"]:
        path = folder / "clips" / f"{file_name(clip_id)}.json"
        record = read_json(path) if path.exists() else {"error": "not scored"}
        if "error" in record or record.get("provenance_hash") != about["provenance_hash"]:
            continue
        clips[clip_id] = record
        same_set = about["provenance"].get("dataset", {}).get("manifest_hash", "")
        real[clip_id] = record.get("files", {}).get("reference", same_set)
        if record.get("features"):
            features[clip_id] = read_features(path.with_suffix(".npz"))
    if not clips:
        raise CompareError(f"{folder} holds no scored clip")
    said = about["provenance"]
    defined = said.get("metrics", {})
    versions = {k: _spelled(k, text, said.get("judges", {})) for k, text in defined.items()}
    name = about["method"] or folder.resolve().name
    return Scores(
        name, clips, versions, real, features, any("allow_small" in text for text in defined.values())
    )


def compare(a: Scores, b: Scores, keys=None, *, seed: int = 0) -> tuple[list[Comparison], dict[str, str]]:
    """The metrics of both, and the reason for each that can't be compared.

    Clips that both have, each weighted alike. Resampled are speakers with all their clips (clips, if there is one
    speaker), the same draws on both sides. p is not corrected for the number of metrics.

    Args:
        keys: metric keys; None: all that both have.

    Raises:
        CompareError: no common clip, or one that was scored against different real files.
    """
    common = [clip_id for clip_id in a.clips if clip_id in b.clips]
    if not common:
        raise CompareError(f"no clip was scored in both {a.name} and {b.name}")
    other = [clip_id for clip_id in common if a.real[clip_id] != b.real[clip_id]]
    if other:
        raise CompareError(
            f"{a.name} and {b.name} were scored against different real clips ({other[0]} is one); "
            "score both against one reference"
        )
    wanted = [k for k in a.versions if k in b.versions] if keys is None else list(keys)
    found, left_out = [], {}
    for key in wanted:
        lacking = [side.name for side in (a, b) if key not in side.versions]
        if lacking:
            left_out[key] = f"{' and '.join(lacking)}: not measured"
        elif a.versions[key] != b.versions[key]:
            left_out[key] = f"two definitions: {a.versions[key]!r} and {b.versions[key]!r}"
        else:
            compared = (
                _set(key, a, b, common) if METRICS[key].level == "set" else _clip(key, a, b, common, seed)
            )
            if isinstance(compared, str):
                left_out[key] = compared
            else:
                found.append(compared)
    return found, left_out


def _clip(key: str, a: Scores, b: Scores, common: list[str], seed: int) -> Comparison | str:
    pairs = [
        (one["metrics"][key]["value"], two["metrics"][key]["value"], one["identity"])
        for one, two in ((a.clips[clip_id], b.clips[clip_id]) for clip_id in common)
        if key in one["metrics"] and key in two["metrics"]
    ]
    if not pairs:
        for side in (a, b):
            for clip_id in common:
                if reason := side.clips[clip_id].get("unavailable", {}).get(key):
                    return reason
        return "no clip has it on both sides"
    first, second, speakers = (np.array(column) for column in zip(*pairs))
    means = float(first.mean()), float(second.mean())
    if len(pairs) == 1:
        return Comparison(key, 1, *means, means[1] - means[0])
    drawn = bootstrap.paired(first, second, bootstrap.cluster_draws(speakers, seed=seed))
    return _judged(Comparison(key, len(pairs), *means, drawn.mean, drawn.low, drawn.high, drawn.p))


def _set(key: str, a: Scores, b: Scores, common: list[str]) -> Comparison | str:
    ids = [clip_id for clip_id in common if clip_id in a.features and clip_id in b.features]
    if not ids:
        reasons = (a.clips[clip_id].get("unavailable", {}).get(key) for clip_id in common)
        return next((reason for reason in reasons if reason), "no features on both sides")
    real = [a.features[clip_id][0] for clip_id in ids]
    sides = [[side.features[clip_id][1] for clip_id in ids] for side in (a, b)]
    count = sum(map(len, real))
    if (why := too_few(key, count)) and not (a.allow_small and b.allow_small):
        return why
    whole = np.arange(len(ids))

    def values(draw):
        return [DISTANCES[key](take(real, draw), take(side, draw)) for side in sides]

    one, two = values(whole)
    if real[0].shape[1] > LARGEST_RESAMPLED or len(ids) < 2:
        return Comparison(key, len(ids), one, two, two - one)
    draws = bootstrap.cluster_draws([a.clips[clip_id]["identity"] for clip_id in ids], rounds=FREE_SET_ROUNDS)
    spread = bootstrap.unbiased(two - one, [np.subtract(*values(draw)[::-1]) for draw in draws])
    p = min(1.0, 2 * min(float((spread <= 0).mean()), float((spread >= 0).mean())))
    return _judged(Comparison(key, len(ids), one, two, two - one, *bootstrap.interval(spread), p))


def _judged(found: Comparison) -> Comparison:
    """With the better side named, where the interval of the difference excludes 0."""
    if found.low is None or found.low <= 0 <= found.high:
        return found
    b_is_better = (found.difference > 0) == (METRICS[found.key].better == "higher")
    return Comparison(**{**found.__dict__, "better": "b" if b_is_better else "a"})
