"""Functions compiled by numba, cached in the user's cache folder."""

import os
from collections.abc import Callable
from pathlib import Path

import numba


def cache_folder() -> Path:
    """Where compiled functions are kept: NUMBA_CACHE_DIR, else talkbench/numba in the XDG cache folder."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "talkbench" / "numba"


def compiled(function: Callable) -> Callable:
    """Compile without the interpreter lock (threads may draw at once), strict IEEE arithmetic, cached
    between runs.

    The cache folder is set for this function alone: numba's own default is next to the source file, which in
    an installed package may not be writable, and the global setting would move the caches of other libraries.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder can be written: compile in every process
        return numba.njit(nogil=True)(function)
    finally:
        numba.config.CACHE_DIR = before
