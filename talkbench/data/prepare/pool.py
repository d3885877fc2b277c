"""Worker processes, one unit each at a time: a decoder that crashes costs one unit, and it is known which."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from pathlib import Path

import cv2

from talkbench import __version__
from talkbench.data.prepare.faces import open_backend
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.units import Unit
from talkbench.data.prepare.work import refuse, work
from talkbench.data.prepare.workplace import DEATHS, Workplace, sha256_of

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class PoolError(RuntimeError):
    """Workers that cannot even start, or an error that is no fault of a file; the message says what."""


def run(
    units: Iterable[Unit], settings: Settings, folder: Path, workers: int, job=None
) -> Iterator[tuple[Unit, dict]]:
    """Works on units in `workers` processes; yields (unit, row) as they finish, in any order.

    A unit whose process dies is begun again, at the third death it is refused as `crashed_worker`. Errors that are no
    fault of the file (a full disk, a bug) end the run; finished units stay.

    Args:
        job: module-level function that is called as `work` is; a test's own.
    """
    place, todo = Workplace(folder), iter(units)
    again: deque[Unit] = deque()
    crew: list[_Worker] = []
    deaths: dict[str, int] = {}
    try:
        while True:
            for worker in [*crew, *(None for _ in range(workers - len(crew)))]:
                if worker is not None and worker.unit is not None:
                    continue
                unit = again.popleft() if again else next(todo, None)
                if unit is None:
                    break
                if worker is None:
                    worker = _Worker(settings, folder, job or work)
                    crew.append(worker)
                worker.give(unit)
            busy = {worker.pipe: worker for worker in crew if worker.unit is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                worker = busy[pipe]
                unit = worker.unit
                try:
                    kind, value = pipe.recv()
                except (EOFError, OSError):
                    crew.remove(worker)
                    worker.end()
                    count = deaths[unit.name] = deaths.get(unit.name, 0) + 1
                    if worker.key:
                        count = max(count, place.died(worker.key))
                    if not worker.ready:
                        raise PoolError(
                            "a worker process ended before it began; is there enough memory?"
                        ) from None
                    if count >= DEATHS:
                        yield unit, _crashed(place, unit, settings, count)
                    else:
                        again.append(unit)
                    continue
                if kind == "key":
                    worker.key, worker.ready = value, True
                elif kind == "failed":
                    raise PoolError(f"{unit.path}: {value}")
                else:
                    worker.unit = None
                    yield unit, value
    finally:
        for worker in crew:
            worker.end()


def _crashed(place: Workplace, unit: Unit, settings: Settings, deaths: int) -> dict:
    key = unit.key(settings)
    row = {"key": key, "path": unit.name, "sha256": sha256_of(unit.path), "version": __version__}
    detail = f"its process died {deaths} times while working on it"
    return refuse(place, row, "crashed_worker", detail, "survey", deaths)


class _Worker:
    """A process and what it is working on."""

    def __init__(self, settings: Settings, folder: Path, job):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.unit: Unit | None = None
        self.key: str | None = None
        self.ready = False
        # libraries read these when they are loaded: one process a core, and results that no thread's haste can change
        before = {name: os.environ.get(name) for name in ONE_THREAD}
        os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
        try:
            self.process = context.Process(target=_serve, args=(theirs, settings, folder, job), daemon=True)
            self.process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        theirs.close()

    def give(self, unit: Unit) -> None:
        self.unit, self.key = unit, None
        try:
            self.pipe.send(unit)
        except OSError:  # it died meanwhile; its pipe tells the same at the next look
            pass

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _serve(pipe, settings: Settings, folder: Path, job) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    cv2.setNumThreads(1)
    place = Workplace(folder)
    while True:
        try:
            unit = pipe.recv()
        except (EOFError, OSError):  # the parent is gone
            return
        try:
            row = job(unit, settings, place, open_backend, lambda key: pipe.send(("key", key)))
        except Exception as error:
            pipe.send(("failed", f"{type(error).__name__}: {error}"))
        else:
            pipe.send(("row", row))
