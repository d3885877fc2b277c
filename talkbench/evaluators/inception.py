"""Inception V3 with the weights of TensorFlow's 2015 archive: features of FID and KID (Heusel et al. 2017).

The network differs from torchvision's: average pools leave padding out of the count, the last block's pool
branch takes the maximum, there is no auxiliary head, and `fc` has 1008 rows. Three published ways lead from a
uint8 image to its 299 x 299 input; they give different numbers, so each is a metric of its own (`PREPARE`).
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import Conv, Linear
from talkbench.nn.norm import BatchNorm
from talkbench.nn.pool import max_pool
from talkbench.nn.resize import resize_linear
from talkbench.weights import torch_layout
from talkbench.weights.readers import state_dict

SIZE = 299


class BasicConv(nn.Module):
    """Convolution without bias, BatchNorm, ReLU."""

    features: int
    window: Sequence[int]
    stride: int = 1
    padding: Sequence[int] = (0, 0)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Conv(self.features, self.window, self.stride, self.padding, use_bias=False, name="conv")(x)
        return nn.relu(BatchNorm(epsilon=1e-3, name="bn")(x))


def _average(x: jax.Array) -> jax.Array:
    """3x3 mean at stride 1 over the pixels that are inside the image."""
    for axis in (1, 2):
        size = x.shape[axis]
        pad = [(0, 0)] * x.ndim
        pad[axis] = (1, 1)
        wide = jnp.pad(x, pad)
        count = np.full(size, 3.0, np.float32)
        count[0] -= 1
        count[-1] -= 1
        shape = [1] * x.ndim
        shape[axis] = size
        total = sum(jax.lax.slice_in_dim(wide, i, i + size, axis=axis) for i in range(3))
        x = total / count.reshape(shape)
    return x


def _branch(x: jax.Array, layers) -> jax.Array:
    """Convolutions (name, features, window[, stride]) in a row, padded to the same size at stride 1."""
    for name, features, window, *stride in layers:
        padding = (0, 0) if stride else (window[0] // 2, window[1] // 2)
        x = BasicConv(features, window, *stride, padding=padding, name=name)(x)
    return x


class BlockA(nn.Module):
    """35 x 35."""

    pool: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.concatenate(
            [
                _branch(x, [("branch1x1", 64, (1, 1))]),
                _branch(x, [("branch5x5_1", 48, (1, 1)), ("branch5x5_2", 64, (5, 5))]),
                _branch(
                    x,
                    [
                        ("branch3x3dbl_1", 64, (1, 1)),
                        ("branch3x3dbl_2", 96, (3, 3)),
                        ("branch3x3dbl_3", 96, (3, 3)),
                    ],
                ),
                _branch(_average(x), [("branch_pool", self.pool, (1, 1))]),
            ],
            -1,
        )


class BlockB(nn.Module):
    """35 x 35 to 17 x 17."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        double = [
            ("branch3x3dbl_1", 64, (1, 1)),
            ("branch3x3dbl_2", 96, (3, 3)),
            ("branch3x3dbl_3", 96, (3, 3), 2),
        ]
        parts = [_branch(x, [("branch3x3", 384, (3, 3), 2)]), _branch(x, double), max_pool(x, (3, 3), (2, 2))]
        return jnp.concatenate(parts, -1)


class BlockC(nn.Module):
    """17 x 17, with 1x7 and 7x1 convolutions of width `inner`."""

    inner: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c = self.inner
        single = [("branch7x7_1", c, (1, 1)), ("branch7x7_2", c, (1, 7)), ("branch7x7_3", 192, (7, 1))]
        double = [
            ("branch7x7dbl_1", c, (1, 1)),
            ("branch7x7dbl_2", c, (7, 1)),
            ("branch7x7dbl_3", c, (1, 7)),
            ("branch7x7dbl_4", c, (7, 1)),
            ("branch7x7dbl_5", 192, (1, 7)),
        ]
        parts = [
            _branch(x, [("branch1x1", 192, (1, 1))]),
            _branch(x, single),
            _branch(x, double),
            _branch(_average(x), [("branch_pool", 192, (1, 1))]),
        ]
        return jnp.concatenate(parts, -1)


