"""The identity embedding that gives G_ani its style: a frozen network's, as the config names it."""

import jax
import jax.numpy as jnp
import numpy as np

from talkbench.evaluators import arcface, builtin
from talkbench.nn.warp import grid_sample
from talkbench.weights import store

NETWORKS = ("arcface", "landmarks")
_EYES = (slice(36, 42), slice(42, 48))
_POINTS = (30, 48, 54)  # nose tip and mouth corners


def load(kind: str) -> dict:
    """The frozen network's variables.

    Raises:
        ValueError: an unknown network. WeightsMissing: with the command that brings them.
    """
    if kind not in NETWORKS:
        raise ValueError(f"model.identity={kind!r}: there are {', '.join(NETWORKS)}")
    if kind == "arcface":
        return arcface.read_weights(store.path_of("arcface"))
    return builtin.teacher()[1]


def embedding(kind: str, variables: dict, images: jax.Array, landmarks: jax.Array) -> jax.Array:
    """Embeddings (B, E) of the faces in `images` uint8 (B, S, S, 3), landmarks (B, 68, 2) pixels with centres at +0.5.

    "arcface": the 512 numbers of a published face-recognition network (the paper's VGG-Face embedding of that size is
    unpublished); "landmarks": the mean over the picture of the last map of the landmark network that ships with talkbench.
    """
    if kind == "landmarks":
        maps = builtin.teacher()[0](variables, images.astype(jnp.float32) / 255)
        return maps[-1].mean((1, 2))
    faces = aligned(images, landmarks)
    return arcface.embed(variables, jnp.clip(jnp.round(faces), 0, 255).astype(jnp.uint8))


def aligned(images: jax.Array, landmarks: jax.Array) -> jax.Array:
    """Faces turned, scaled and cut as ArcFace knows them, as `arcface.align` on the device: float32 (B, 112, 112, 3)."""
    points = jnp.concatenate(
        [*(landmarks[:, eye].mean(1, keepdims=True) for eye in _EYES), landmarks[:, list(_POINTS)]], 1
    )
    target = jnp.asarray(arcface.TEMPLATE, jnp.float32) + 0.5
    p, q = points - points.mean(1, keepdims=True), target - target.mean(0)
    spread = jnp.square(p).sum((1, 2))
    a = (p * q).sum((1, 2)) / spread
    b = (p[..., 0] * q[:, 1] - p[..., 1] * q[:, 0]).sum(1) / spread
    # The way back from the cut to the picture.
    turn = jnp.stack([jnp.stack([a, b], -1), jnp.stack([-b, a], -1)], 1) / (a**2 + b**2)[:, None, None]
    line = np.arange(arcface.SIZE) + 0.5
    grid = jnp.asarray(np.stack(np.meshgrid(line, line), -1), jnp.float32) - target.mean(0)
    place = jnp.einsum("bij,hwj->bhwi", turn, grid) + points.mean(1)[:, None, None]
    size = jnp.array([images.shape[2], images.shape[1]], jnp.float32)
    return grid_sample(images.astype(jnp.float32), 2 * place / size - 1)
