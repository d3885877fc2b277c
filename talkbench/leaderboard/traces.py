"""Loss traces: the first steps of each method's training, kept so that a changed loss, layer or optimiser shows by name.

Pictures that change are the tables' matter (`check`); this finds what a change does to training, which no shipped
weight tells.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from talkbench import config as configs
from talkbench import methods
from talkbench.data import sources
from talkbench.leaderboard.check import Change
from talkbench.leaderboard.tables import TableError, is_sealed, sealed
from talkbench.stage import Stage
from talkbench.training import process, run

FILE = "traces.json"
DATA, SPLIT = "synthetic", "test"  # the clips that the check draws anyway
FEW = {
    "train": {"steps": 3, "batch_size": 4, "log_every": 1, "sample_every": 3, "checkpoint_every": 3},
    "data": {"in_memory": False, "workers": 0},
}
# Of a term's size. Before the first update only rounding differs between machines; an update makes full steps of it.
FIRST, LATER = 2e-3, 5e-2

QUICK = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"

Trace = dict[str, dict[str, list[float]]]


class TraceError(RuntimeError):
    """The first steps of a training could not be run; the message names the method and why."""


def record(method: str, store=None) -> Trace:
    """{stage: {term: values of the first steps}} of the method's `tiny` preset.

    Args:
        store: to train on; None: clips of the embedded benchmark.
    """
    config = configs.load(method, "tiny")
    store = store or sources.open_store(DATA, config.data.size, SPLIT)
    traced = {}
    with tempfile.TemporaryDirectory(prefix="talkbench-trace-") as folder:
        stages = [_without_samples(stage) for stage in methods.load(method).stages(config)]
        for stage, _ in run.train_each(stages, store, config, method, Path(folder), **FEW):
            text = (Path(folder) / stage.name / "metrics.jsonl").read_text()
            lines = [json.loads(line) for line in text.splitlines()]
            traced[stage.name] = {term: [line[term] for line in lines] for term in lines[0] if term != "step"}
    return traced


def _without_samples(stage: Stage | Callable[[dict], Stage]) -> Stage | Callable[[dict], Stage]:
    """Sample grids would have to be compiled."""
    if isinstance(stage, Stage):
        return replace(stage, sample=None)
    return lambda trained: replace(stage(trained), sample=None)


def record_apart(names: list[str]) -> dict[str, Trace]:
    """{method: trace}, each recorded in a process of its own on the CPU, a few at once.

    Their programs run three times, so they are compiled quickly rather than well.

    Raises:
        TraceError: a process failed; the message is its last line.
    """
    flags = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}

    def one(name: str) -> Trace:
        words = [sys.executable, "-m", "talkbench.leaderboard.traces", name]
        done = subprocess.run(words, env=env, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise TraceError(f"the first training steps of {name} failed: {last}")
        return json.loads(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def read(path: Path) -> dict:
    """The stored file: {"traces": {method: trace}, "accepted": ...}.

    Raises:
        TableError: it is damaged.
    """
    try:
        stored = json.loads(path.read_text())
        if not isinstance(stored["traces"], dict):
            raise ValueError("`traces` is no object")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(
            f"{path}: no traces ({error}); restore it, or write it anew by `accept --traces`"
        ) from error
    return stored


def compare(fresh: dict[str, Trace], stored: dict) -> list[Change]:
    """What changed from the `stored` file: a term's first value that is off ("moved"), terms that are "missing" or "new".

    Stored methods that `fresh` lacks are not looked at.
    """
    changes = []
    if not is_sealed(stored):
        changes.append(Change("edited", note="the committed traces do not fit their digest: edited by hand"))
    stored = {name: trace for name, trace in stored["traces"].items() if name in fresh}
    for method, old_stages in stored.items():
        for stage, old_terms in old_stages.items():
            new_terms = fresh[method].get(stage, {})
            for term, old in old_terms.items():
                if term not in new_terms:
                    changes.append(
                        Change("missing", method, f"{stage}/{term}", old[0], note="no such term now")
                    )
                    continue
                changes += _first_difference(method, f"{stage}/{term}", old, new_terms[term])
            for term in new_terms.keys() - old_terms.keys():
                changes.append(Change("new", method, f"{stage}/{term}", new=new_terms[term][0]))
    for method in fresh.keys() - stored.keys():
        changes.append(Change("new", method, note="has no stored trace"))
    return changes


def accept(fresh: dict[str, Trace], committed: dict | None, reason: str) -> dict:
    """The file to commit, with the reason on record; methods that were not traced anew keep theirs.

    Raises:
        TableError: an empty reason.
    """
    if not reason.strip():
        raise TableError("accepting traces needs a reason: --reason 'what changed and why it is right'")
    committed = committed or {"traces": {}, "accepted": []}
    entry = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "reason": reason.strip()}
    traced = {**committed["traces"], **fresh}
    return sealed({"traces": traced, "accepted": [*committed["accepted"], entry]})


def _first_difference(method: str, term: str, old: list[float], new: list[float]) -> list[Change]:
    for step, (before, now) in enumerate(zip(old, new, strict=True), 1):
        limit = (FIRST if step == 1 else LATER) * max(abs(before), 1e-6)
        if not math.isfinite(now) or abs(now - before) > limit:
            return [Change("moved", method, term, before, now, limit, f"training step {step}")]
    return []


if __name__ == "__main__":
    process.set_up()
    print(json.dumps(record(sys.argv[1])))
