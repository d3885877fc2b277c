"""The measurements. Each takes a request (plain values) and gives figures (plain values):

    {"what": "cost", "method", "preset"}                    sizes and multiply-adds by shapes alone, nothing runs
    {"what": "train", "method", "preset", "stage": number}  the compiled train step
    {"what": "generate", "method", "preset"}                a still and a driver to frames
    {"what": "judge", "judge"}                              a judge's frames a second
    {"what": "data", "method", "preset"}                    decoding, and examples a second of every stage
    {"what": "machine"}                                     the rate of its matrix products

and otherwise "dtype", "batch", "overrides" {config key: text}, "data" (as --data), "folder" (for drawn clips), "seconds",
"repeats". As a program it reads a request and writes the figures to a file; `plan.alone` starts it.
"""

import inspect
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from talkbench import methods
from talkbench.atomic import write_json
from talkbench.bench import count, subject
from talkbench.bench.programs import bytes_moved, recorded
from talkbench.evaluation import throughput
from talkbench.evaluators import builtin
from talkbench.methods.method import Driving
from talkbench.training import mesh as meshes
from talkbench.training import optimizer
from talkbench.training.process import keep_memory
from talkbench.training.step import compile_step, init_state, make_step

WARM_UP = 2
REPORTED = (
    ValueError,
    OSError,
    RuntimeError,
)  # of missing weights, a full memory, bad input: told in one line
PART_SIZE, PART_FRAMES = 256, 8  # of the published judges' networks: one batch


def timed(call: Callable[[int], object], request: dict, warm_up: int = WARM_UP) -> dict:
    """Seconds of `call(number)`: the median, the fastest and slowest of `repeats` calls, and processor seconds of all
    threads of this process in the median call. Stops early after `seconds`, with three calls at least.
    """
    for number in range(warm_up):
        call(number)
    wall, processor, begin = [], [], time.perf_counter()
    for number in range(request.get("repeats", 10)):
        if number >= 3 and time.perf_counter() - begin > request.get("seconds", 20.0):
            break
        before, used = time.perf_counter(), time.process_time()
        call(warm_up + number)
        wall.append(time.perf_counter() - before)
        processor.append(time.process_time() - used)
    return {
        "seconds": statistics.median(wall), "fastest": min(wall), "slowest": max(wall), "repeats": len(wall),
        "processor_seconds": statistics.median(processor),
    }  # fmt: skip


def peak_bytes() -> int:
    """The most memory that this process has held: the device's where there is one, else the host's."""
    found = jax.local_devices()[0].memory_stats()
    if found and "peak_bytes_in_use" in found:
        return found["peak_bytes_in_use"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _notes(request: dict, counts) -> dict:
    """What to say where a type was asked for that the program's products don't have."""
    if request.get("dtype") and counts and not counts.get(request["dtype"]):
        return {"note": f"computes in {', '.join(sorted(counts))}, whatever train.dtype says"}
    return {}


def _trainer(stage, config):
    """(step, fresh(key)): the trainer's step and its first state, as functions of shapes or arrays."""
    transform = optimizer.make(config.optimizer, config.train.steps)
    step = make_step(stage, transform, config.train.ema_decay, config.optimizer.accumulate)

    def fresh(key, batch):
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), batch)
        return init_state(stage, transform, key, zeros, ema=config.train.ema_decay > 0)

    return step, fresh


def cost(request: dict) -> dict:
    """Parameters of every stage and multiply-adds of its train step and of a generated frame, by shapes alone."""
    config = subject.config_of(request)
    store = subject.store_of(request, config.data.size)
    stages, sides = subject.stages_of(request, config, store, real=False), {}
    found = {"size": config.data.size, "stages": []}
    for stage, own in stages:
        size = own.train.batch_size
        batch = subject.repeated(subject.example(stage, own, store), size)
        step, fresh = _trainer(stage, own)
        state = jax.eval_shape(fresh, jax.random.key(0), batch)
        row = {
            "stage": stage.name,
            "batch": size,
            "parameters": count.parameters(state["generator"]["params"]),
        }
        row["discriminator_parameters"] = count.parameters(state["discriminator"].get("params", {}))
        try:
            frozen = stage.frozen()
        except (ValueError, OSError) as error:
            row["missing"] = _line(error)
        else:
            row["frozen_parameters"] = count.parameters(frozen)
            counts = count.multiply_adds(step, state, frozen, batch)
            row["multiply_adds_an_example"] = counts.total() / size
        found["stages"].append(row)
        sides[stage.name] = subject.generator_side(stage, own, store, real=False)
    return found | _generated_cost(request, config, sides)


