"""Average and maximum pooling over the spatial axes of (N, *spatial, C), as PyTorch's (floor mode)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def _blocks(x: jax.Array, window: Sequence[int]) -> jax.Array:
    """x with each spatial axis split into (blocks, window); what doesn't fill a block is cut off."""
    counts = [n // w for n, w in zip(x.shape[1:-1], window, strict=True)]
    cut = [slice(c * w) for c, w in zip(counts, window, strict=True)]
    x = x[(slice(None), *cut)]
    split = [size for pair in zip(counts, window, strict=True) for size in pair]
    return x.reshape(x.shape[0], *split, x.shape[-1])


def avg_pool(x: jax.Array, window: Sequence[int]) -> jax.Array:
    """Average over blocks of `window` (one number for each spatial axis), stride = window."""
    axes = tuple(range(2, 2 * len(window) + 1, 2))
    return _blocks(x, window).mean(axes)


def max_pool(
    x: jax.Array,
    window: Sequence[int],
    stride: Sequence[int] | None = None,
    padding: Sequence[int] | None = None,
) -> jax.Array:
    """Maximum over windows; `stride` defaults to `window`, `padding` (with -inf) to none.

    Blocks that don't overlap take a form with a quick gradient, which shares the gradient between exact ties;
    PyTorch gives it to one of them.
    """
    if stride is None or tuple(stride) == tuple(window):
        if padding is None or not any(padding):
            axes = tuple(range(2, 2 * len(window) + 1, 2))
            return _blocks(x, window).max(axes)
    stride = window if stride is None else stride
    pairs = [(p, p) for p in (padding or (0,) * len(window))]
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, *window, 1), (1, *stride, 1), ((0, 0), *pairs, (0, 0))
    )


def global_avg_pool(x: jax.Array) -> jax.Array:
    """(N, *spatial, C) -> (N, C)."""
    return x.mean(tuple(range(1, x.ndim - 1)))


def avg_pool_inside(x: jax.Array) -> jax.Array:
    """(N, H, W, C) -> (N, ceil(H / 2), ceil(W / 2), C): 3x3 windows, stride 2, padding 1 that does not count."""
    for axis in (1, 2):
        size = x.shape[axis]
        half = (size + 1) // 2
        wide = jnp.pad(x, [(1, 2) if a == axis else (0, 0) for a in range(x.ndim)])
        total = sum(jax.lax.slice_in_dim(wide, i, i + 2 * half - 1, 2, axis) for i in range(3))
        index = 2 * np.arange(half)
        count = np.minimum(index + 1, size - 1) - np.maximum(index - 1, 0) + 1
        x = total / jnp.asarray(count, x.dtype).reshape(-1, *(1,) * (x.ndim - 1 - axis))
    return x


def adaptive_avg_pool(x: jax.Array, size: Sequence[int]) -> jax.Array:
    """(N, *spatial, C) -> (N, *size, C): cell i averages pixels floor(i n / m) .. ceil((i + 1) n / m) - 1 of each axis."""
    for axis, (old, new) in enumerate(zip(x.shape[1:-1], size, strict=True), 1):
        if old == new:
            continue
        cells = [(i * old // new, -(-(i + 1) * old // new)) for i in range(new)]
        x = jnp.stack([jax.lax.slice_in_dim(x, low, high, axis=axis).mean(axis) for low, high in cells], axis)
    return x
