"""Against flicker, which frames drawn one by one have (the paper's limit): each frame leans on the one before it. Ours."""

from functools import partial

import jax
import jax.numpy as jnp

from talkbench.nn.warp import grid_sample

TOLERANCE = (
    0.06  # of the range of values: differences well above it are motion, or a mouth that opens, and stay
)


@partial(jax.jit, static_argnames="align_corners")
def steadied(
    before: jax.Array, frames: jax.Array, flows: jax.Array, strength: float, align_corners: bool = True
) -> jax.Array:
    """Frames (T, S, S, 3) in [0, 1], recursively mixed with the frame before.

    The frame before is taken twice, as it is (background) and fetched along the mesh (face); each pixel takes the one
    that is nearer to what was drawn, and leans on it by `strength exp(-(difference / TOLERANCE)^2)`.

    Args:
        before: (S, S, 3), the last frame before these, already steadied (the first frame of a clip: itself).
        flows: (T, S, S, 2) in [-1, 1], for each frame where its pixels were in the one before.
        strength: 0 (frames as drawn) to below 1.
    """

    def step(last, drawn):
        frame, flow = drawn
        moved = grid_sample(last[None], flow[None], "border", align_corners=align_corners)[0]
        off = [jnp.abs(x - frame).mean(-1, keepdims=True) for x in (last, moved)]
        nearer = jnp.where(off[0] <= off[1], last, moved)
        share = strength * jnp.exp(-jnp.square(jnp.minimum(*off) / TOLERANCE))
        made = frame + share * (nearer - frame)
        return made, made

    return jax.lax.scan(step, before, (frames, flows))[1]
