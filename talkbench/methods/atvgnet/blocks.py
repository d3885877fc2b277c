"""Blocks of ATVGnet: BatchNorm with the statistics of one video frame at a time, and the convolutional recurrence."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import Conv, ConvTranspose, conv


class StepNorm(nn.Module):
    """BatchNorm over (steps * B, *spatial, C) as if it were called `steps` times, once a step, in order.

    The published networks call their per-frame parts once a frame: statistics are of one frame over the batch, and
    the running ones move `steps` times. Here all frames go through at once and the running statistics take the
    closed form of those moves. `steps` 1 is plain BatchNorm over everything. PyTorch's rule otherwise (unbiased
    running variance); parameters `scale`, `bias`, state `mean`, `var` in `batch_stats`.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    scale_init: Callable = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, steps: int = 1) -> jax.Array:
        width = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, width, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, width, jnp.float32)
        scale = self.param("scale", self.scale_init, width)
        bias = self.param("bias", nn.initializers.zeros, width)
        wide = x.astype(jnp.float32)
        if not train:
            y = (wide - mean.value) * (jax.lax.rsqrt(var.value + self.epsilon) * scale) + bias
            return y.astype(x.dtype)
        # Sums over the axes as they are: over one flat axis XLA's CPU backend takes several times as long.
        groups = wide.reshape(steps, -1, *x.shape[1:])
        axes = tuple(range(1, x.ndim))
        batch_mean = groups.mean(axes)
        apart = jnp.expand_dims(batch_mean, axes)
        batch_var = jnp.square(groups - apart).mean(axes)
        if self.is_mutable_collection("batch_stats") and not self.is_initializing():
            count = x.size // (steps * x.shape[-1])
            unbiased = batch_var * (count / max(count - 1, 1))
            keep = 1 - self.momentum
            shares = (self.momentum * keep ** np.arange(steps - 1, -1, -1)).astype(np.float32)
            mean.value = keep**steps * mean.value + shares @ batch_mean
            var.value = keep**steps * var.value + shares @ unbiased
        factor = jax.lax.rsqrt(batch_var + self.epsilon) * scale
        y = (groups - apart) * jnp.expand_dims(factor, axes) + bias
        return y.reshape(x.shape).astype(x.dtype)


class Init(NamedTuple):
    """Initialisers of convolutions and linear layers (None: PyTorch's default) and of the norms' scales."""

    kernel: Callable | None = None
    bias: Callable | None = None
    scale: Callable = nn.initializers.ones


def _around_one(key, shape, dtype=jnp.float32):
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


INITS = {
    "published": Init(nn.initializers.normal(0.02), nn.initializers.zeros, _around_one),
    "default": Init(),
}


def conv_norm(
    x: jax.Array, features: int, name: str, train: bool, steps: int = 1, *, window: int = 3, stride: int = 1,
    padding: int = 1, mode: str = "constant", bias: bool = False, init: Init = INITS["default"], dtype: Any = None,
) -> jax.Array:  # fmt: skip
    """Convolution `NAME_0`, norm `NAME_1`, ReLU; to be called in a module's `@nn.compact`."""
    x = Conv(
        features, (window,) * 2, stride=stride, padding=padding, padding_mode=mode, use_bias=bias,
        kernel_init=init.kernel, bias_init=init.bias, dtype=dtype, name=f"{name}_0",
    )(x)  # fmt: skip
    return nn.relu(StepNorm(scale_init=init.scale, name=f"{name}_1")(x, train, steps))


def double(
    x: jax.Array, features: int, name: str, first: int, train: bool, steps: int = 1, *, bias: bool = False,
    init: Init = INITS["default"], dtype: Any = None,
) -> jax.Array:  # fmt: skip
    """Height and width doubled: transposed 3x3 convolution `NAME_first`, norm `NAME_(first + 1)`, ReLU."""
    x = ConvTranspose(
        features, (3, 3), stride=2, padding=1, output_padding=1, use_bias=bias, kernel_init=init.kernel,
        bias_init=init.bias, dtype=dtype, name=f"{name}_{first}",
    )(x)  # fmt: skip
    return nn.relu(StepNorm(scale_init=init.scale, name=f"{name}_{first + 1}")(x, train, steps))


class Residual(nn.Module):
    """x + [3x3, norm, ReLU, dropout, 3x3, norm], nothing after the sum; names as in published checkpoints."""

    dropout: float
    init: Init = INITS["default"]
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, steps: int = 1) -> jax.Array:
        layer = lambda name: Conv(  # noqa: E731
            x.shape[-1],
            (3, 3),
            padding=1,
            use_bias=False,
            kernel_init=self.init.kernel,
            dtype=self.dtype,
            name=name,
        )
        norm = lambda name: StepNorm(scale_init=self.init.scale, name=name)  # noqa: E731
        y = nn.relu(norm("conv_block_1")(layer("conv_block_0")(x), train, steps))
        y = nn.Dropout(self.dropout, deterministic=not train)(y)
        return x + norm("conv_block_5")(layer("conv_block_4")(y), train, steps)


def _uniform(bound: float) -> Callable:
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


class Affine(nn.Module):
    """Only the `kernel` and `bias` of a layer that something else applies: a scan, or a convolution of several layers."""

    shape: tuple[int, ...]
    kernel_init: Callable
    bias_init: Callable

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        return self.param("kernel", self.kernel_init, self.shape), self.param(
            "bias", self.bias_init, self.shape[-1:]
        )


class ConvGRU(nn.Module):
    """Convolutional GRU: (steps, N, H, W, I) -> (steps, N, H, W, hidden), and the last state (N, H, W, hidden).

    gi = conv(x, W_ih) + b_ih, gh = conv(h, W_hh) + b_hh, r = s(gi_r + gh_r), z = s(gi_z + gh_z),
    n = tanh(gi_n + r gh_n), h' = n + z (h - n), gates in the order r, z, n. `state` None is zero, whose convolution is
    left out. Layers `ih_l0`, `hh_l0`; initialised in +-1 / sqrt(hidden).
    """

    hidden: int
    window: int = 3
    dilation: int = 2
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, state: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        init, window = _uniform(1 / np.sqrt(self.hidden)), (self.window,) * 2
        place = {"padding": self.dilation * (self.window // 2), "dilation": self.dilation}
        flat = Conv(
            3 * self.hidden, window, **place, kernel_init=init, bias_init=init, dtype=self.dtype, name="ih_l0"
        )(x.reshape(-1, *x.shape[2:]))
        inputs = flat.reshape(*x.shape[:2], *flat.shape[1:])
        kernel, bias = Affine((*window, self.hidden, 3 * self.hidden), init, init, name="hh_l0")()
        kernel, bias = kernel.astype(inputs.dtype), bias.astype(inputs.dtype)

        def move(h, gi, gh):
            (ri, zi, ni), (rh, zh, nh) = jnp.split(gi, 3, -1), jnp.split(gh, 3, -1)
            n = jnp.tanh(ni + jax.nn.sigmoid(ri + rh) * nh)
            return n + jax.nn.sigmoid(zi + zh) * (h - n)

        def step(h, gi):
            h = move(h, gi, conv(h, kernel, **place) + bias)
            return h, h

        if state is not None:
            state, out = jax.lax.scan(step, state, inputs)
            return out, state
        first = move(0.0, inputs[0], bias)
        if len(inputs) == 1:
            return first[None], first
        state, rest = jax.lax.scan(step, first, inputs[1:])
        return jnp.concatenate([first[None], rest]), state
