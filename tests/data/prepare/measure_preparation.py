"""What a preparation costs; times are processor time, so that other jobs on the machine change them little.

python FILE stages SOURCE --size 256     # each stage by itself, in this process, and reading the records as training does
python FILE run SOURCE --size 64         # a whole preparation as VoxCeleb2: rate, and memory of parent and workers
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from talkbench.data.loader import loader
from talkbench.data.media import VideoReader
from talkbench.data.prepare.run import prepare
from talkbench.data.prepare.selection import select
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.survey import survey
from talkbench.data.prepare.trees import read
from talkbench.data.prepare.work import work
from talkbench.data.prepare.workplace import Workplace
from talkbench.data.store import write_store


def pair(view, rng: np.random.Generator) -> dict:
    """Two frames of a clip, as face-vid2vid draws them."""
    first, second = view.frames(rng.integers(view.num_frames, size=2))
    return {"source": first, "driving": second}


def spent(function) -> tuple[float, object]:
    """Processor seconds of this process, and what the function gave."""
    begun = time.process_time()
    result = function()
    return time.process_time() - begun, result


def stages(source: Path, dataset: str, settings: Settings, batches: int) -> None:
    cv2.setNumThreads(1)
    units = read(dataset, source).units
    frames = kept = 0
    total = dict.fromkeys(("decode", "survey", "select", "cut"), 0.0)
    with tempfile.TemporaryDirectory() as scratch:
        place, rows = Workplace(Path(scratch) / "work"), []
        for unit in units:
            seconds, count = spent(lambda unit=unit: sum(1 for _ in VideoReader(unit.path)))
            total["decode"] += seconds
            frames += count
            seconds, seen = spent(lambda unit=unit: survey(unit, settings))
            total["survey"] += seconds
            total["select"] += spent(lambda unit=unit, seen=seen: select(unit, seen, settings))[0]
            seconds, row = spent(lambda unit=unit: work(unit, settings, place))
            rows.append(row)
            total["cut"] += seconds  # with a survey of its own, taken off below
        total["cut"] -= total["survey"] + total["select"]
        clips = [place.clip(row["key"], n) for row in rows for n in range(len(row["clips"]))]
        kept = sum(clip.num_frames for clip, _ in clips)
        seconds, store = spent(
            lambda: write_store(Path(scratch) / "records", clips, size=settings.size, codec="jpeg")
        )
        total["pack"] = seconds
        print(f"{len(units)} files, {frames} frames at 25 frames/s, {kept} kept at {settings.size} px")
        limit = frames / total["decode"]
        for name, seconds in total.items():
            rate = frames / max(seconds, 1e-9)
            print(f"{name:8} {rate:9.0f} frames/s a core, {1000 * seconds / frames:6.2f} ms a frame")
        whole = frames / (sum(total.values()) - total["decode"])
        print(f"in all   {whole:9.0f} frames/s a core: {100 * whole / limit:.0f} % of decoding alone")
        feed = loader(store, pair, 8, seed=0, prefetch=0, examples_per_clip=100)
        next(feed)
        seconds, _ = spent(lambda: [next(feed) for _ in range(batches)])
        print(
            f"loader   {batches * 16 / seconds:9.0f} frames/s a core from records (pairs of one clip, batches of 8)"
        )


def run(source: Path, dataset: str, settings: Settings, workers: int) -> None:
    out = Path(tempfile.mkdtemp())
    try:
        begun = time.monotonic()
        summary = prepare(read(dataset, source), settings, out, dataset, workers=workers)
        seconds = time.monotonic() - begun
    finally:
        shutil.rmtree(out)
    of = {
        name: resource.getrusage(who)
        for name, who in (("parent", resource.RUSAGE_SELF), ("worker", resource.RUSAGE_CHILDREN))
    }
    processor = sum(usage.ru_utime + usage.ru_stime for usage in of.values())
    print(
        f"{summary.sources} files, {summary.accepted} accepted, {summary.frames} frames, reasons {dict(summary.reasons)}"
    )
    print(f"{seconds:.0f} s by the clock with {workers} workers, {processor:.0f} s of processor: "
          f"{summary.sources / processor:.1f} files, {summary.frames / processor:.0f} frames a second and core")  # fmt: skip
    print(", ".join(f"largest {name} {usage.ru_maxrss / 1024:.0f} MB" for name, usage in of.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("stages", "run"))
    parser.add_argument("source", type=Path)
    parser.add_argument("--dataset", default="voxceleb2")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--min-frames", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batches", type=int, default=40)
    given = parser.parse_args()
    chosen = Settings(size=given.size, min_frames=given.min_frames)
    if given.what == "stages":
        stages(given.source, given.dataset, chosen, given.batches)
    else:
        run(given.source, given.dataset, chosen, given.workers)
