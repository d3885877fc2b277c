"""The trainer: any stage of any method, from a fresh or an interrupted run folder to exported weights."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from talkbench import config as configs
from talkbench.data.loader import loader
from talkbench.stage import Stage
from talkbench.training import mesh as meshes
from talkbench.training import optimizer
from talkbench.training.checkpoints import Checkpoints
from talkbench.training.log import Log
from talkbench.training.step import compile_step, init_state, make_step

INTERRUPTED = (
    75  # exit code of a run that saved and left because it was told to (EX_TEMPFAIL: run again to go on)
)


class TrainingError(RuntimeError):
    """A run that cannot go on: diverged, or settings that do not fit the machine."""


class Interrupted(Exception):  # noqa: N818 - not an error: the state is saved
    """SIGTERM, SIGINT or a preemption notice arrived; the run is saved at `step`."""

    def __init__(self, step: int):
        super().__init__(f"interrupted; saved at step {step}, run the same command to go on")
        self.step = step


def train_stage(stage: Stage, store, config: ConfigDict, method: str, folder: Path) -> dict:
    """Train one stage to `config.train.steps`, resuming what `folder` holds.

    Args:
        stage: what to train.
        store: records to train on (a `data.store.Store`).
        config: the whole config of the method; `seed`, `optimizer`, `train` and `data` are read here.
        method: its name, for checkpoints.
        folder: gets `checkpoints/`, `metrics.jsonl`, `tensorboard/`, `samples/`.

    Returns:
        The generator side for inference, on the host: `{"params", "stats"}`; averaged parameters with `ema_decay`.

    Raises:
        Interrupted: a signal arrived; the state is saved.
        TrainingError: a loss became non-finite, or the batch does not divide by the devices.
        ResumeError: `folder` holds a run made with other settings.
    """
    folder = Path(folder)
    train = config.train
    mesh = meshes.data_mesh()
    processes = jax.process_count()
    if train.batch_size % jax.device_count():
        raise TrainingError(
            f"train.batch_size={train.batch_size} does not divide by {jax.device_count()} devices"
        )
    batches = iter(
        loader(
            store, stage.features, train.batch_size // processes, config.seed,
            workers=config.data.workers, process_index=jax.process_index(), process_count=processes,
            cache_in_memory=config.data.in_memory, examples_per_clip=100,
        )
    )  # fmt: skip
    meta = {
        "method": method, "stage": stage.name, "config": configs.to_plain(config), "dataset": store.name, "format": 1,
    }  # fmt: skip
    transform = optimizer.make(config.optimizer, train.steps)
    shardings = meshes.replicated(mesh), meshes.by_example(mesh)
    example = _abstract_batch(store, stage, train.batch_size, config.seed)

    def fresh(key):
        zeros = jax.tree.map(lambda a: jax.numpy.zeros(a.shape, a.dtype), example)
        return init_state(stage, transform, key, zeros, ema=train.ema_decay > 0)

    key = jax.random.key(config.seed)
    frozen = jax.device_put(stage.frozen(), shardings[0])
    step = compile_step(make_step(stage, transform, train.ema_decay), mesh)
    with Checkpoints(folder / "checkpoints", train.keep) as checkpoints, _stop_flag() as stopped:
        begin = checkpoints.latest() or 0
        if begin:
            state = checkpoints.restore(begin, jax.eval_shape(fresh, key), batches, mesh, meta)
        else:
            state = jax.jit(fresh, out_shardings=shardings[0])(key)
        log = Log(folder, f"{method}/{stage.name}", begin, train.steps, active=jax.process_index() == 0)
        checked = begin
        try:
            for done in range(begin + 1, train.steps + 1):
                batch = meshes.put_batch(next(batches), shardings[1])
                state, scalars = step(state, frozen, batch)
                last = done == train.steps
                if done % train.log_every == 0 or last:
                    scalars = jax.device_get(scalars)
                    _check_finite(scalars, checked, done)
                    checked = done
                    log.scalars(done, scalars)
                if stage.sample is not None and (done % train.sample_every == 0 or last):
                    log.images(done, jax.device_get(_sample(stage)(_inference(state), frozen, batch)))
                leaving = stopped() or checkpoints.preempted(done)
                if done % train.checkpoint_every == 0 or last or leaving:
                    checkpoints.save(done, state, batches, meta)
                if leaving and not last:
                    raise Interrupted(done)
        finally:
            log.close()
        return jax.device_get(_inference(state))


def _inference(state: dict) -> dict:
    side = state["generator"]
    return {"params": state["ema"] or side["params"], "stats": side["stats"]}


def _sample(stage: Stage, cache: dict = {}) -> Callable:  # noqa: B006 - one compiled function a stage
    if stage.name not in cache:
        cache[stage.name] = jax.jit(stage.sample)
    return cache[stage.name]


def _abstract_batch(store, stage: Stage, batch_size: int, seed: int) -> dict:
    one = stage.features(store.view(store.clip_ids[0]), np.random.default_rng(seed))
    shape = lambda x: jax.ShapeDtypeStruct((batch_size, *np.shape(x)), np.asarray(x).dtype)  # noqa: E731
    return jax.tree.map(shape, one)


def _check_finite(scalars: dict, since: int, step: int) -> None:
    bad = sorted(name for name, value in scalars.items() if not np.isfinite(value))
    if bad:
        raise TrainingError(
            f"{', '.join(bad)} not finite between steps {since + 1} and {step}; lower optimizer.learning_rate, set "
            "optimizer.clip_norm, or optimizer.skip_nonfinite, and rerun (the last whole checkpoint is kept)"
        )


@contextmanager
def _stop_flag():
    """SIGTERM and SIGINT set a flag that is read between steps; a second SIGINT interrupts at once."""
    flag = []

    def handler(number, _):
        if flag and number == signal.SIGINT:
            raise KeyboardInterrupt
        flag.append(number)

    try:
        old = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: the caller's process owns the signals
        old = {}
    try:
        yield lambda: bool(flag)
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)


def write_json(path: Path, content: dict) -> None:
    """Write JSON atomically."""
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)