def _generated_cost(request, config, sides) -> dict:
    """Multiply-adds of a generated frame; programs give zeros in place of what they would compute."""
    try:
        with recorded(dry=True) as programs, np.errstate(all="ignore"):
            generate = methods.load(request["method"]).generator(config, sides)
            frames = _animate(generate, subject.clip(config.data.size), 0)
        return {"multiply_adds_a_frame": programs.multiply_adds().total() / len(frames)}
    except Exception as error:  # zeros are no face: what then goes wrong is the method's own affair
        return {"generate_missing": f"{type(error).__name__}: {_line(error)}"}


def _animate(generate: Callable, clip, number: int) -> np.ndarray:
    """The clip from one of its frames, by all that could drive it. Landmarks are given where they are asked for: what
    finds them is a judge, and measured as one.
    """
    known = {"landmarks": clip.landmarks[number, :, :2]} if "landmarks" in _names(generate) else {}
    given = {name: getattr(clip, name) for name in ("frames", "audio", "pose", "shape", "expression")}
    return generate(clip.frames[number], Driving(**given), **known)


def _names(function: Callable) -> set[str]:
    return set(inspect.signature(function).parameters)


def train(request: dict) -> dict:
    """The train step of one stage, compiled as the trainer does and run on two batches in turn.

    `stages` (how many the method has) is told with an error too.
    """
    config = subject.config_of(request)
    stages = {"stages": len(methods.load(request["method"]).stages(config))}
    try:
        return stages | _trained(request, config)
    except REPORTED as error:
        return stages | {"error": _line(error)}


def _trained(request: dict, config) -> dict:
    store = subject.store_of(request, config.data.size)
    stage, own = subject.stages_of(request, config, store, real=True)[-1]
    if request.get("batch"):
        own.train.batch_size = request["batch"]
    size = own.train.batch_size
    mesh = meshes.data_mesh(jax.devices()[:1])
    whole, split = meshes.replicated(mesh), meshes.by_example(mesh)
    frozen = jax.device_put(stage.frozen(), whole)  # first: it is what may be missing
    with closing(subject.batches(stage, own, store)) as source:
        two = [meshes.put_batch(next(source), split) for _ in range(2)]
    step, fresh = _trainer(stage, own)
    state = jax.jit(fresh, out_shardings=whole)(jax.random.key(own.seed), two[0])
    counts = count.multiply_adds(step, state, frozen, two[0])
    started = time.perf_counter()
    compiled = compile_step(step, mesh).lower(state, frozen, two[0]).compile()
    seconds, held = time.perf_counter() - started, [state]
    del state

    def once(number):
        held[0], scalars = compiled(held[0], frozen, two[number % 2])
        jax.block_until_ready((held[0], scalars))

    return {
        "stage": stage.name, "batch": size, "compile_seconds": seconds,
        "bytes_moved": bytes_moved(compiled), "multiply_adds": counts.total(), **timed(once, request),
        "peak_bytes": peak_bytes(), **_notes(request, counts),
    }  # fmt: skip


