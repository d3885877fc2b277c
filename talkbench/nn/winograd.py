"""3x3 convolutions with fewer multiplications: F(2x2, 3x3) of Lavin & Gray 2016 (arXiv:1509.09308).

On a CPU XLA's matrix products are much quicker than its convolutions. Here a convolution becomes sixteen products, with
4/9 of the multiplications; for wide layers it takes 0.4 to 0.65 of the direct form's time, and differs from it by 2e-6.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

NARROWEST = 64  # channels on either side from which it pays
FEWEST_TILES = 256

# Of four rows (or columns) of the input, of the kernel's three, and of four products (their equation 7).
_INPUT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
_OUTPUT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)


def pays(shape: Sequence[int], kernel_shape: Sequence[int]) -> bool:
    """Whether a convolution of an input (N, H, W, I) by a kernel of this shape is quicker in this form."""
    tiles = shape[0] * (shape[1] // 2) * (shape[2] // 2)
    return kernel_shape[:2] == (3, 3) and min(kernel_shape[2:]) >= NARROWEST and tiles >= FEWEST_TILES


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Cross-correlation without padding: x (N, H, W, I), kernel (3, 3, I, O) -> (N, H - 2, W - 2, O)."""
    n, h, w, fan_in = x.shape
    height, width = h - 2, w - 2
    rows, columns = -(-height // 2), -(-width // 2)
    x = jnp.pad(x, ((0, 0), (0, 2 * rows - height), (0, 2 * columns - width), (0, 0)))
    down = _combined(_INPUT, [x[:, i : i + 2 * rows - 1 : 2] for i in range(4)])
    spread = jnp.einsum("ai,bj,ijco->abco", _KERNEL, _KERNEL, kernel, precision=jax.lax.Precision.HIGHEST)
    half = []
    for i, part in enumerate(down):
        across = _combined(_INPUT, [part[:, :, j : j + 2 * columns - 1 : 2] for j in range(4)])
        products = [tile.reshape(-1, fan_in) @ spread[i, j].astype(x.dtype) for j, tile in enumerate(across)]
        half.append(_combined(_OUTPUT, products))
    # half[i][b]: four rows, two columns of every tile
    tiles = [_combined(_OUTPUT, [half[i][b] for i in range(4)]) for b in range(2)]
    tiles = [[tiles[b][a].reshape(n, rows, columns, -1) for b in range(2)] for a in range(2)]
    y = jnp.stack([jnp.stack(row, 3) for row in tiles], 2)
    return y.reshape(n, 2 * rows, 2 * columns, -1)[:, :height, :width]


def _combined(matrix: np.ndarray, parts: list[jax.Array]) -> list[jax.Array]:
    """Sums of the parts by a matrix of -1, 0 and 1, a row each."""
    sums = []
    for row in matrix:
        total = None
        for factor, part in zip(row, parts, strict=True):
            if factor == 0:
                continue
            if total is None:
                total = part if factor > 0 else -part
            else:
                total = total + part if factor > 0 else total - part
        sums.append(total)
    return sums
