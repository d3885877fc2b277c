"""A network over the frames of a clip, some at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

_AT_ONCE = 2  # a program for a CPU leaves one of two cores idle for half of its time


def in_batches(function: Callable, batch: int, *arrays: np.ndarray):
    """What `function` makes of all rows, in their order, on the host.

    Args:
        function: of `batch` rows of each array, gives arrays (or trees of them) with a row for each. Two calls may run at once.
        arrays: (T, ...), T > 0; the last batch is filled with copies of the last row, of which nothing is returned.
    """

    arrays = tuple(map(np.asarray, arrays))

    def rows_from(start):
        parts = [x[start : start + batch] for x in arrays]
        count = len(parts[0])
        filled = [np.concatenate([x, np.repeat(x[-1:], batch - count, 0)]) for x in parts]
        return jax.tree.map(lambda x: np.asarray(x)[:count], function(*filled))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        made = list(pool.map(rows_from, range(0, len(arrays[0]), batch)))
    return jax.tree.map(lambda *x: np.concatenate(x), *made)
