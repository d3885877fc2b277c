"""Convolutions and linear layers with PyTorch's conventions.

Arrays are channels last: x (N, *spatial, C), kernels (*window, in, out). One to three spatial axes. Each function has two
forms, one XLA convolution and what is quick on a CPU (`conv_forms`); `form="auto"` chooses by the backend at trace time.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn import conv_forms
from talkbench.nn.resize import upsample_nearest
from talkbench.nn.spectral import spectral_normalize

Form = Literal["auto", "direct", "cpu"]
Padding = int | Sequence[int] | Sequence[tuple[int, int]]


def _on_cpu(form: Form) -> bool:
    return jax.default_backend() == "cpu" if form == "auto" else form == "cpu"


def _each(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    value = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(value) != dims:
        raise ValueError(f"{value} should be one number or {dims}, one for each spatial axis")
    return value


def _pairs(padding: Padding, dims: int) -> tuple[tuple[int, int], ...]:
    padding = (padding,) * dims if isinstance(padding, int) else tuple(padding)
    if len(padding) != dims:
        raise ValueError(f"padding {padding} should be one number or {dims}, one for each spatial axis")
    return tuple((p, p) if isinstance(p, int) else (int(p[0]), int(p[1])) for p in padding)


def conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    form: Form = "auto",
) -> jax.Array:
    """Cross-correlation with zero padding, as `torch.nn.functional.conv{1,2,3}d`.

    Args:
        x: (N, *spatial, I).
        kernel: (*window, I // groups, O).
        stride, dilation: one number, or one for each spatial axis.
        padding: one number (both sides of every axis), one for each axis, or a (low, high) pair for each
            axis.
        form: "direct" is one XLA convolution, "cpu" the equivalent sums that are quick on a CPU.

    Returns:
        (N, *spatial', O).
    """
    dims = x.ndim - 2
    if kernel.ndim != dims + 2:
        raise ValueError(f"kernel of shape {kernel.shape} does not fit an input of shape {x.shape}")
    stride, dilation, pairs = _each(stride, dims), _each(dilation, dims), _pairs(padding, dims)
    convolve = conv_forms.quick if _on_cpu(form) else conv_forms.direct
    return convolve(x, kernel, stride, pairs, dilation, groups)


def conv_upsampled(x: jax.Array, kernel: jax.Array, *, form: Form = "auto") -> jax.Array:
    """Convolution of `x` with height and width doubled by repetition; padded, so that the doubled size stays.

    Args:
        x: (N, H, W, I), or (N, D, H, W, I), whose depth is not doubled.
        kernel: ([3,] 3, 3, I, O).

    Returns:
        (N, [D,] 2 H, 2 W, O).

    Raises:
        ValueError: another window.
    """
    dims = x.ndim - 2
    if dims not in (2, 3) or kernel.shape[:-2] != (3,) * dims:
        raise ValueError(
            f"kernel of shape {kernel.shape}, input of shape {x.shape}: the window must be 3 wide"
        )
    if _on_cpu(form):
        return conv_forms.upsampled(x, kernel)
    return conv(upsample_nearest(x, (1, 2, 2)[-dims:]), kernel, padding=1, form=form)


def conv_transpose(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    form: Form = "auto",
) -> jax.Array:
    """Transposed convolution, as `torch.nn.functional.conv_transpose{1,2,3}d` (no groups, no dilation).

    Args:
        x: (N, *spatial, I).
        kernel: (*window, I, O), not flipped: PyTorch's (I, O, *window) with the window moved to the front.

    Returns:
        (N, *spatial', O) with spatial' = (n - 1) stride - 2 padding + window + output_padding.
    """
    dims = x.ndim - 2
    window = kernel.shape[:-2]
    stride, padding, extra = _each(stride, dims), _each(padding, dims), _each(output_padding, dims)
    sizes = [
        (n - 1) * s - 2 * p + k + e
        for n, s, p, k, e in zip(x.shape[1:-1], stride, padding, window, extra, strict=True)
    ]
    copies = int(np.prod(window)) * (x.size // x.shape[-1]) * kernel.shape[-1]
    if not _on_cpu(form) or copies > conv_forms.LARGEST_SPREAD:
        pairs = [(k - 1 - p, k - 1 - p + e) for k, p, e in zip(window, padding, extra, strict=True)]
        spatial = "DHW"[-dims:]
        numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
        flipped = jnp.flip(kernel, range(dims))
        return jax.lax.conv_general_dilated(
            x, flipped, (1,) * dims, pairs, lhs_dilation=stride, dimension_numbers=numbers
        )
    return conv_forms.spread(x, kernel, stride, padding, tuple(sizes))


def uniform_fan_in(fan_in: int) -> Callable:
    """PyTorch's default initialisation of convolutions and linear layers: uniform in +-1 / sqrt(fan_in)."""
    bound = 1.0 / np.sqrt(fan_in) if fan_in else 0.0

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Conv(nn.Module):
    """Convolution layer over 1, 2 or 3 spatial axes; x (N, *spatial, I) -> (N, *spatial', features).

    Parameters `kernel` (*window, I // groups, features) and `bias`; with `spectral` also the state `u`, `v`
    (collection `batch_stats`), which takes one power iteration in every call with `train=True`, as PyTorch's
    `spectral_norm` does.

    Attributes:
        window: kernel size for each spatial axis; its length is the number of axes.
        padding_mode: "constant" (zeros), "reflect" or "edge", numpy's names.
        upsample: double height and width by repetition first (`conv_upsampled`: a window 3 wide with padding 1).
        kernel_init, bias_init: initialisers; None is PyTorch's default.
        dtype: type of the computation (None: that of the input); parameters stay float32.
    """

    features: int
    window: Sequence[int]
    stride: int | Sequence[int] = 1
    padding: Padding = 0
    dilation: int | Sequence[int] = 1
    groups: int = 1
    use_bias: bool = True
    spectral: bool = False
    padding_mode: str = "constant"
    upsample: bool = False
    kernel_init: Callable | None = None
    bias_init: Callable | None = None
    form: Form = "auto"
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        window = tuple(self.window)
        if x.ndim != len(window) + 2:
            raise ValueError(f"Conv with window {window} got an input of shape {x.shape}")
        if x.shape[-1] % self.groups or self.features % self.groups:
            raise ValueError(
                f"{x.shape[-1]} -> {self.features} channels cannot be split into {self.groups} groups"
            )
        width = x.shape[-1] // self.groups
        default = uniform_fan_in(width * int(np.prod(window)))
        kernel = self.param("kernel", self.kernel_init or default, (*window, width, self.features))
        if self.spectral:
            kernel = spectral_normalize(self, kernel, train)
        dtype = self.dtype or x.dtype
        x, kernel = x.astype(dtype), kernel.astype(dtype)
        if self.upsample:
            plain = (self.stride, self.padding, self.dilation, self.groups, self.padding_mode)
            if plain != (1, 1, 1, 1, "constant"):
                raise ValueError("upsample goes with padding 1 and no stride, dilation or groups")
            y = conv_upsampled(x, kernel, form=self.form)
        else:
            padding = self.padding
            if self.padding_mode != "constant":
                x = jnp.pad(x, ((0, 0), *_pairs(padding, len(window)), (0, 0)), mode=self.padding_mode)
                padding = 0
            y = conv(
                x,
                kernel,
                stride=self.stride,
                padding=padding,
                dilation=self.dilation,
                groups=self.groups,
                form=self.form,
            )
        if self.use_bias:
            y = y + self.param("bias", self.bias_init or default, (self.features,)).astype(dtype)
        return y


class ConvTranspose(nn.Module):
    """Transposed convolution layer; parameters `transpose_kernel` (*window, I, features) and `bias`.

    The parameter's own name tells converters that the published layout is (I, O, *window). See
    `conv_transpose`.
    """

    features: int
    window: Sequence[int]
    stride: int | Sequence[int] = 1
    padding: int | Sequence[int] = 0
    output_padding: int | Sequence[int] = 0
    use_bias: bool = True
    spectral: bool = False
    kernel_init: Callable | None = None
    bias_init: Callable | None = None
    form: Form = "auto"
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        window = tuple(self.window)
        default = uniform_fan_in(
            self.features * int(np.prod(window))
        )  # PyTorch counts the second axis, here O
        kernel = self.param(
            "transpose_kernel", self.kernel_init or default, (*window, x.shape[-1], self.features)
        )
        if self.spectral:
            kernel = spectral_normalize(self, kernel, train)
        dtype = self.dtype or x.dtype
        y = conv_transpose(
            x.astype(dtype),
            kernel.astype(dtype),
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            form=self.form,
        )
        if self.use_bias:
            y = y + self.param("bias", self.bias_init or default, (self.features,)).astype(dtype)
        return y


class Linear(nn.Module):
    """Linear layer, (..., I) -> (..., features): PyTorch's initialisation, optional spectral norm."""

    features: int
    use_bias: bool = True
    spectral: bool = False
    kernel_init: Callable | None = None
    bias_init: Callable | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        default = uniform_fan_in(x.shape[-1])
        kernel = self.param("kernel", self.kernel_init or default, (x.shape[-1], self.features))
        if self.spectral:
            kernel = spectral_normalize(self, kernel, train)
        dtype = self.dtype or x.dtype
        y = x.astype(dtype) @ kernel.astype(dtype)
        if self.use_bias:
            y = y + self.param("bias", self.bias_init or default, (self.features,)).astype(dtype)
        return y
