"""Sampling images and volumes at given positions, as PyTorch's `grid_sample` (linear modes)."""

from collections.abc import Sequence
from itertools import product
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

PaddingMode = Literal["zeros", "border", "reflection"]


def coordinate_grid(size: Sequence[int]) -> np.ndarray:
    """Corner-aligned coordinates (x, y[, z]) in [-1, 1] of a (H, W) or (D, H, W) array: (*size, 2 | 3)."""
    axes = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) - 1 for n in size]
    return np.stack(np.meshgrid(*axes, indexing="ij")[::-1], -1).astype(np.float32)


def grid_sample(
    x: jax.Array,
    grid: jax.Array,
    padding_mode: PaddingMode = "zeros",
    align_corners: bool = False,
) -> jax.Array:
    """Linear interpolation of x at the positions of `grid`.

    Args:
        x: (N, H, W, C) or (N, D, H, W, C); a single one is sampled by all grids.
        grid: (N, *out, 2 | 3), coordinates (x, y[, z]) in [-1, 1]. `out` may have any number of axes, so that
            one volume can be sampled by several flows without being repeated.
        padding_mode: what lies outside: zeros, the border pixel, or the mirrored image.
        align_corners: whether -1 and 1 are the centres of the outer pixels (True) or their outer edges.

    Returns:
        (N, *out, C), of x's dtype; positions are computed in float32.
    """
    size = x.shape[1:-1]
    if grid.shape[-1] != len(size) or x.shape[0] not in (1, grid.shape[0]):
        raise ValueError(f"grid of shape {grid.shape} does not fit an input of shape {x.shape}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"padding mode {padding_mode!r}: choose zeros, border or reflection")
    x, grid = jnp.asarray(x), jnp.asarray(grid, jnp.float32)
    lows, fractions = [], []
    for axis, n in enumerate(size):
        position = _pixel(grid[..., len(size) - 1 - axis], n, padding_mode, align_corners)
        low = jnp.floor(position)
        lows.append(low)
        fractions.append(position - low)
    flat = x.reshape(-1, x.shape[-1])
    sample = jnp.arange(x.shape[0]).reshape(-1, *(1,) * (grid.ndim - 2))
    total = None
    for corner in product(
        (0, 1), repeat=len(size)
    ):  # gathers from the flat array: quick forwards and backwards
        index, weight = sample, 1.0
        for low, fraction, up, n in zip(lows, fractions, corner, size, strict=True):
            position = low + up
            weight = weight * (fraction if up else 1 - fraction)
            if padding_mode == "zeros":
                weight = weight * ((position >= 0) & (position <= n - 1))
            index = index * n + jnp.clip(position, 0, n - 1).astype(jnp.int32)
        part = flat.at[index].get(mode="promise_in_bounds") * weight[..., None].astype(x.dtype)
        total = part if total is None else total + part
    return total


def computed(x: jax.Array) -> jax.Array:
    """x as it is, (..., C); on a CPU computed before anything reads it.

    XLA's CPU backend moves a sampling into the loop of what reads it. If that takes the values in another order, positions and
    weights are computed again for each channel: seven times as long. It does not move anything into a matrix product.
    """
    if jax.default_backend() != "cpu":
        return x
    return jnp.matmul(x, jnp.eye(x.shape[-1], dtype=x.dtype), precision=jax.lax.Precision.HIGHEST)


def _pixel(coordinate: jax.Array, size: int, padding_mode: str, align_corners: bool) -> jax.Array:
    """Position in pixels (0 = centre of the first) of a coordinate in [-1, 1], after the padding rule."""
    if align_corners:
        position = (coordinate + 1) / 2 * (size - 1)
    else:
        position = ((coordinate + 1) * size - 1) / 2
    if padding_mode == "reflection":
        low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
        position = _reflect(position, low, high) if high > low else jnp.zeros_like(position)
    if padding_mode != "zeros":
        position = jnp.clip(position, 0, size - 1)
    else:  # far outside or not finite: nothing to see there, and it must not overflow an integer
        position = jnp.clip(jnp.nan_to_num(position, nan=-2.0), -2.0, size + 1.0)
    return position


def _reflect(position: jax.Array, low: float, high: float) -> jax.Array:
    span = high - low
    distance = jnp.abs(position - low)
    folded = jnp.mod(distance, span)
    return jnp.where(jnp.floor(distance / span) % 2 == 0, folded + low, span - folded + low)


def shift_volumes(x: jax.Array, shifts: jax.Array) -> jax.Array:
    """A volume moved by several constant shifts; equals `grid_sample` at a corner-aligned grid plus each shift.

    A constant shift makes linear interpolation a product of three small matrices, one an axis: matrix products
    instead of gathers, whose gradients (scatters) dominate a training step on every backend.

    Args:
        x: (B, D, H, W, C); a single one is moved by all shifts.
        shifts: (B, K, 3), (x, y, z) in units of [-1, 1].

    Returns:
        (B, D, H, W, K, C); zeros outside, positions as with `align_corners=False`.
    """
    y = x[:, None]
    for axis, n in enumerate(x.shape[1:4]):
        line = jnp.linspace(-1.0, 1.0, n) if n > 1 else -jnp.ones(1)
        position = ((line + shifts[..., 2 - axis, None] + 1) * n - 1) / 2
        hat = jnp.maximum(0.0, 1.0 - jnp.abs(position[..., None] - jnp.arange(n))).astype(x.dtype)
        letters = "dhw"[axis]
        y = jnp.einsum(
            f"bko{letters},bkdhwc->bk{'dhw'.replace(letters, 'o')}c",
            hat,
            jnp.broadcast_to(y, (*shifts.shape[:2], *y.shape[2:])),
            precision=jax.lax.Precision.HIGHEST,
        )
    return y.transpose(0, 2, 3, 4, 1, 5)
