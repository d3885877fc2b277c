"""Which values VGG-19's pools took in the reference, where rounding decides: for golden gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.nn.conv import Conv
from talkbench.nn.pool import max_pool


class PoolsOfTheReference:
    """Interceptor of flax methods for VGG-19 in double precision: each pool takes the value that the reference took.

    The gradient jumps where two values of a window are within rounding of each other. Which of them is larger then
    depends on the order of the reference's sums; the same sums in that order, in single precision, run along here.
    ReLUs are left to double precision.
    """

    BEFORE = ("features_2", "features_7", "features_16", "features_25")

    def __init__(self, images: jax.Array):
        self.x = jax.lax.stop_gradient(images).astype(jnp.float32)

    def __call__(self, following, args, kwargs, context):
        made = following(*args, **kwargs)
        if not isinstance(context.module, Conv):
            return made
        like = _summed_in_order(self.x, **context.module.variables["params"])
        self.x = nn.relu(like)
        if context.module.name not in self.BEFORE:
            return made
        self.x = max_pool(self.x, (2, 2))
        row, column = jnp.ix_(*(jnp.arange(n) % 2 for n in like.shape[1:3]))
        # Of equal values the first is taken.
        like = like.astype(made.dtype) - 1e-12 * (2 * row + column)[..., None]

        def spread(pooled):
            wide = pooled.repeat(2, 1).repeat(2, 2)
            return jnp.pad(wide, [(0, n - m) for n, m in zip(made.shape, wide.shape, strict=True)])

        def largest(values):
            return values == spread(max_pool(values, (2, 2)))

        other = largest(jax.lax.stop_gradient(made)) != largest(like)
        other = spread(max_pool(other.astype(made.dtype), (2, 2))) > 0
        return jnp.where(other, made + jax.lax.stop_gradient(like - made), made)


def _summed_in_order(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """3x3 convolution whose sums go as in PyTorch's (oneDNN's) direct form: from the bias on, over blocks of 16
    input channels, then the window, then a block's channels, each product added unrounded.

    Args:
        x: (N, H, W, C) float32; kernel (3, 3, C, O) and bias (O,) hold single-precision values. Needs x64.
    """
    height, width, channels = x.shape[1:]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = jnp.stack([padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)])
    block = 16 if channels % 16 == 0 else channels

    def ordered(a):  # (9, ..., C) -> (9 C, ...)
        a = jnp.moveaxis(a, -1, 0).reshape(channels // block, block, 9, *a.shape[1:-1])
        return jnp.moveaxis(a, 2, 1).reshape(9 * channels, *a.shape[3:]).astype(jnp.float64)

    values, factors = ordered(shifted), ordered(jnp.moveaxis(kernel.reshape(9, channels, -1), 1, -1))

    def add(k, total):
        return (total.astype(jnp.float64) + values[k][..., None] * factors[k]).astype(jnp.float32)

    start = jnp.broadcast_to(bias.astype(jnp.float32), (*x.shape[:-1], bias.size))
    return jax.lax.fori_loop(0, len(factors), add, start)
