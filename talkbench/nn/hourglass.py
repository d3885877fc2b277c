"""U-Net of Down and Up blocks with skip connections (first-order motion model; face-vid2vid's is 3-D)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from talkbench.nn.blocks import DownBlock, UpBlock
from talkbench.nn.conv import Conv
from talkbench.nn.norm import BatchNorm


def level_width(block_expansion: int, max_features: int, level: int) -> int:
    """Width after `level` halvings."""
    return min(max_features, block_expansion * 2**level)


class HourglassEncoder(nn.Module):
    """x -> [x, features at 1/2, 1/4, ... 1/2**num_blocks]."""

    block_expansion: int
    num_blocks: int
    max_features: int
    dims: int = 2
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> list[jax.Array]:
        outputs = [x]
        for i in range(self.num_blocks):
            width = level_width(self.block_expansion, self.max_features, i + 1)
            outputs.append(
                DownBlock(width, self.dims, self.dtype, name=f"down_blocks_{i}")(outputs[-1], train)
            )
        return outputs


class HourglassDecoder(nn.Module):
    """The encoder's list -> features at full size, joined with the encoder's input, then `final_block`."""

    block_expansion: int
    num_blocks: int
    max_features: int
    dims: int = 2
    final_block: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, skips: list[jax.Array], train: bool = False) -> jax.Array:
        skips = list(skips)
        x = skips.pop()
        for i in range(self.num_blocks):
            width = level_width(self.block_expansion, self.max_features, self.num_blocks - 1 - i)
            x = UpBlock(width, self.dims, self.dtype, name=f"up_blocks_{i}")(x, train)
            x = jnp.concatenate([x, skips.pop()], -1)
        if self.final_block:
            x = Conv(x.shape[-1], (3,) * self.dims, padding=1, dtype=self.dtype, name="conv")(x)
            x = nn.relu(BatchNorm(name="norm")(x, train))
        return x


class Hourglass(nn.Module):
    """x (N, [D,] H, W, C) -> (N, [D,] H, W, block_expansion + C). Sides must divide by 2**num_blocks."""

    block_expansion: int
    num_blocks: int
    max_features: int
    dims: int = 2
    final_block: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        step = 2**self.num_blocks
        if x.shape[-3] % step or x.shape[-2] % step:
            raise ValueError(
                f"an hourglass of {self.num_blocks} blocks needs sides divisible by {step}, got {x.shape}"
            )
        sizes = (self.block_expansion, self.num_blocks, self.max_features, self.dims)
        skips = HourglassEncoder(*sizes, self.dtype, name="encoder")(x, train)
        return HourglassDecoder(*sizes, self.final_block, self.dtype, name="decoder")(skips, train)
