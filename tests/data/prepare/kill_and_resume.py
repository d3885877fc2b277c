"""Preparations that are killed (SIGKILL) at random moments and begun again: the same bytes as of one that never was.

`python tests/data/prepare/kill_and_resume.py --kills 20` (with the repository on PYTHONPATH) makes 20 small videos and a
faulty one, prepares them undisturbed, then kills further preparations until there were that many kills. Each is begun again
until it ends, and all its files are compared with the undisturbed one's. Exit code 1 if any differs.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from prepare_videos import write_face

from talkbench.data.prepare.run import prepare
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.trees import read

SETTINGS = Settings(size=32, min_frames=8, codec="png")


def files_of(out: Path) -> dict[str, object]:
    """All files below a prepared folder; how often a refused file was tried is no part of it."""
    found: dict[str, object] = {
        str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()
    }
    rows = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    return found | {"quarantine.jsonl": [row | {"tries": 0} for row in rows]}


def begin(raw: Path, out: Path, workers: int) -> int:
    """Number of a new process, leader of its group, that prepares."""
    process = os.fork()
    if process == 0:
        os.setsid()
        try:
            prepare(read("folder", raw), SETTINGS, out, "folder", workers=workers)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return process


def ended(process: int, seconds: float = 0.0) -> bool:
    """Whether the process ends within that time; SystemExit if it fails."""
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            if status:
                raise SystemExit(f"a preparation failed with status {status}")
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.005)


def working(out: Path) -> set[str]:
    """What is there of unfinished work."""
    found = (os.path.join(here, name) for here, _, names in os.walk(out) for name in names if name != "CACHE")
    return {os.path.relpath(path, out) for path in found}


def run(kills: int, seed: int, workers: int, videos: int) -> int:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        raw, out = Path(scratch) / "raw", Path(scratch) / "out"
        raw.mkdir()
        for number in range(videos):
            write_face(raw / f"{number:02d}.mp4", number, 12 + number % 5)
        (raw / "faulty.mp4").write_text("no video\n")
        process = begin(raw, out, workers)
        while not out.exists() or not working(out):
            ended(process)
            time.sleep(0.005)
        begun = time.monotonic()
        ended(process, 3600)
        span, expected = time.monotonic() - begun, files_of(out)
        print(f"undisturbed: {span:.1f} s of work by {workers} workers, {len(expected)} files", flush=True)
        done = compared = 0
        shutil.rmtree(out)
        while True:
            before, process = working(out) if out.exists() else set(), begin(raw, out, workers)
            while done < kills and not ended(process) and (not out.exists() or working(out) == before):
                time.sleep(0.005)
            moment = rng.uniform(0, span)
            try:
                over = ended(process, moment if done < kills else 3600)
            except ChildProcessError:  # it ended while its first file was awaited
                over = True
            if not over:
                done, alone = done + 1, done % 2 == 1
                (os.kill if alone else os.killpg)(process, signal.SIGKILL)
                os.waitpid(process, 0)
                left = working(out)
                finished = sum(name.endswith(".done") for name in left)
                packing = any(".partial-" in name or name.startswith("records") for name in left)
                where = "packing" if packing else f"{finished} of {videos + 1} units done"
                who = "parent alone" if alone else "parent and workers"
                print(f"kill {done}: {moment:.2f} s after its first file, {where}, {who}", flush=True)
                continue
            compared += 1
            found = files_of(out)
            different = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
            if different:
                print(f"differs after kill {done}: {', '.join(different)}")
                return 1
            if done == kills:
                break
            shutil.rmtree(out)
    print(f"{kills} kills, {compared} preparations that ended: all {len(expected)} files equal to the byte")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments")
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    parser.add_argument("--videos", type=int, default=20, metavar="N")
    given = parser.parse_args()
    sys.exit(run(given.kills, given.seed, given.workers, given.videos))
