"""Do metrics move as they should? Real clips against themselves, spoiled more and more.

    python -m talkbench.evaluation.sanity --videos DIR [--clips 2] [--frames 20] [--metrics A,B]

DIR holds videos, with NAME.landmarks.npz beside them for the landmark metrics. For each metric that needs no weights
and each way of spoiling a clip, the table says whether the clip mean gets worse at every step; "-" where that way
does not touch what the metric sees. Exit code 1 where untouched clips do not have the perfect value.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from talkbench.data.folder import FolderSource
from talkbench.evaluation.external import FileJudge
from talkbench.evaluation.measure import Footage, measure
from talkbench.metrics.registry import METRICS, known

LONGEST_SHIFT = 8
# way: strengths, from hardly visible to gross
SPOILERS = {
    "blur": (0.5, 1.0, 2.0, 4.0),  # sigma in pixels of 256
    "jpeg": (80, 50, 20, 5),  # quality
    "noise": (4, 8, 16, 32),  # grey levels
    "frame drop": (10, 5, 3, 2),  # one frame of so many is lost, the one before held
    "time shift": (1, 2, 4, LONGEST_SHIFT),  # frames late
    "jitter": (0.5, 1.0, 2.0, 4.0),  # of landmarks, pixels of 256
}
SEES = {"frames": ("blur", "jpeg", "noise", "frame drop", "time shift")}
SEES["landmarks"] = ("frame drop", "time shift", "jitter")
PERFECT = {"psnr": 100.0, "ssim": 1.0, "ms_ssim": 1.0, "lip_gap_r": 1.0}  # by the stem of the key; else 0


def weightless() -> list[str]:
    """Metrics that need no network and no count of bytes."""
    return [key for key, metric in METRICS.items() if metric.needs[0] in SEES]


def spoil_frames(frames: np.ndarray, way: str, strength) -> np.ndarray:
    """uint8 (T, H, W, 3) spoiled; "time shift" and "frame drop" are of time and done by `spoil_time`."""
    if way == "blur":
        return np.stack([cv2.GaussianBlur(f, (0, 0), strength * f.shape[1] / 256) for f in frames])
    if way == "jpeg":
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(strength)]
        return np.stack([cv2.imdecode(cv2.imencode(".jpg", f, quality)[1], cv2.IMREAD_COLOR) for f in frames])
    noise = np.random.default_rng(0).standard_normal(frames.shape, np.float32) * strength
    return np.clip(np.rint(frames + noise), 0, 255).astype(np.uint8)


def spoil_time(count: int, way: str, strength: int) -> np.ndarray:
    """Which frame stands at each of `count` places (negative: before the first, see `_sides`)."""
    places = np.arange(count)
    return places - (places % strength == strength - 1) if way == "frame drop" else places - strength


def _sides(rows: np.ndarray, way: str, strength, frames: bool) -> tuple[np.ndarray, np.ndarray]:
    """(real, spoiled) of frames or landmark tracks; the first `LONGEST_SHIFT` rows are lead-in only."""
    real = rows[LONGEST_SHIFT:]
    if way in ("frame drop", "time shift"):
        return real, rows[LONGEST_SHIFT + spoil_time(len(real), way, strength)]
    if frames:
        return real, spoil_frames(real, way, strength)
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
        if not mine or rows is None or (way is not None and way not in SEES[needs]):
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


def verdict(key: str, values: list[float]) -> str:
    """ "yes" where every step of rising strength is worse, "unmoved" where none is either; else which step isn't."""
    if len(set(values)) == 1:
        return "unmoved"
    sign = 1 if METRICS[key].better == "higher" else -1
    steps = np.diff(np.array(values) * sign)
    good = [i for i, step in enumerate(steps, 1) if step >= 0]
    return "yes" if not good else "not at step " + ", ".join(map(str, good))


def table(clips, keys) -> tuple[dict[str, float], dict[str, dict[str, list[float]]]]:
    """(values of untouched clips, {metric: {way: clip means at strengths 0..4}}).

    Args:
        clips: list of (frames, points) as for `scores`.
    """

    def means(way, strength):
        each = [scores(*clip, keys, way, strength) for clip in clips]
        shared = {key for one in each for key in one}
        return {key: float(np.mean([one[key] for one in each if key in one])) for key in shared}

    untouched = means(None, None)
    found: dict[str, dict[str, list[float]]] = {key: {} for key in keys}
    for way, strengths in SPOILERS.items():
        for strength in strengths:
            for key, value in means(way, strength).items():
                found[key].setdefault(way, [untouched[key]]).append(value)
    return untouched, found


def imperfect(untouched: dict[str, float]) -> dict[str, float]:
    """Metrics that untouched clips do not have at their perfect value; CPBD has none, it sees one side only."""
    wrong = {}
    for key, value in untouched.items():
        stem = next((name for name in sorted(PERFECT, key=len, reverse=True) if key.startswith(name)), None)
        if not key.startswith("cpbd") and abs(value - PERFECT.get(stem, 0.0)) > 1e-9:
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
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR")
    parser.add_argument("--clips", type=int, default=2, metavar="N", help="the first N videos (2)")
    parser.add_argument(
        "--frames", type=int, default=20, metavar="N", help="of each, for picture metrics (20)"
    )
    parser.add_argument("--metrics", metavar="A,B", help="default: all that need no weights")
    args = parser.parse_args(argv)
    keys = known(args.metrics.split(",")) if args.metrics else weightless()
    untouched, found = table(list(_excerpts(args.videos, args.clips, args.frames)), keys)
    print(markdown(untouched, found))
    wrong = imperfect(untouched)
    for key, value in wrong.items():
        print(f"{key} of untouched clips is {value}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
