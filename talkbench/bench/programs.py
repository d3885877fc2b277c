"""What a generator computes: the programs that it compiles, how often it calls them, what they cost."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock

import jax
import numpy as np

from talkbench.bench.count import multiply_adds


@dataclass
class Programs:
    """Of all functions that were jitted while `recorded` was open.

    Attributes:
        dry: nothing is compiled or run; every call gives zeros of the right shapes.
        calls: how often each program was called since it was last cleared.
        compile_seconds: spent on tracing and compiling, so far.
    """

    dry: bool = False
    calls: Counter = field(default_factory=Counter)
    compile_seconds: float = 0.0
    _made: dict = field(default_factory=dict)

    def jit(self, function: Callable, **options) -> Callable:
        """In place of `jax.jit`. A function with options of its own (static arguments, say) is left out of the count."""
        jitted = _JIT(function, **options)
        if options:
            return jitted

        def call(*args):
            leaves, tree = jax.tree.flatten(args)
            if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
                return jitted(*args)  # inside another program, which counts it
            key = (id(function), tree, tuple((np.shape(leaf), str(_type(leaf))) for leaf in leaves))
            if key not in self._made:
                self._made[key] = self._make(function, jitted, args)
            self.calls[key] += 1
            run = self._made[key][0]
            return run(*args)

        return call

    def _make(self, function, jitted, args):
        count = multiply_adds(function, *args)
        if self.dry:
            made = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), jax.eval_shape(function, *args))
            return (lambda *_: made), count, 0.0
        started = time.perf_counter()
        compiled = jitted.lower(*args).compile()
        self.compile_seconds += time.perf_counter() - started
        return compiled, count, bytes_moved(compiled)

    def multiply_adds(self) -> Counter:
        """Of all calls, by type."""
        total = Counter()
        for key, times in self.calls.items():
            for kind, count in self._made[key][1].items():
                total[kind] += times * count
        return total

    def bytes_moved(self) -> float:
        """Of all calls."""
        return sum(times * self._made[key][2] for key, times in self.calls.items())


_JIT = jax.jit


def _type(leaf):
    """Of an array, without fetching it from its device, or of a number."""
    return getattr(leaf, "dtype", None) or np.result_type(leaf)


@contextmanager
def recorded(dry: bool = False):
    """`Programs` of what is jitted inside."""
    programs = Programs(dry)
    with mock.patch.object(jax, "jit", programs.jit):
        yield programs


def bytes_moved(compiled) -> float:
    """Bytes that a compiled program reads and writes, by XLA's own cost analysis; 0 where it has none."""
    found = compiled.cost_analysis() or {}
    found = found[0] if isinstance(found, list) else found
    return float(found.get("bytes accessed", 0.0))
