"""Progress of a count: a rich bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PLAIN_SECONDS = 15.0


@contextmanager
def bar(title: str, quiet: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """Gives `tell(done, total, what)`; nothing is printed when `quiet`."""
    if quiet:
        yield lambda done, total, what="": None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, TextColumn("{task.fields[what]}"), console=Console(stderr=True)) as progress:
            task = progress.add_task(title, total=None, what="")
            yield lambda done, total, what="": progress.update(task, completed=done, total=total, what=what)
        return
    last = time.monotonic()

    def tell(done: int, total: int, what: str = "") -> None:
        nonlocal last
        if done == total or time.monotonic() - last > PLAIN_SECONDS:
            last = time.monotonic()
            print(f"{title}: {done}/{total}", file=sys.stderr, flush=True)

    yield tell
