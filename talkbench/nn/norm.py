"""Batch and instance normalisation as PyTorch computes them, channels last. Statistics are always float32."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last.

    flax's own layer keeps the biased variance and counts `momentum` the other way round; published statistics
    and training runs need PyTorch's rule: running = (1 - momentum) running + momentum batch, with the
    *unbiased* batch variance in the running value and the biased one in the output. Under `jit` with a
    sharded batch the statistics are global.

    Parameters `scale`, `bias`; state `mean`, `var` in the collection `batch_stats`.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    affine: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        width = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, width, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, width, jnp.float32)
        wide = x.astype(jnp.float32)
        if train:
            axes = tuple(range(x.ndim - 1))
            batch_mean = wide.mean(axes)
            batch_var = jnp.square(wide - batch_mean).mean(axes)
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                count = x.size // x.shape[-1]
                unbiased = batch_var * (count / max(count - 1, 1))
                mean.value = (1 - self.momentum) * mean.value + self.momentum * batch_mean
                var.value = (1 - self.momentum) * var.value + self.momentum * unbiased
        else:
            batch_mean, batch_var = mean.value, var.value
        factor = jax.lax.rsqrt(batch_var + self.epsilon)
        if self.affine:
            factor = factor * self.param("scale", nn.initializers.ones, width)
        y = (wide - batch_mean) * factor
        if self.affine:
            y = y + self.param("bias", nn.initializers.zeros, width)
        return y.astype(x.dtype)


def instance_norm(x: jax.Array, epsilon: float = 1e-5) -> jax.Array:
    """(N, *spatial, C), each sample and channel normalised over its spatial axes (biased variance)."""
    axes = tuple(range(1, x.ndim - 1))
    wide = x.astype(jnp.float32)
    wide = wide - wide.mean(axes, keepdims=True)
    y = wide * jax.lax.rsqrt(jnp.square(wide).mean(axes, keepdims=True) + epsilon)
    return y.astype(x.dtype)


class InstanceNorm(nn.Module):
    """Instance normalisation without running statistics; parameters `scale`, `bias` if `affine`."""

    epsilon: float = 1e-5
    affine: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = instance_norm(x, self.epsilon)
        if self.affine:
            scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
            bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
            y = y * scale.astype(y.dtype) + bias.astype(y.dtype)
        return y
