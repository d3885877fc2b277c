"""Patch discriminators with their feature maps for feature matching: the first-order motion model's, pix2pixHD's."""

from typing import Any

import flax.linen as nn
import jax

from talkbench.nn.conv import Conv
from talkbench.nn.norm import InstanceNorm, instance_norm
from talkbench.nn.pool import avg_pool, avg_pool_inside


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


class PatchGan(nn.Module):
    """pix2pixHD's discriminator in SPADE's form: 4x4 convolutions with padding 2, stride 2 but for the last two.

    Spectral norm and InstanceNorm between; the first and last have a bias and neither. Returns
    [features..., scores (N, h, w, 1)].
    """

    features: int = 64
    layers: int = 4
    max_features: int = 512
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> list[jax.Array]:
        window = {"window": (4, 4), "padding": 2, "dtype": self.dtype}
        maps = [nn.leaky_relu(Conv(self.features, stride=2, **window, name="model0_0")(x), 0.2)]
        for i in range(1, self.layers):
            layer = Conv(
                min(self.features * 2**i, self.max_features),
                stride=1 if i == self.layers - 1 else 2,
                use_bias=False,
                spectral=True,
                name=f"model{i}_0_0",
                **window,
            )
            maps.append(nn.leaky_relu(instance_norm(layer(maps[-1], train)), 0.2))
        return [*maps, Conv(1, **window, name=f"model{self.layers}_0")(maps[-1])]


class MultiscalePatchGan(nn.Module):
    """`PatchGan`s on the picture and on its halvings: a list for each scale, [the scale's picture, features..., scores]."""

    scales: int = 2
    features: int = 64
    layers: int = 4
    max_features: int = 512
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> list[list[jax.Array]]:
        made = []
        for i in range(self.scales):
            x = avg_pool_inside(x) if i else x
            sizes = self.features, self.layers, self.max_features, self.dtype
            made.append([x, *PatchGan(*sizes, name=f"discriminator_{i}")(x, train)])
        return made
