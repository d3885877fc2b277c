"""SPADE: spatially adaptive normalisation and its residual block (Park et al., CVPR 2019)."""

from typing import Any

import flax.linen as nn
import jax

from talkbench.nn.conv import Conv
from talkbench.nn.norm import instance_norm
from talkbench.nn.resize import resize_nearest


class Spade(nn.Module):
    """Instance norm of x, scaled and shifted by convolutions of a label map `seg` resized (nearest) to x."""

    hidden: int = 128
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, seg: jax.Array) -> jax.Array:
        seg = resize_nearest(seg, x.shape[1:-1])
        shared = Conv(self.hidden, (3, 3), padding=1, dtype=self.dtype, name="mlp_shared_0")(seg)
        shared = nn.relu(shared)
        gamma = Conv(x.shape[-1], (3, 3), padding=1, dtype=self.dtype, name="mlp_gamma")(shared)
        beta = Conv(x.shape[-1], (3, 3), padding=1, dtype=self.dtype, name="mlp_beta")(shared)
        return instance_norm(x) * (1 + gamma) + beta


class SpadeBlock(nn.Module):
    """Residual block of two SPADE norms and spectral convolutions; a learned shortcut to another width."""

    features: int
    hidden: int = 128
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, seg: jax.Array, train: bool = False) -> jax.Array:
        middle = min(x.shape[-1], self.features)

        def conv(features, window, name, use_bias=True):
            return Conv(
                features,
                (window, window),
                padding=window // 2,
                use_bias=use_bias,
                spectral=True,
                dtype=self.dtype,
                name=name,
            )

        def norm(name):
            return Spade(self.hidden, self.dtype, name=name)

        shortcut = x
        if x.shape[-1] != self.features:
            shortcut = conv(self.features, 1, "conv_s", use_bias=False)(norm("norm_s")(x, seg), train)
        y = conv(middle, 3, "conv_0")(nn.leaky_relu(norm("norm_0")(x, seg), 0.2), train)
        y = conv(self.features, 3, "conv_1")(nn.leaky_relu(norm("norm_1")(y, seg), 0.2), train)
        return shortcut + y
