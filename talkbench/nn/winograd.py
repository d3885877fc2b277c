"""Convolutions with fewer multiplications: F(4, 3) of Lavin & Gray 2016 (arXiv:1509.09308), along the height alone.

Four rows of the result come from six rows of the picture, each of which one row of the window has passed over: half of the
multiplications, done by convolutions with a window one pixel high. In both directions there would be a quarter, but on a CPU
the sums before and after would cost more than they save: they wait for memory, and both directions have twice as many.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

NARROWEST = 64  # channels on either side from which it pays; twice as many on one of them in large pictures
LARGEST_NARROW = 2**22  # numbers in the pictures
FEWEST_PIXELS, LOWEST = 512, 6  # of the result

ROWS, TAPS = 4, 3
# Where the polynomials are evaluated, besides infinity. In float32 the result errs by twice what the direct sum does;
# with the usual 0, +-1, +-2 it would be by three times.
_POINTS = (0.0, 0.625, -0.625, 1.5, -1.5)


def _sums() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Toom and Cook's weights: of the picture's rows (6, 6), of the window's (6, 3) and of the products (4, 6)."""
    points = np.array(_POINTS)
    others = [np.delete(points, i) for i in range(len(points))]
    picture = np.zeros((len(points) + 1,) * 2)
    for i, roots in enumerate(others):
        picture[i, :-1] = np.poly(roots)[::-1]
    picture[-1] = np.poly(points)[::-1]
    window, products = (np.vander(points, n, increasing=True) for n in (TAPS, ROWS))
    window = np.vstack(
        [window / [[np.prod(p - o)] for p, o in zip(points, others, strict=True)], np.eye(TAPS)[-1:]]
    )
    products = np.vstack([products, np.eye(ROWS)[-1:]]).T
    size = np.abs(picture).max(1, keepdims=True)
    return picture / size, window * size, products


_PICTURE, _WINDOW, _PRODUCTS = _sums()


def pays(shape: Sequence[int], kernel_shape: Sequence[int], pairs: Sequence[tuple[int, int]]) -> bool:
    """Whether a convolution of an input (N, H, W, I), padded by `pairs`, by a kernel of this shape is quicker in this form."""
    if kernel_shape[0] != TAPS or kernel_shape[1] == 1:
        return False
    axes = zip(shape[1:3], pairs, kernel_shape[:2], strict=True)
    height, width = (n + low + high - k + 1 for n, (low, high), k in axes)
    large = height >= LOWEST and shape[0] * height * width >= FEWEST_PIXELS
    widest = NARROWEST * (1 if np.prod(shape) <= LARGEST_NARROW else 2)
    return large and min(kernel_shape[2:]) >= NARROWEST and max(kernel_shape[2:]) >= widest


def convolve(x: jax.Array, kernel: jax.Array, pairs: Sequence[tuple[int, int]], plain: Callable) -> jax.Array:
    """Cross-correlation: x (N, H, W, I), zeros around it by (low, high) `pairs`, kernel (3, w, I, O) -> (N, H', W', O).

    `plain(x, kernel, pairs)` does the convolutions with windows one pixel high.
    """
    (low, high), sides = pairs
    height = x.shape[1] + low + high - 2
    blocks = -(-height // ROWS)
    beyond = ROWS * blocks + 2 - x.shape[1] - low
    zero = jnp.zeros((), x.dtype)
    x = jax.lax.pad(x, zero, ((0, 0, 0), (low, beyond, 0), (0, 0, 0), (0, 0, 0)))
    rows = [x[:, i : i + ROWS * (blocks - 1) + 1 : ROWS] for i in range(len(_PICTURE))]
    taps = jnp.einsum(
        "ai,ijco->ajco", _WINDOW.astype(np.float32), kernel, precision=jax.lax.Precision.HIGHEST
    )
    products = [
        plain(row, tap[None].astype(x.dtype), ((0, 0), sides))
        for row, tap in zip(_combined(_PICTURE, rows), taps, strict=True)
    ]
    y = jnp.stack(_combined(_PRODUCTS, products), 2)
    return y.reshape(len(x), ROWS * blocks, *y.shape[3:])[:, :height]


def _combined(weights: np.ndarray, parts: list[jax.Array]) -> list[jax.Array]:
    """Weighted sums of the parts, one for each row of the weights."""
    sums = []
    for row in weights:
        first, *rest = [part * part.dtype.type(w) for w, part in zip(row, parts, strict=True) if w]
        sums.append(sum(rest, first))
    return sums
