"""Do metrics move as they should? Real clips against themselves, spoiled more and more.

    python -m talkbench.evaluation.sanity --videos DIR [--clips 2] [--frames 20] [--metrics A,B]
    python -m talkbench.evaluation.sanity --benchmark synthetic [--data SET] [--clips 2] [--metrics A,B]

DIR holds videos, with NAME.landmarks.npz beside them for the landmark metrics. The second form looks through the judges of
a benchmark, on its clips. For each metric that needs no weights (of the second form: that has a judge there) and each way
of spoiling a clip, the table says whether the clip mean gets worse at every step; "level" where it does not, but the 95 %
interval of the clips' own differences holds 0; "-" where that way does not touch what the metric is defined on. Exit code 1
where untouched clips do not have the perfect value or a step is better.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from talkbench.data.clip import SAMPLES_PER_FRAME, Clip
from talkbench.data.folder import FolderSource
from talkbench.evaluation import benchmark, protocol
from talkbench.evaluation.external import FileJudge
from talkbench.evaluation.measure import Footage, absent, measure, set_features
from talkbench.evaluation.results import DISTANCES
from talkbench.evaluation.selection import select
from talkbench.metrics.registry import METRICS, known

LONGEST_SHIFT = 4
# way: strengths, from hardly visible to gross
SPOILERS = {
    "blur": (0.5, 1.0, 2.0, 4.0),  # sigma in pixels of 256; of smaller pictures, in their own
    "jpeg": (80, 50, 20, 5),  # quality
    "noise": (4, 8, 16, 32),  # grey levels
    "frame drop": (0.1, 0.2, 0.33, 0.5),  # share of frames lost, the one before held
    "time shift": (1, 2, 3, LONGEST_SHIFT),  # frames late
    "jitter": (0.5, 1.0, 2.0, 4.0),  # of landmarks, pixels of 256
    "lost faces": (0.1, 0.2, 0.33, 0.5),  # share of frames in which no face is found
}
SEES = {"frames": ("blur", "jpeg", "noise", "frame drop", "time shift")}
SEES["landmarks"] = ("frame drop", "time shift", "jitter")
# of a metric that looks through a judge, by its judge's kind: what touches it
JUDGED = dict.fromkeys(("landmarks", "identity", "pose", "lpips"), SEES["frames"])
JUDGED["features"] = ("blur", "jpeg", "noise")  # of pictures, in whatever order
JUDGED["sync"] = (
    "blur",
    "jpeg",
    "noise",
    "frame drop",
)  # the best offset's: a shift changes which one that is
# CPBD is defined for blur alone: blocks and noise are sharp edges to it, and it cannot see time. What is blurred moves
# smoothly, so it has a smaller warping error. A frame without a face is left out of every distance and counted by MKR.
OF_ONE_METRIC = {
    "av_offset": ("time shift",),
    "csim_source": ("blur", "jpeg", "noise"),
    "cpbd": ("blur",),
    "cpbd_atvgnet": ("blur",),
    "warping_error_dis": ("jpeg", "noise", "frame drop", "time shift"),
    "mkr": ("lost faces",),
}
# Of the generated side alone; KID, being unbiased, and FID-infinity, extrapolated, are below 0 for equal sets.
NO_PERFECT_VALUE = ("cpbd", "warping_error", "lse", "csim_source", "kid", "fid_infinity")
ROUNDING = {"fid": 1e-3, "csim": 1e-6}  # of a matrix root, of a norm
PERFECT = {
    "psnr": 100.0,
    "ssim": 1.0,
    "ms_ssim": 1.0,
    "lip_gap_r": 1.0,
    "csim": 1.0,
}  # by the stem of the key; else 0


def weightless() -> list[str]:
    """Metrics that need no network and no count of bytes."""
    return [key for key, metric in METRICS.items() if metric.needs[0] in SEES]


def spoil_frames(frames: np.ndarray, way: str, strength) -> np.ndarray:
    """uint8 (T, H, W, 3) spoiled; "time shift" and "frame drop" are of time and done by `spoil_time`."""
    if way == "blur":
        return np.stack([cv2.GaussianBlur(f, (0, 0), strength * max(1, f.shape[1] / 256)) for f in frames])
    if way == "jpeg":
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(strength)]
        return np.stack([cv2.imdecode(cv2.imencode(".jpg", f, quality)[1], cv2.IMREAD_COLOR) for f in frames])
    noise = np.random.default_rng(0).standard_normal(frames.shape, np.float32) * strength
    return np.clip(np.rint(frames + noise), 0, 255).astype(np.uint8)


def lost(count: int, share: float) -> np.ndarray:
    """bool (count,): the frames that are lost, never the first; those of a smaller share are among those of a larger."""
    found = np.zeros(count, bool)
    found[1 + np.random.default_rng(0).permutation(count - 1)[: round(share * count)]] = True
    return found


def spoil_time(count: int, way: str, strength) -> np.ndarray:
    """Which frame stands at each of `count` places (negative: before the first, see `_sides`)."""
    places = np.arange(count)
    if way == "frame drop":
        return np.maximum.accumulate(np.where(lost(count, strength), 0, places))
    return places - strength


def ways_of(key: str, otherwise: Sequence[str]) -> Sequence[str]:
    """The ways of spoiling a clip that the metric `key` is defined on: its own, or `otherwise`."""
    return OF_ONE_METRIC.get(key, otherwise)


def _sides(rows: np.ndarray, way: str, strength, frames: bool) -> tuple[np.ndarray, np.ndarray]:
    """(real, spoiled) of frames or landmark tracks; the first `LONGEST_SHIFT` rows are lead-in only."""
    real = rows[LONGEST_SHIFT:]
    if way in ("frame drop", "time shift"):
        return real, rows[LONGEST_SHIFT + spoil_time(len(real), way, strength)]
    if frames:
        return real, spoil_frames(real, way, strength)
    if way == "lost faces":
        return real, np.where(lost(len(real), strength)[:, None, None], np.nan, real)
    noise = np.random.default_rng(0).standard_normal(real.shape)
    return real, real + noise * strength


def scores(frames: np.ndarray | None, points: np.ndarray | None, keys, way: str | None, strength) -> dict:
    """{key: value} of one clip, spoiled (`way` None: as it is).

    Args:
        frames: uint8 (LONGEST_SHIFT + T, H, W, 3). points: (LONGEST_SHIFT + T', 68, 2) in pixels of 256.
    """
    found = {}
    for needs, rows in (("frames", frames), ("landmarks", points)):
        mine = [key for key in keys if METRICS[key].needs[0] == needs]
        mine = [key for key in mine if way is None or way in ways_of(key, SEES[needs])]
        if not mine or rows is None:
            continue
        if way is None:
            sides = (rows[LONGEST_SHIFT:],) * 2
        else:
            sides = _sides(rows, way, strength, needs == "frames")
        if needs == "frames":
            pair = [Footage(side) for side in sides]
        else:
            blank = np.broadcast_to(np.uint8(0), (len(sides[0]), 256, 256, 3))
            pair = [Footage(blank, None, {"landmarks": side}) for side in sides]
        cells = measure(mine, *pair, {"landmarks": FileJudge()})
        found |= {key: cell.value for key, cell in cells.items() if cell.value is not None}
    return found


def judged_scores(clip: Clip, keys, judges: dict, way: str | None, strength) -> tuple[dict, dict]:
    """({key: value}, {key: features (real, spoiled)} of set-level metrics) of one clip, spoiled, as judges see it."""
    if way not in (None, *SEES["frames"]):
        return {}, {}
    real = clip.frames[LONGEST_SHIFT:]
    sides = (real, real) if way is None else _sides(clip.frames, way, strength, True)
    sound = clip.audio[LONGEST_SHIFT * SAMPLES_PER_FRAME :]
    pair = [Footage(np.ascontiguousarray(side), sound) for side in sides]
    mine = [key for key in keys if way is None or way in ways_of(key, JUDGED[METRICS[key].judge])]
    cells = measure(mine, *pair, judges, source=Footage(real[:1]))
    sets = [key for key in mine if METRICS[key].level == "set"]
    features = set_features(*pair, judges["features"], len(real)) if sets else None
    return {k: cell.value for k, cell in cells.items() if cell.value is not None}, dict.fromkeys(
        sets, features
    )


def judged_table(clips: Sequence[Clip], keys, judges: dict):
    """As `table`, of metrics that look through `judges`, {kind: judge}; set-level ones are of all clips together."""

    def values(way, strength):
        each = [judged_scores(clip, keys, judges, way, strength) for clip in clips]
        found = _by_key([one for one, _ in each])
        for key in each[0][1]:
            both = zip(*(sets[key] for _, sets in each), strict=True)
            found[key] = np.array([DISTANCES[key](*(np.concatenate(side) for side in both))])
        return found

    return _rising(values, keys)


def verdict(key: str, values: Sequence) -> str:
    """ "yes" where every step of rising strength is worse, "unmoved" where none changes; else which step isn't.

    Args:
        values: of `key` at each strength, weakest first: of all clips, (S,), or of each clip, (S, clips), NaN where
            it has none. A step of the mean that isn't worse is "level" where 0 lies within 1.96 standard errors of the
            clips' own differences, else "not".
    """
    rows = np.asarray(values, np.float64).reshape(len(values), -1)
    rows = rows[:, ~np.isnan(rows).any(0)]
    if (rows == rows[:1]).all():
        return "unmoved"
    steps = np.diff(rows, axis=0) * (1 if METRICS[key].better == "higher" else -1)
    clips, mean = rows.shape[1], steps.mean(1)
    error = 1.96 * steps.std(1, ddof=1) / np.sqrt(clips) if clips > 1 else np.zeros(len(steps))
    contrary = np.flatnonzero(mean >= 0)
    if not len(contrary):
        return "yes"
    said = "level" if (mean <= error)[contrary].all() and (error > 0)[contrary].all() else "not"
    return f"{said} at step " + ", ".join(str(i + 1) for i in contrary)


def table(clips, keys) -> tuple[dict[str, float], dict[str, dict[str, list[np.ndarray]]]]:
    """(means of untouched clips, {metric: {way: values of each clip at strengths 0..4}}).

    Args:
        clips: list of (frames, points) as for `scores`.
    """

    def values(way, strength):
        return _by_key([scores(*clip, keys, way, strength) for clip in clips])

    return _rising(values, keys)


def _by_key(each: Sequence[dict]) -> dict[str, np.ndarray]:
    """{key: (clips,)}, NaN where a clip has none."""
    return {key: np.array([one.get(key, np.nan) for one in each]) for key in set().union(*each)}


def _rising(values, keys) -> tuple[dict[str, float], dict[str, dict[str, list[np.ndarray]]]]:
    untouched = values(None, None)
    found: dict[str, dict[str, list[np.ndarray]]] = {key: {} for key in keys}
    for way, strengths in SPOILERS.items():
        for strength in strengths:
            for key, value in values(way, strength).items():
                found[key].setdefault(way, [untouched[key]]).append(value)
    return {key: float(np.nanmean(value)) for key, value in untouched.items()}, found


def imperfect(untouched: dict[str, float]) -> dict[str, float]:
    """Metrics that untouched clips do not have at their perfect value, as far as they have one."""
    wrong = {}
    for key, value in untouched.items():
        stem = next((name for name in sorted(PERFECT, key=len, reverse=True) if key.startswith(name)), None)
        if not key.startswith(NO_PERFECT_VALUE) and abs(value - PERFECT.get(stem, 0.0)) > ROUNDING.get(
            stem or key, 1e-9
        ):
            wrong[key] = value
    return wrong


def _excerpts(folder: Path, count: int, frames: int):
    source = FolderSource(folder, 256)
    for clip_id in source.clip_ids[:count]:
        clip = source.clip(clip_id)
        points = None if clip.landmarks is None else clip.landmarks[..., :2].astype(np.float64)
        yield clip.frames[: LONGEST_SHIFT + frames], points


def markdown(untouched, found) -> str:
    """The table as documentation shows it."""
    lines = ["| metric | untouched | " + " | ".join(SPOILERS) + " |", "|---" * (len(SPOILERS) + 2) + "|"]
    for key, ways in found.items():
        if key in untouched:
            cells = [verdict(key, ways[way]) if way in ways else "-" for way in SPOILERS]
            lines.append(f"| `{key}` | {untouched[key]:.4g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--videos", type=Path, metavar="DIR")
    what.add_argument("--benchmark", metavar="NAME", help="a file in evals/: metrics with its judges")
    parser.add_argument("--data", metavar="SET", help="clips of the benchmark, where it brings none")
    parser.add_argument("--clips", type=int, default=2, metavar="N", help="the first N (2)")
    parser.add_argument(
        "--frames", type=int, default=20, metavar="N", help="of each, for picture metrics (20)"
    )
    parser.add_argument("--metrics", metavar="A,B", help="default: all that the form is for")
    args = parser.parse_args(argv)
    asked = known(args.metrics.split(",")) if args.metrics else None
    if args.videos:
        clips = list(_excerpts(args.videos, args.clips, args.frames))
        untouched, found = table(clips, asked or weightless())
    else:
        named = protocol.load(args.benchmark)
        judges = benchmark.judges(named.judges)
        for judge in judges.values():
            print(f"{judge.name}: {getattr(judge, 'missing', judge.hash)}", file=sys.stderr)
        present = {kind: judge for kind, judge in judges.items() if absent(kind, judge) is None}
        source = benchmark.source(named, args.data)
        ids = select(source, named.selection, split=named.split, count=None).ids
        spread = [ids[i] for i in np.linspace(0, len(ids) - 1, min(args.clips, len(ids))).astype(int)]
        keys = asked or [key for key, metric in METRICS.items() if metric.judge in present]
        untouched, found = judged_table([source.clip(clip_id) for clip_id in spread], keys, present)
    print(markdown(untouched, found))
    wrong = [f"{key} of untouched clips is {value}" for key, value in imperfect(untouched).items()]
    for key, ways in found.items():
        for way, values in ways.items():
            said = verdict(key, values)
            if said.startswith("level"):
                print(f"{key}, {way}: {said}", file=sys.stderr)
            elif said != "yes":
                wrong.append(f"{key}, {way}: {said}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
