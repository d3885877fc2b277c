"""A network over the frames of a clip, some at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

_SIDE = 64  # pixels, up to which a generator's full batch goes through it
_MORE = 4  # times as many on an accelerator
_AT_ONCE = 2  # a program for a CPU leaves one of two cores idle for half of its time


def fitting(most: int, side: int) -> int:
    """How many frames of `side` px a generator draws in one call: `most` of small ones, fewer as they grow.

    What a frame takes on its way grows with its area; of face-vid2vid's published sizes at 256 px it is 2.7 GB on a CPU.
    """
    share = (_SIDE / side) ** 2 * (1 if jax.default_backend() == "cpu" else _MORE)
    return max(1, min(most, int(most * share)))


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

    # Rows so large that they go one by one keep all cores busy, and two of them twice the memory.
    with ThreadPoolExecutor(_AT_ONCE if batch > 1 else 1) as pool:
        made = list(pool.map(rows_from, range(0, len(arrays[0]), batch)))
    return jax.tree.map(lambda *x: np.concatenate(x), *made)
