"""Resampling of the spatial axes of (N, *spatial, C) with PyTorch's rules.

`jax.image.resize` antialiases where PyTorch's `interpolate` doesn't, and knows no `align_corners=True`.
"""

from collections.abc import Sequence
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np


def upsample_nearest(x: jax.Array, factors: Sequence[int]) -> jax.Array:
    """Every pixel repeated `factors[i]` times along spatial axis i."""
    for axis, factor in enumerate(factors, 1):
        if factor != 1:
            wide = jnp.broadcast_to(
                jnp.expand_dims(x, axis + 1), (*x.shape[: axis + 1], factor, *x.shape[axis + 1 :])
            )
            x = wide.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])
    return x


def resize_nearest(x: jax.Array, size: Sequence[int]) -> jax.Array:
    """`interpolate(mode="nearest")` to `size`: source index floor(i * n / size)."""
    for axis, (old, new) in enumerate(zip(x.shape[1:-1], size, strict=True), 1):
        if new % old == 0:
            x = upsample_nearest(x, [new // old if a == axis else 1 for a in range(1, x.ndim - 1)])
        elif old % new == 0:
            x = jax.lax.slice_in_dim(x, 0, old, old // new, axis)
        else:
            x = jnp.take(x, np.arange(new) * old // new, axis)
    return x


def resize_linear(x: jax.Array, size: Sequence[int], align_corners: bool = False) -> jax.Array:
    """PyTorch's `interpolate`, mode linear, bilinear or trilinear, to `size`; no antialiasing."""
    for axis, (old, new) in enumerate(zip(x.shape[1:-1], size, strict=True), 1):
        if old == new:
            continue
        if new == 2 * old and not align_corners:
            x = _double(x, axis)
            continue
        if align_corners:
            position = np.arange(new) * ((old - 1) / max(new - 1, 1))
        else:
            position = np.maximum((np.arange(new) + 0.5) * (old / new) - 0.5, 0)
        low = np.minimum(np.floor(position).astype(np.int64), old - 1)
        weight = (position - low).astype(np.float32)
        weight = weight.reshape(-1, *(1,) * (x.ndim - 1 - axis)).astype(x.dtype)
        a, b = jnp.take(x, low, axis), jnp.take(x, np.minimum(low + 1, old - 1), axis)
        x = a + (b - a) * weight
    return x


def _double(x: jax.Array, axis: int) -> jax.Array:
    """Linear interpolation to twice the size from shifted copies: no gather in the gradient."""
    size = x.shape[axis]
    before = jnp.concatenate(
        [jax.lax.slice_in_dim(x, 0, 1, axis=axis), jax.lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis
    )
    after = jnp.concatenate(
        [jax.lax.slice_in_dim(x, 1, size, axis=axis), jax.lax.slice_in_dim(x, size - 1, size, axis=axis)],
        axis,
    )
    pair = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
    return pair.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])


def resize_antialias(x: jax.Array, size: Sequence[int]) -> jax.Array:
    """Bilinear `interpolate(antialias=True)`: when shrinking, the triangle filter widens."""
    matrices = [_triangle_matrix(old, new) for old, new in zip(x.shape[1:-1], size, strict=True)]
    return _apply(x, matrices)


@lru_cache(maxsize=64)
def _triangle_matrix(old: int, new: int) -> np.ndarray:
    scale = old / new
    support = max(scale, 1.0)
    centre = (np.arange(new) + 0.5) * scale
    weight = np.maximum(1 - np.abs(np.arange(old)[None] + 0.5 - centre[:, None]) / support, 0)
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)


def gaussian_kernel(scale: float) -> np.ndarray:
    """The 1-D low-pass filter of `gaussian_downsample`, float32, sum 1; in 2-D its outer product."""
    sigma = (1 / scale - 1) / 2
    half = round(4 * sigma)
    if half == 0:
        return np.ones(1, np.float32)
    offset = np.arange(-half, half + 1)
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    return (kernel / kernel.sum()).astype(np.float32)


def gaussian_downsample(x: jax.Array, scale: float) -> jax.Array:
    """Anti-aliased reduction of images by 1 / scale (an integer): Gaussian low-pass, then every (1/scale)-th
    pixel from 0.

    sigma = (1/scale - 1) / 2, 2 round(4 sigma) + 1 taps, zeros outside the image. x (N, H, W, C); scale 1
    returns x.
    """
    step = round(1 / scale)
    if step == 1:
        return x
    return _apply(x, [_gaussian_matrix(n, step) for n in x.shape[1:-1]])


@lru_cache(maxsize=64)
def _gaussian_matrix(size: int, step: int) -> np.ndarray:
    kernel = gaussian_kernel(1 / step)
    half = len(kernel) // 2
    matrix = np.zeros((-(-size // step), size), np.float32)
    for row in range(len(matrix)):
        start = row * step - half
        inside = slice(max(0, -start), min(len(kernel), size - start))
        matrix[row, start + inside.start : start + inside.stop] = kernel[inside]
    return matrix


def _apply(x: jax.Array, matrices: Sequence[np.ndarray]) -> jax.Array:
    """Each spatial axis multiplied by its (new, old) matrix, in full precision: images, so few channels."""
    for axis, matrix in enumerate(matrices, 1):
        if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix))):
            continue
        y = jnp.tensordot(
            jnp.asarray(matrix, x.dtype), x, ((1,), (axis,)), precision=jax.lax.Precision.HIGHEST
        )
        x = jnp.moveaxis(y, 0, axis)
    return x
