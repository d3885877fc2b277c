"""Patch discriminator of the first-order motion model, with its feature maps for feature matching."""

from typing import Any

import flax.linen as nn
import jax

from talkbench.nn.conv import Conv
from talkbench.nn.norm import InstanceNorm
from talkbench.nn.pool import avg_pool


class DiscriminatorBlock(nn.Module):
    """Unpadded convolution, InstanceNorm (optional), LeakyReLU 0.2, averaging by 2 (optional)."""

    features: int
    norm: bool = True
    pool: bool = True
    window: int = 4
    spectral: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        window = (self.window,) * 2
        x = Conv(self.features, window, spectral=self.spectral, dtype=self.dtype, name="conv")(x, train)
        if self.norm:
            x = InstanceNorm(name="norm")(x)
        x = nn.leaky_relu(x, 0.2)
        return avg_pool(x, (2, 2)) if self.pool else x


class PatchDiscriminator(nn.Module):
    """Image (N, H, W, C) -> (list of `num_blocks` feature maps, scores (N, h, w, 1))."""

    block_expansion: int = 32
    num_blocks: int = 4
    max_features: int = 512
    spectral: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[list[jax.Array], jax.Array]:
        features = []
        for i in range(self.num_blocks):
            block = DiscriminatorBlock(
                min(self.max_features, self.block_expansion * 2 ** (i + 1)),
                norm=i > 0,
                pool=i < self.num_blocks - 1,
                spectral=self.spectral,
                dtype=self.dtype,
                name=f"down_blocks_{i}",
            )
            x = block(x, train)
            features.append(x)
        return features, Conv(1, (1, 1), spectral=self.spectral, dtype=self.dtype, name="conv")(x, train)
