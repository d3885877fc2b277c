"""Approximate dense flow F_app on the accelerator: the same as `host_flow`, jitted and batched."""

from functools import partial

import jax
import jax.numpy as jnp

_UNROLLED = 16  # vertices that a pixel is held against before its nearest one is stored


@partial(jax.jit, static_argnames="size")
def approximate_flow(
    reference: jax.Array, driving: jax.Array, size: int, hidden: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """F_app (B, S, S, 2) and mean displacements (B, 2) of projected vertices; see `host_flow.approximate_flow`.

    Args:
        reference, driving: (B, N, 2) pixels, x right and y down; B of `reference` may be 1.
        size: side S of the picture.
        hidden: bool (B, N), driving vertices that no pixel moves with, or None.

    Returns:
        In the precision of the points; in float32 pixels that lie between two vertices may go with the other one.

    Raises:
        ValueError: shapes do not fit.
    """
    if driving.ndim != 3 or driving.shape[-1] != 2 or reference.shape[1:] != driving.shape[1:]:
        raise ValueError(f"vertices {reference.shape} and {driving.shape}: expected (B, N, 2) twice, same N")
    top = jnp.clip(driving[:, :, 1].max(1), 0, size).astype(jnp.int32)
    reference, driving = 2 * reference / size - 1, 2 * driving / size - 1
    displacement = reference - driving
    mean = displacement.mean(1)
    away = jnp.zeros(driving.shape[:2], driving.dtype)
    if hidden is not None:
        away = jnp.where(hidden, jnp.inf, away)
    line = jnp.linspace(-1, 1, size, dtype=driving.dtype)

    def compare(found, vertex):
        least, nearest = found
        number, (x, y), far = vertex
        distance = jnp.square(line[:, None] - y) + (jnp.square(line - x) + far)
        nearer = distance < least  # of two that are equally near, the first
        return (jnp.where(nearer, distance, least), jnp.where(nearer, number, nearest)), None

    def frame(driving, displacement, mean, top, away):
        # Vertices one after the other, all pixels at once: an argmin over vertices is no vector operation on a CPU.
        none = jnp.full((size, size), jnp.inf, driving.dtype), jnp.zeros((size, size), jnp.int32)
        vertices = jnp.arange(len(driving), dtype=jnp.int32), (driving[:, 0], driving[:, 1]), away
        (_, nearest), _ = jax.lax.scan(compare, none, vertices, unroll=_UNROLLED)
        below = (jnp.arange(size) >= top)[:, None, None]
        return jnp.where(below, mean, displacement[nearest])

    moved = jax.vmap(frame)(driving, displacement, mean, top, away)
    identity = jnp.stack(jnp.broadcast_arrays(line[None, :], line[:, None]), -1)
    return identity + moved, mean
