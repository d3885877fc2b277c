"""The building block of the face alignment network (Bulat and Tzimiropoulos 2017)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.nn.conv import Conv
from talkbench.nn.norm import BatchNorm


class ConvBlock(nn.Module):
    """Three pre-activated 3x3 convolutions of 1/2, 1/4, 1/4 of the width, joined, plus the shortcut."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        parts, y = [], x
        for i, share in enumerate((2, 4, 4), 1):
            y = nn.relu(BatchNorm(name=f"bn{i}")(y, train))
            width = self.features // share
            y = Conv(width, (3, 3), padding=1, use_bias=False, dtype=self.dtype, name=f"conv{i}")(y)
            parts.append(y)
        if x.shape[-1] != self.features:
            x = nn.relu(BatchNorm(name="downsample_0")(x, train))
            x = Conv(self.features, (1, 1), use_bias=False, dtype=self.dtype, name="downsample_2")(x)
        return jnp.concatenate(parts, -1) + x
