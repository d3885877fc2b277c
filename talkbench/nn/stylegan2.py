"""StyleGAN2's layers (Karras et al. 2020) as its widely used PyTorch port has them, channels last.

Weights are standard normal and scaled when they are used ("equalised learning rate"); published checkpoints hold them
unscaled.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import conv, conv_transpose

BLUR = np.array([1.0, 3.0, 3.0, 1.0], np.float32)


def fused_leaky_relu(x: jax.Array) -> jax.Array:
    """Leaky ReLU of slope 0.2, times sqrt(2)."""
    return nn.leaky_relu(x, 0.2) * np.float32(np.sqrt(2))


def pixel_norm(x: jax.Array) -> jax.Array:
    """Divided by the root mean square over the last axis."""
    return x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-8)


def blur(x: jax.Array) -> jax.Array:
    """(N, H, W, C) -> (N, H - 1, W - 1, C): zeros of 1 around, then [1, 3, 3, 1] / 4 along both axes."""
    for axis in (1, 2):
        x = jnp.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)])
        size = x.shape[axis] - 3
        parts = [jax.lax.slice_in_dim(x, i, i + size, axis=axis) for i in range(4)]
        x = 0.25 * (parts[0] + parts[3]) + 0.75 * (parts[1] + parts[2])
    return x


def upsample(x: jax.Array) -> jax.Array:
    """Twice the height and width: zeros between the pixels, [1, 3, 3, 1] / 4 along both axes, zeros outside."""
    for axis in (1, 2):
        size = x.shape[axis]
        wide = jnp.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)])
        before = jax.lax.slice_in_dim(wide, 0, size, axis=axis)
        after = jax.lax.slice_in_dim(wide, 2, size + 2, axis=axis)
        pair = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])
    return x


class EqualLinear(nn.Module):
    """(..., I) -> (..., features): normal weights times lr_mul / sqrt(I); bias times lr_mul; then perhaps the activation."""

    features: int
    bias_value: float = 0.0
    lr_mul: float = 1.0
    activate: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtype = self.dtype or x.dtype
        kernel = self.param("kernel", nn.initializers.normal(1 / self.lr_mul), (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.constant(self.bias_value), (self.features,))
        scale = np.float32(self.lr_mul / np.sqrt(x.shape[-1]))
        y = x.astype(dtype) @ (kernel * scale).astype(dtype) + (bias * self.lr_mul).astype(dtype)
        return fused_leaky_relu(y) if self.activate else y


class MappingNetwork(nn.Module):
    """z (B, I) -> w (B, features): pixel norm, then `layers` activated linear layers."""

    features: int
    layers: int = 8
    lr_mul: float = 0.01
    dtype: Any = None

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        x = pixel_norm(z)
        for i in range(self.layers):
            x = EqualLinear(
                self.features, lr_mul=self.lr_mul, activate=True, dtype=self.dtype, name=f"fc_{i + 1}"
            )(x)
        return x


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style, and whose output channels are normalised again.

    x (B, H, W, I), style (B, S) -> (B, H, W, features), twice the size with `upsample` (transposed convolution, then
    `blur`). The scaling is put on the input and the normalisation on the output, which is the same as one kernel for
    each sample, and one convolution for the batch. `lr_mul` as in `EqualLinear`.
    """

    features: int
    window: int = 3
    demodulate: bool = True
    upsample: bool = False
    lr_mul: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, style: jax.Array) -> jax.Array:
        width, k = x.shape[-1], self.window
        kernel = self.param("kernel", nn.initializers.normal(1 / self.lr_mul), (k, k, width, self.features))
        kernel = kernel * np.float32(self.lr_mul / np.sqrt(width * k * k))
        scale = EqualLinear(width, 1 / self.lr_mul, self.lr_mul, name="modulation")(style.astype(jnp.float32))
        dtype = self.dtype or x.dtype
        x = x.astype(dtype) * scale[:, None, None].astype(dtype)
        if self.upsample:
            y = blur(conv_transpose(x, kernel.astype(dtype), stride=2))
        else:
            y = conv(x, kernel.astype(dtype), padding=k // 2)
        if self.demodulate:
            energy = jnp.square(scale) @ jnp.square(kernel).sum((0, 1))
            y = y * jax.lax.rsqrt(energy + 1e-8)[:, None, None].astype(dtype)
        return y


class StyledConv(nn.Module):
    """Modulated convolution, noise times its strength, bias and activation. `noise`: (B or 1, H, W, 1) of the output's size."""

    features: int
    upsample: bool = False
    lr_mul: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, style: jax.Array, noise: jax.Array) -> jax.Array:
        sizes = {"upsample": self.upsample, "lr_mul": self.lr_mul, "dtype": self.dtype}
        x = ModulatedConv(self.features, name="conv", **sizes)(x, style)
        strength = self.param("noise_strength", nn.initializers.zeros, (1,))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return fused_leaky_relu(x + (strength * noise).astype(x.dtype) + bias.astype(x.dtype))


class ToRGB(nn.Module):
    """1x1 modulated convolution to `channels`, plus the picture so far at twice its size (if there is one)."""

    channels: int = 3
    lr_mul: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, style: jax.Array, skip: jax.Array | None = None) -> jax.Array:
        sizes = {"demodulate": False, "lr_mul": self.lr_mul, "dtype": self.dtype}
        y = ModulatedConv(self.channels, 1, name="conv", **sizes)(x, style)
        y = y.astype(jnp.float32) + self.param("bias", nn.initializers.zeros, (self.channels,))
        return y if skip is None else y + upsample(skip)