class BlockD(nn.Module):
    """17 x 17 to 8 x 8."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        long = [
            ("branch7x7x3_1", 192, (1, 1)),
            ("branch7x7x3_2", 192, (1, 7)),
            ("branch7x7x3_3", 192, (7, 1)),
            ("branch7x7x3_4", 192, (3, 3), 2),
        ]
        short = [("branch3x3_1", 192, (1, 1)), ("branch3x3_2", 320, (3, 3), 2)]
        return jnp.concatenate([_branch(x, short), _branch(x, long), max_pool(x, (3, 3), (2, 2))], -1)


class BlockE(nn.Module):
    """8 x 8; `maximum` says which pool its last branch has."""

    maximum: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        single = _branch(x, [("branch3x3_1", 384, (1, 1))])
        double = _branch(x, [("branch3x3dbl_1", 448, (1, 1)), ("branch3x3dbl_2", 384, (3, 3))])
        pooled = max_pool(x, (3, 3), (1, 1), (1, 1)) if self.maximum else _average(x)
        parts = [
            _branch(x, [("branch1x1", 320, (1, 1))]),
            _branch(single, [("branch3x3_2a", 384, (1, 3))]),
            _branch(single, [("branch3x3_2b", 384, (3, 1))]),
            _branch(double, [("branch3x3dbl_3a", 384, (1, 3))]),
            _branch(double, [("branch3x3dbl_3b", 384, (3, 1))]),
            _branch(pooled, [("branch_pool", 192, (1, 1))]),
        ]
        return jnp.concatenate(parts, -1)


class Inception(nn.Module):
    """Feature maps and logits of images (N, 299, 299, 3) in [-1, 1] (other sizes from 75 on work too).

    Returns:
        {"block0": (N, 73, 73, 64), "block1": (N, 35, 35, 192), "block2": (N, 17, 17, 768),
        "pool3": (N, 2048), "logits_unbiased": (N, 1008), logits without the bias}. What isn't used costs
        nothing under `jit`.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        out = {}
        x = BasicConv(32, (3, 3), 2, name="Conv2d_1a_3x3")(x)
        x = BasicConv(32, (3, 3), name="Conv2d_2a_3x3")(x)
        x = BasicConv(64, (3, 3), padding=(1, 1), name="Conv2d_2b_3x3")(x)
        out["block0"] = x = max_pool(x, (3, 3), (2, 2))
        x = BasicConv(80, (1, 1), name="Conv2d_3b_1x1")(x)
        x = BasicConv(192, (3, 3), name="Conv2d_4a_3x3")(x)
        out["block1"] = x = max_pool(x, (3, 3), (2, 2))
        for name, pool in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = BlockA(pool, name=name)(x)
        x = BlockB(name="Mixed_6a")(x)
        for name, inner in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            x = BlockC(inner, name=name)(x)
        out["block2"] = x
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(False, name="Mixed_7b")(x)
        x = BlockE(True, name="Mixed_7c")(x)
        out["pool3"] = x = x.mean((1, 2))
        # pytorch-fid's bias is all that is left out, so that the inception score's softmax is unbiased
        fc = Linear(1008, name="fc")
        biased = fc(x)
        if self.is_initializing():
            return {**out, "logits_unbiased": biased}
        out["logits_unbiased"] = x @ self.get_variable("params", "fc")["kernel"]
        return out


def resize_tf1(x: jax.Array, size: Sequence[int] = (SIZE, SIZE)) -> jax.Array:
    """TensorFlow 1's bilinear resize of (N, H, W, C): source position = index * old / new, no half-pixel
    offset.
    """
    for axis, (old, new) in enumerate(zip(x.shape[1:-1], size, strict=True), 1):
        position = np.arange(new) * np.float32(old / new)
        low = np.floor(position).astype(np.int64)
        weight = (position - low).astype(np.float32).reshape(-1, *(1,) * (x.ndim - 1 - axis))
        a, b = jnp.take(x, low, axis), jnp.take(x, np.minimum(low + 1, old - 1), axis)
        x = a + (b - a) * weight
    return x


@lru_cache(maxsize=32)
def _bicubic_matrix(old: int, new: int) -> np.ndarray:
    """(new, old) weights of Pillow's bicubic filter (a = -0.5), widened when it shrinks."""
    scale = old / new
    widening = max(scale, 1.0)
    centre = (np.arange(new) + 0.5) * scale
    t = np.abs((np.arange(old)[None] + 0.5 - centre[:, None]) / widening)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weight = np.where(t < 1, near, np.where(t < 2, far, 0.0))
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)


def resize_clean(x: jax.Array, size: Sequence[int] = (SIZE, SIZE)) -> jax.Array:
    """Clean-FID's resize of (N, H, W, C) in [0, 255]: Pillow's antialiased bicubic on floats, clipped, not
    rounded.
    """
    for axis, (old, new) in enumerate(zip(x.shape[1:-1], size, strict=True), 1):
        if old != new:
            matrix = jnp.asarray(_bicubic_matrix(old, new))
            y = jnp.tensordot(matrix, x, ((1,), (axis,)), precision=jax.lax.Precision.HIGHEST)
            x = jnp.moveaxis(y, 0, axis)
    return jnp.clip(x, 0, 255)


def _prepare_fid(images):
    return 2 * resize_linear(images.astype(jnp.float32) / 255, (SIZE, SIZE)) - 1


def _prepare_clean(images):
    return (resize_clean(images.astype(jnp.float32)) - 128) / 128


def _prepare_tf1(images):
    return (resize_tf1(images.astype(jnp.float32)) - 128) / 128


PREPARE = {"fid": _prepare_fid, "fid_clean": _prepare_clean, "fid_tf1": _prepare_tf1}


def features(variables, images: jax.Array, variant: str = "fid") -> jax.Array:
    """pool3 features of uint8 images.

    Args:
        variables: of `read_weights` or `convert`.
        images: (N, H, W, 3) uint8 RGB, any size.
        variant: "fid" (pytorch-fid: bilinear without antialiasing), "fid_clean" (Clean-FID: antialiased
            bicubic) or "fid_tf1" (torch-fidelity: TensorFlow 1's bilinear).

    Returns:
        (N, 2048) float32. Pure, to be jitted with `variant` static.
    """
    return Inception().apply(variables, PREPARE[variant](images))["pool3"]


@cache
def abstract() -> dict:
    """Shapes of the network's variables."""
    return torch_layout.abstract_variables(Inception().init, (1, SIZE, SIZE, 3))


def convert(published: dict[str, np.ndarray]) -> dict:
    """pytorch-fid's (or torch-fidelity's) state dict as variables."""
    return torch_layout.convert(published, abstract(), name="Inception")


def read_weights(path: str | Path) -> dict:
    """Variables from the published file (registry name `fid`)."""
    return convert(state_dict(path))
