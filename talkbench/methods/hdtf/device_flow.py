"""Approximate dense flow F_app on the accelerator: the same as `host_flow`, jitted and batched."""

from functools import partial

import jax
import jax.numpy as jnp

_BLOCK_VALUES = 1 << 23  # distances held at once


@partial(jax.jit, static_argnames=("size", "rows"))
def approximate_flow(
    reference: jax.Array,
    driving: jax.Array,
    size: int,
    rows: int | None = None,
    hidden: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """F_app (B, S, S, 2) and mean displacements (B, 2) of projected vertices; see `host_flow.approximate_flow`.

    Args:
        reference, driving: (B, N, 2) pixels, x right and y down; B of `reference` may be 1.
        size: side S of the picture.
        rows: rows of pixels whose nearest vertices are sought at once, a divisor of S; None: by memory.
        hidden: bool (B, N), driving vertices that no pixel moves with, or None.

    Returns:
        In the precision of the points; in float32 pixels that lie between two vertices may go with the other one.

    Raises:
        ValueError: shapes do not fit.
    """
    if driving.ndim != 3 or driving.shape[-1] != 2 or reference.shape[1:] != driving.shape[1:]:
        raise ValueError(f"vertices {reference.shape} and {driving.shape}: expected (B, N, 2) twice, same N")
    if rows is None:
        rows = max(
            (r for r in range(1, size + 1) if size % r == 0 and r * size * driving.shape[1] <= _BLOCK_VALUES),
            default=1,
        )
    if size % rows:
        raise ValueError(f"blocks of {rows} rows do not divide a picture of {size}")
    top = jnp.clip(driving[:, :, 1].max(1), 0, size).astype(jnp.int32)
    reference, driving = 2 * reference / size - 1, 2 * driving / size - 1
    displacement = reference - driving
    mean = displacement.mean(1)
    away = jnp.zeros(driving.shape[:2], driving.dtype) if hidden is None else jnp.where(hidden, jnp.inf, 0.0)
    line = jnp.linspace(-1, 1, size, dtype=driving.dtype)

    def frame(arguments):
        driving, displacement, mean, top, away = arguments
        across = jnp.square(line[:, None] - driving[:, 0]) + away  # (S, N)

        def block(y):
            down = jnp.square(y[:, None] - driving[:, 1])  # (rows, N)
            return displacement[jnp.argmin(down[:, None] + across[None], -1)]

        moved = jax.lax.map(block, line.reshape(-1, rows)).reshape(size, size, 2)
        below = (jnp.arange(size) >= top)[:, None, None]
        return jnp.where(below, mean, moved)

    moved = jax.lax.map(frame, (driving, displacement, mean, top, away.astype(driving.dtype)))
    identity = jnp.stack(jnp.broadcast_arrays(line[None, :], line[:, None]), -1)
    return identity + moved, mean
