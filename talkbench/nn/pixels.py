"""Plain pixel differences that the `tiny` recipes have and the papers lack. Pictures are (B, H, W, 3)."""

import jax
import jax.numpy as jnp

from talkbench.nn.pool import avg_pool


def pyramid_difference(made: jax.Array, target: jax.Array, levels: int = 3) -> jax.Array:
    """Mean absolute difference at full size and at 1/2, 1/4 ... (box averages), averaged over `levels`."""
    total = 0.0
    for level in range(levels):
        total = total + jnp.abs(made - target).mean()
        if level + 1 < levels:
            made, target = avg_pool(made, (2, 2)), avg_pool(target, (2, 2))
    return total / levels


def window_difference(made: jax.Array, target: jax.Array, window: jax.Array) -> jax.Array:
    """Mean absolute difference under a Gaussian around the mouth.

    Args:
        window: (B, 3): centre x, y and half width in [-1, 1]; sigma is the half width across, 0.7 of it down.
    """
    height, width = made.shape[1:3]
    x = (jnp.arange(width) + 0.5) * (2 / width) - 1
    y = (jnp.arange(height) + 0.5) * (2 / height) - 1
    across = jnp.exp(-0.5 * ((x - window[:, :1]) / window[:, 2:]) ** 2)
    down = jnp.exp(-0.5 * ((y - window[:, 1:2]) / (0.7 * window[:, 2:])) ** 2)
    weight = down[:, :, None] * across[:, None]
    difference = jnp.abs(made - target).mean(-1)
    return ((difference * weight).sum((1, 2)) / weight.sum((1, 2))).mean()
