"""Which measurements are made, one after the other, each in a fresh process: memory and compile time are then its own.

Nothing here imports jax: a process that holds an accelerator leaves none to the measured one.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

WHAT = ("cost", "train", "generate", "judges", "data")
BUILTIN = ("synth-landmarks", "synth-sync", "synth-identity", "synth-features", "synth-lpips", "synth-pose")
PARTS = ("pictures", "lpips", "fid", "fan")  # of the published judges, as `evaluation.throughput` names them
FULL_SIZE = "paper"


def alone(request: dict) -> dict:
    """The figures of a request, measured in a process of its own without kept programs; or its `error`."""
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false", "TF_CPP_MIN_LOG_LEVEL": "2"}
    # the package that runs here, installed or not
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory() as folder:
        asked, place = Path(folder) / "request.json", Path(folder) / "figures.json"
        asked.write_text(json.dumps(request))
        command = [sys.executable, "-m", "talkbench.bench.measure", str(asked), str(place)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if place.exists():
            return json.loads(place.read_text())
    last = (done.stderr.strip().splitlines() or [""])[-1]
    how = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return {**request, "error": f"the measuring process ended with {how}{': ' if last else ''}{last}"}


def requests(
    methods: list[str],
    presets: dict[str, list[str]],
    what: list[str],
    *,
    full_size: bool = False,
    dtypes: tuple[str | None, ...] = (None,),
    batches: tuple[int | None, ...] = (None,),
    judges: tuple[str, ...] = BUILTIN + PARTS,
    shared: dict | None = None,
) -> list[dict]:
    """Requests in the order of the tables. A train request stands for all stages of its method (`carried_out`).

    Args:
        presets: {method: those of the presets asked for that it has}.
        full_size: also run what has the size of the paper; otherwise only `cost` of it, by shapes alone.
        dtypes, batches: to sweep over; None: as the config says.
        shared: keys of every request.
    """
    shared = shared or {}
    found = [{"what": "machine", "dtype": dtype, **shared} for dtype in dtypes]
    for kind in what:
        if kind == "judges":
            found += [{"what": "judge", "judge": name, **shared} for name in judges]
            continue
        for method in methods:
            for preset in presets[method]:
                if kind != "cost" and preset == FULL_SIZE and not full_size:
                    continue
                one = {"what": kind, "method": method, "preset": preset, **shared}
                if kind in ("cost", "data"):
                    found.append(one)
                    continue
                sweep = batches if kind == "train" else (None,)
                found += [{**one, "dtype": dtype, "batch": size} for dtype in dtypes for size in sweep]
    return found


def carried_out(
    asked: list[dict],
    measure: Callable[[dict], dict] = alone,
    tell: Callable[[int, int, str], None] | None = None,
) -> Iterator[dict]:
    """Figures of the requests, a train request's for each stage."""
    for number, request in enumerate(asked):
        if tell:
            tell(number, len(asked), name_of(request))
        if request["what"] != "train":
            yield measure(request)
            continue
        stage, stages = 0, 1
        while stage < stages:
            figures = measure({**request, "stage": stage})
            stages = figures.get("stages", stages)
            yield {**figures, "number": stage}
            stage += 1
    if tell:
        tell(len(asked), len(asked), "")


def name_of(request: dict) -> str:
    """For people."""
    keys = ("what", "method", "preset", "judge", "dtype", "batch")
    return " ".join(str(request[key]) for key in keys if request.get(key))
