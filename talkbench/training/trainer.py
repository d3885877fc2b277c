"""The trainer: any stage of any method, from a fresh or an interrupted run folder to exported weights."""

import math
import os
import signal
import socket
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from talkbench import config as configs
from talkbench.atomic import write_json
from talkbench.data.loader import loader
from talkbench.stage import Stage
from talkbench.training import mesh as meshes
from talkbench.training import optimizer
from talkbench.training.checkpoints import Checkpoints, ResumeError
from talkbench.training.log import Log
from talkbench.training.step import compile_step, init_state, make_step

# Exit code of a run that saved and left because it was told to (EX_TEMPFAIL: run again to go on).
INTERRUPTED = 75


class TrainingError(RuntimeError):
    """A run that cannot go on: diverged, a full disk, or settings that do not fit the machine."""


class Interrupted(Exception):
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
        folder: gets `config.json`, `checkpoints/`, `metrics.jsonl`, `tensorboard/`, `samples/`.

    Returns:
        The generator side for inference, on the host: `{"params", "stats"}`; averaged parameters with `ema_decay`.

    Raises:
        Interrupted: a signal arrived; the state is saved.
        TrainingError: a loss became non-finite, the settings do not fit, or the folder cannot be written.
        SaveError: a checkpoint cannot be written.
        ResumeError: `folder` holds a damaged run, or one made with other settings.
    """
    folder, train, workers = Path(folder), config.train, config.data.workers
    check_settings(config)
    mesh = meshes.data_mesh()
    whole, split = meshes.replicated(mesh), meshes.by_example(mesh)
    processes, first = jax.process_count(), jax.process_index() == 0
    meta = {
        "method": method, "stage": stage.name, "config": configs.to_plain(config), "dataset": store.name, "format": 1,
    }  # fmt: skip
    transform = optimizer.make(config.optimizer, train.steps)
    step = compile_step(make_step(stage, transform, train.ema_decay, config.optimizer.accumulate), mesh)
    sample = jax.jit(stage.sample, out_shardings=whole) if stage.sample else None
    example = _abstract_batch(store, stage, train.batch_size, config.seed)

    def fresh(key):
        zeros = jax.tree.map(lambda a: jax.numpy.zeros(a.shape, a.dtype), example)
        return init_state(stage, transform, key, zeros, ema=train.ema_decay > 0)

    def checked(scalars, since, done):
        scalars = jax.device_get(scalars)
        _check_finite(scalars, since, done, config.optimizer.skip_nonfinite)
        return scalars

    batches = loader(
        store, stage.features, train.batch_size // processes, config.seed,
        workers=workers, process_index=jax.process_index(), process_count=processes,
        cache_in_memory=config.data.in_memory and not workers, examples_per_clip=100,
        by_identity=config.data.by_identity,
    )  # fmt: skip
    key = jax.random.key(config.seed)
    frozen = jax.device_put(stage.frozen(), whole)
    try:
        with (
            closing(batches),
            Checkpoints(folder / "checkpoints", train.keep) as checkpoints,
            _stop_flag() as stopped,
        ):
            begin = checkpoints.latest() or 0
            if begin > train.steps:
                raise ResumeError(
                    f"{folder}: the run is at step {begin} already, train.steps={train.steps} lies before; raise it or "
                    "pass another --out"
                )
            if begin:
                state = checkpoints.restore(begin, jax.eval_shape(fresh, key), batches, mesh, meta)
            else:
                state = jax.jit(fresh, out_shardings=whole)(key)
            if first:
                write_json(folder / "config.json", meta)
            with closing(Log(folder, f"{method}/{stage.name}", begin, train.steps, active=first)) as log:
                seen = begin
                for done in range(begin + 1, train.steps + 1):
                    batch = meshes.put_batch(next(batches), split)
                    state, scalars = step(state, frozen, batch)
                    last = done == train.steps
                    leaving = stopped() or checkpoints.preempted(done)
                    saving = leaving or last or done % train.checkpoint_every == 0
                    logging = last or done % train.log_every == 0
                    if saving or logging:  # elsewhere the host runs ahead of the device
                        scalars = checked(scalars, seen, done)
                        seen = done
                    if logging:
                        log.scalars(done, scalars)
                    if sample and (last or done % train.sample_every == 0):
                        log.images(done, jax.device_get(sample(_inference(state), frozen, batch)))
                    if saving:
                        checkpoints.save(done, state, batches, meta)
                    if leaving:
                        raise Interrupted(done)
            return jax.device_get(_inference(state))
    except OSError as error:
        place = error.filename or folder
        raise TrainingError(
            f"{place}: {error.strerror or error}; free some space or pass another --out"
        ) from error


def _inference(state: dict) -> dict:
    side = state["generator"]
    return {"params": state["ema"] or side["params"], "stats": side["stats"]}


def _abstract_batch(store, stage: Stage, batch_size: int, seed: int) -> dict:
    one = stage.features(store.view(store.clip_ids[0]), np.random.default_rng(seed))
    shape = lambda x: jax.ShapeDtypeStruct((batch_size, *np.shape(x)), np.asarray(x).dtype)  # noqa: E731
    return jax.tree.map(shape, one)


def check_settings(config: ConfigDict) -> None:
    """TrainingError if a setting of `config.train` makes no run, or the batch does not divide."""
    train, parts = config.train, config.optimizer.accumulate
    names = ("steps", "batch_size", "log_every", "sample_every", "checkpoint_every", "keep")
    for name, value in {"optimizer.accumulate": parts, **{f"train.{n}": train[n] for n in names}}.items():
        if value < 1:
            raise TrainingError(f"{name}={value}: must be at least 1")
    if train.batch_size % (jax.device_count() * parts):
        shares = f"{jax.device_count()} devices" + (f" x optimizer.accumulate={parts}" if parts > 1 else "")
        raise TrainingError(
            f"train.batch_size={train.batch_size} does not divide by {shares}; choose a multiple"
        )


def _check_finite(scalars: dict, since: int, step: int, skip: int) -> None:
    bad = sorted(name for name, value in scalars.items() if not np.isfinite(value))
    # A term without a weight may be what it likes; a step that was left out has done no harm.
    harm = {"generator", "discriminator", "generator_gradient", "discriminator_gradient"}.intersection(bad)
    if harm and scalars.get("skipped_in_a_row", math.inf) > skip:
        raise TrainingError(
            f"{', '.join(bad)} not finite between steps {since + 1} and {step}; lower optimizer.learning_rate, set "
            "optimizer.clip_norm, or optimizer.skip_nonfinite, and rerun (the last whole checkpoint is kept)"
        )


@contextmanager
def _stop_flag():
    """SIGTERM and SIGINT set a flag that is read between steps; a second SIGINT ends the process at once.

    Python's own handlers wait for the main thread, which sits in a compilation for minutes; so a thread reads the
    signals' numbers. With several processes SIGTERM stays with JAX, which makes all of them stop at the same step.
    """
    cluster = jax.distributed.is_initialized()
    wanted = [signal.SIGINT] if cluster else [signal.SIGINT, signal.SIGTERM]
    wanted = [
        number for number in wanted if signal.getsignal(number) != signal.SIG_IGN
    ]  # a job in the background
    received = []

    def watch():
        while number := reader.recv(1):
            if ord(number) not in wanted:
                continue
            if ord(number) == signal.SIGINT and received:
                _leave_at_once()
            received.append(ord(number))
            print("\nstopping after this step (Ctrl-C once more: at once)", file=sys.stderr, flush=True)
            if cluster:
                os.kill(os.getpid(), signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # the caller's process owns the signals
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    old_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    old = {number: signal.signal(number, lambda *_: None) for number in wanted}
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: bool(received) and not cluster
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)
        signal.set_wakeup_fd(old_wakeup)
        writer.close()
        watcher.join()
        reader.close()


def _leave_at_once() -> None:
    if sys.stdout.isatty():
        os.write(1, b"\x1b[?25h")  # the progress bar hid the cursor
    os.write(2, b"interrupted\n")
    os._exit(130)
