"""Convolution blocks: those of the first-order-motion family, for images (`dims=2`) and volumes (`dims=3`).

Volumes are (N, D, H, W, C); their blocks pool and enlarge height and width only.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from talkbench.nn.conv import Conv
from talkbench.nn.norm import BatchNorm
from talkbench.nn.pool import avg_pool


class SameBlock(nn.Module):
    """Convolution that keeps the size, BatchNorm, LeakyReLU (`slope` 0: ReLU)."""

    features: int
    dims: int = 2
    window: int = 3
    slope: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        window = (self.window,) * self.dims
        x = Conv(self.features, window, padding=self.window // 2, dtype=self.dtype, name="conv")(x)
        x = BatchNorm(name="norm")(x, train)
        return nn.leaky_relu(x, self.slope) if self.slope else nn.relu(x)


class DownBlock(nn.Module):
    """SameBlock, then height and width halved by averaging."""

    features: int
    dims: int = 2
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = Conv(self.features, (3,) * self.dims, padding=1, dtype=self.dtype, name="conv")(x)
        x = nn.relu(BatchNorm(name="norm")(x, train))
        return avg_pool(x, (1, 2, 2)[-self.dims :])


class UpBlock(nn.Module):
    """Height and width doubled by repetition, then convolution, BatchNorm, ReLU."""

    features: int
    dims: int = 2
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        window = (3,) * self.dims
        x = Conv(self.features, window, padding=1, upsample=True, dtype=self.dtype, name="conv")(x)
        return nn.relu(BatchNorm(name="norm")(x, train))


class ResBlock(nn.Module):
    """Pre-activation residual block of two convolutions; the width stays."""

    dims: int = 2
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        y = x
        for i in (1, 2):
            y = nn.relu(BatchNorm(name=f"norm{i}")(y, train))
            y = Conv(x.shape[-1], (3,) * self.dims, padding=1, dtype=self.dtype, name=f"conv{i}")(y)
        return x + y


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, which is a 1x1 convolution where the width changes."""

    width: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        y = Conv(self.width, (3, 3), padding=1, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(BatchNorm(name="norm1")(y, train))
        y = Conv(self.width, (3, 3), padding=1, dtype=self.dtype, name="conv2")(y)
        y = BatchNorm(name="norm2")(y, train)
        if x.shape[-1] != self.width:
            x = Conv(self.width, (1, 1), dtype=self.dtype, name="skip")(x)
        return nn.relu(x + y)


def pyramid(x: jax.Array, widths: Sequence[int], train: bool = False, dtype: Any = None) -> list[jax.Array]:
    """The encoder of the small networks, to be called in a module's `@nn.compact`: (B, H, W, C) -> a map for each width.

    A 5x5 stem halves the picture; then a `BasicBlock` for each width with an averaging halving between: maps at 1/2,
    1/4, ... of the size, finest first. Layers: `stem`, `block0`, `block1`, ...
    """
    features = []
    x = nn.relu(Conv(widths[0], (5, 5), stride=2, padding=2, dtype=dtype, name="stem")(x))
    for i, width in enumerate(widths):
        x = BasicBlock(width, dtype, name=f"block{i}")(x, train)
        features.append(x)
        if i + 1 < len(widths):
            x = avg_pool(x, (2, 2))
    return features


class BottleneckBlock(nn.Module):
    """1x1 to a quarter of the width, 3x3 (stride), 1x1 back; with stride, a projected shortcut."""

    stride: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        width = x.shape[-1]
        y = Conv(width // 4, (1, 1), dtype=self.dtype, name="conv1")(x)
        y = nn.relu(BatchNorm(name="norm1")(y, train))
        y = Conv(width // 4, (3, 3), stride=self.stride, padding=1, dtype=self.dtype, name="conv2")(y)
        y = nn.relu(BatchNorm(name="norm2")(y, train))
        y = BatchNorm(name="norm3")(Conv(width, (1, 1), dtype=self.dtype, name="conv3")(y), train)
        if self.stride != 1:
            x = Conv(width, (1, 1), stride=self.stride, dtype=self.dtype, name="skip")(x)
            x = BatchNorm(name="norm4")(x, train)
        return nn.relu(x + y)