def generate(request: dict) -> dict:
    """Frames of a three-second clip from a still, untrained weights, host work included."""
    config = subject.config_of(request)
    store = subject.store_of(request, config.data.size)
    sides = {
        stage.name: subject.generator_side(stage, own, store, real=True)
        for stage, own in subject.stages_of(request, config, store, real=True)
    }
    clip = subject.clip(config.data.size)
    with recorded() as programs:
        animate = methods.load(request["method"]).generator(config, sides)
        before = time.perf_counter()
        frames = _animate(animate, clip, 0)
        first = time.perf_counter() - before
        programs.calls.clear()
        _animate(animate, clip, 1)
    counts, moved = programs.multiply_adds(), programs.bytes_moved()
    figures = timed(lambda number: _animate(animate, clip, number % len(clip.frames)), request, warm_up=0)
    return {
        "frames": len(frames), "first_seconds": first, "compile_seconds": programs.compile_seconds, **figures,
        "multiply_adds": counts.total(), "bytes_moved": moved, "peak_bytes": peak_bytes(),
        **_notes(request, counts),
    }  # fmt: skip


def judge(request: dict) -> dict:
    """A builtin judge on a drawn clip, or a part of the published ones (weights drawn: they take as long as any)."""
    name = request["judge"]
    if name in builtin.BY_NAME:
        clip, looking = subject.clip(subject.DRAWN), builtin.BY_NAME[name]()
        looks = ("sync", "embed", "features", "landmarks", "distance", "pose")
        method = next(m for m in looks if hasattr(looking, m))
        other = {"sync": "audio", "distance": "frames"}.get(method)
        beside = (getattr(clip, other),) if other else ()
        # Another order each time: the landmark judge remembers the clips that it was shown last.
        call = lambda number: getattr(looking, method)(np.roll(clip.frames, number + 1, 0), *beside)  # noqa: E731
        size, frames = subject.DRAWN, len(clip.frames)
    else:
        part, pair = throughput.ours()[name](), throughput.clip(0, PART_FRAMES, PART_SIZE)
        call, size, frames = (lambda number: part(*pair)), PART_SIZE, PART_FRAMES
    before = time.perf_counter()
    call(-1)
    first = time.perf_counter() - before
    figures = timed(call, request, warm_up=0)
    return {"size": size, "frames": frames, "first_seconds": first, **figures, "peak_bytes": peak_bytes()}


def data(request: dict) -> dict:
    """Records to pictures, and the examples of every stage as its training loads them."""
    config = subject.config_of(request)
    store = subject.store_of(request, config.data.size)
    ids = store.clip_ids
    decoded = timed(lambda number: store.view(ids[number % len(ids)]).frames(), request)
    found = {
        "size": config.data.size,
        "decode": decoded | {"frames": store.view(ids[0]).num_frames},
        "stages": [],
    }
    for stage, own in subject.stages_of(request, config, store, real=False):
        with closing(subject.batches(stage, own, store)) as source:
            figures = timed(lambda _: next(source), request)
        workers = own.data.workers
        found["stages"].append(
            {"stage": stage.name, "batch": own.train.batch_size, "workers": workers, **figures}
        )
    return found | {"peak_bytes": peak_bytes()}


def machine(request: dict) -> dict:
    """What this is, and how fast it multiplies matrices of the request's type."""
    device, kind = jax.devices()[0], jnp.dtype(request.get("dtype") or "float32")
    side = request.get("side") or (1024 if device.platform == "cpu" else 8192)
    square = jnp.ones((side, side), kind)
    product = jax.jit(lambda a, b: a @ b)
    figures = timed(lambda _: jax.block_until_ready(product(square, square)), request)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "device": device.device_kind, "platform": device.platform, "cores": os.cpu_count(), "load": load,
        "jax": jax.__version__, "side": side, "multiply_adds": side**3, **figures,
    }  # fmt: skip


MEASURES = {
    "cost": cost,
    "train": train,
    "generate": generate,
    "judge": judge,
    "data": data,
    "machine": machine,
}


def measured(request: dict) -> dict:
    """The request with its figures, or with `error`: one line that says why there are none."""
    try:
        return {**request, **MEASURES[request["what"]](request)}
    except REPORTED as error:
        return {**request, "error": _line(error)}


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def main(argv: list[str] | None = None) -> int:
    """`measure REQUEST.json FIGURES.json`."""
    asked, place = sys.argv[1:] if argv is None else argv
    keep_memory()  # as training and evaluation do
    write_json(Path(place), measured(json.loads(Path(asked).read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
