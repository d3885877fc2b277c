"""Convolutions and linear layers with PyTorch's conventions, in the forms that are quick on a CPU.

Arrays are channels last: x (N, *spatial, C), kernels (*window, in, out). One to three spatial axes.

XLA's CPU backend has slow paths that an accelerator hasn't: direct 3-D convolutions (three to eight times
slower than a sum of depth-shifted 2-D ones), gradients of `lhs_dilation` (transposed convolutions) and of
`feature_group_count`. Each function therefore has two forms, and `form="auto"` chooses by the backend at
trace time.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn import winograd
from talkbench.nn.spectral import spectral_normalize

LARGEST_COPY = (
    2**24
)  # floats; above it the kernel gradient's shifted copies cost more memory than they save time
LARGEST_SPREAD = 2**26  # floats; above it a transposed convolution is one XLA convolution on a CPU too
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


def _crop_or_pad(x: jax.Array, pairs: Sequence[tuple[int, int]]) -> jax.Array:
    """Zero padding of the spatial axes where a negative number crops."""
    config = [(0, 0, 0), *((low, high, 0) for low, high in pairs), (0, 0, 0)]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), config)


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
    window = kernel.shape[:-2]
    stride, dilation, pairs = _each(stride, dims), _each(dilation, dims), _pairs(padding, dims)
    if groups == 1 and set(window) == {1} and not any(map(any, pairs)):
        strided = x[(slice(None), *(slice(None, None, s) for s in stride))]
        return jnp.einsum("...i,io->...o", strided, kernel.reshape(kernel.shape[-2:]))
    if _on_cpu(form):
        if groups > 1:
            return _grouped(x, kernel, stride, pairs, dilation, groups)
        if dims == 3 and window[0] > 1 and stride[0] == 1:
            return _depth_shifted(x, kernel, stride[1:], pairs, dilation)
        if dims == 2:
            return _flat(x, kernel, stride, pairs, dilation)
    return _direct(x, kernel, stride, pairs, dilation, groups)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _plane(x, kernel, pairs):
    """A 2-D convolution of stride 1, by fewer multiplications where it is wide and nothing is differentiated.

    (There the shorter form has more to compile and to keep than it saves.) The kernel's gradient is one matrix product: of
    the input, shifted sideways, with the output's gradient, shifted up and down. XLA's CPU backend makes of it a convolution
    with a window as large as the picture: two to three times slower.
    """
    if winograd.pays(x.shape, kernel.shape):
        return winograd.convolve(_crop_or_pad(x, pairs), kernel)
    return _direct(x, kernel, (1, 1), pairs, (1, 1))


def _plane_forward(x, kernel, pairs):
    return _direct(x, kernel, (1, 1), pairs, (1, 1)), (x, kernel)


def _plane_backward(pairs, kept, dy):
    x, kernel = kept
    kh, kw, fan_in, features = kernel.shape
    # Written out: as the transpose of the convolution it takes a slow path of XLA's inside of loops.
    around = [(k - 1 - low, k - 1 - high) for k, (low, high) in zip((kh, kw), pairs, strict=True)]
    dx = _direct(dy, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), (1, 1), around, (1, 1))
    if max(kw * x.size, kh * dy.size) > LARGEST_COPY:
        return dx, *jax.linear_transpose(lambda kernel: _direct(x, kernel, (1, 1), pairs, (1, 1)), kernel)(dy)
    x = _crop_or_pad(x, pairs)
    across = jnp.concatenate([x[:, :, j : j + dy.shape[2]] for j in range(kw)], -1)
    down = [_crop_or_pad(dy, ((i, kh - 1 - i), (0, 0))) for i in range(kh)]
    product = across.reshape(-1, kw * fan_in).T @ jnp.concatenate(down, -1).reshape(-1, kh * features)
    return dx, product.reshape(kw, fan_in, kh, features).transpose(2, 0, 1, 3)


_plane.defvjp(_plane_forward, _plane_backward)


def _flat(x, kernel, stride, pairs, dilation):
    """A 2-D convolution in the form that is quick on a CPU."""
    if set(stride) != {1}:
        return _direct(x, kernel, stride, pairs, dilation)
    if set(dilation) != {1}:
        return _dilated(x, kernel, pairs, dilation)
    height, width, fan_in, features = kernel.shape
    copies = max(width * fan_in, height * features) * (x.size // fan_in)
    narrow = height >= 5 and features <= 4 and copies <= LARGEST_COPY
    return (_narrow if narrow else _plane)(x, kernel, pairs)


def _narrow(x, kernel, pairs):
    """A convolution to few channels, such as the colours of a picture, as one along rows to a share for each row of the
    window, which are then shifted and added: three or four channels leave most of a vector register idle.
    """
    height, width, fan_in, features = kernel.shape
    shares = kernel.transpose(1, 2, 0, 3).reshape(1, width, fan_in, height * features)
    y = _plane(x, shares, pairs)
    rows = y.shape[1] - height + 1
    return sum(y[:, i : i + rows, :, i * features : (i + 1) * features] for i in range(height))


def _dilated(x, kernel, pairs, dilation):
    """A dilated convolution as a plain one of the pictures that every d-th row and column make.

    XLA's CPU backend is slow at the kernel's gradient of a dilated one (15 % of a training step where a recurrence has one).
    """
    axes = list(zip(x.shape[1:3], pairs, kernel.shape[:2], dilation, strict=True))
    height, width = (n + low + high - d * (k - 1) for n, (low, high), k, d in axes)
    filled = [(low, high + -(n + low + high) % d) for n, (low, high), _, d in axes]
    (down, across), batch = dilation, len(x)
    x = _crop_or_pad(x, filled)
    rows, columns = x.shape[1] // down, x.shape[2] // across
    x = x.reshape(batch, rows, down, columns, across, -1).transpose(0, 2, 4, 1, 3, 5)
    y = _plane(x.reshape(-1, rows, columns, x.shape[-1]), kernel, ((0, 0), (0, 0)))
    y = y.reshape(batch, down, across, *y.shape[1:]).transpose(0, 3, 1, 4, 2, 5)
    y = y.reshape(batch, y.shape[1] * down, y.shape[3] * across, -1)
    return y[:, :height, :width]


def _direct(x, kernel, stride, pairs, dilation, groups=1):
    spatial = "DHW"[-(x.ndim - 2) :]
    numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    return jax.lax.conv_general_dilated(
        x, kernel, stride, pairs, rhs_dilation=dilation, dimension_numbers=numbers, feature_group_count=groups
    )


def _depth_shifted(x, kernel, stride, pairs, dilation):
    """A 3-D convolution as a sum over the kernel's depth of 2-D convolutions of all slices."""
    x = _crop_or_pad(x, (pairs[0], (0, 0), (0, 0)))
    depth = x.shape[1] - dilation[0] * (kernel.shape[0] - 1)
    total = None
    for i in range(kernel.shape[0]):
        start = i * dilation[0]
        slices = x[:, start : start + depth].reshape(-1, *x.shape[2:])
        part = _flat(slices, kernel[i], stride, pairs[1:], dilation[1:])
        total = part if total is None else total + part
    return total.reshape(x.shape[0], depth, *total.shape[1:])


def _grouped(x, kernel, stride, pairs, dilation, groups):
    features = kernel.shape[-1]
    if kernel.shape[-2] == 1 and features == groups:  # depthwise: shifted multiply-adds
        x = _crop_or_pad(x, pairs)
        window = kernel.shape[:-2]
        sizes = [
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip(x.shape[1:-1], window, stride, dilation, strict=True)
        ]
        total = jnp.zeros((x.shape[0], *sizes, features), x.dtype)
        for offset in np.ndindex(*window):
            cut = [
                slice(o * d, o * d + s * (n - 1) + 1, s)
                for o, d, s, n in zip(offset, dilation, stride, sizes, strict=True)
            ]
            total = total + x[(slice(None), *cut)] * kernel[(*offset, 0)]
        return total
    parts = [
        conv(part, weight, stride=stride, padding=pairs, dilation=dilation, form="cpu")
        for part, weight in zip(jnp.split(x, groups, -1), jnp.split(kernel, groups, -1), strict=True)
    ]
    return jnp.concatenate(parts, -1)


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
    if not _on_cpu(form) or copies > LARGEST_SPREAD:
        pairs = [(k - 1 - p, k - 1 - p + e) for k, p, e in zip(window, padding, extra, strict=True)]
        spatial = "DHW"[-dims:]
        numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
        flipped = jnp.flip(kernel, range(dims))
        return jax.lax.conv_general_dilated(
            x, flipped, (1,) * dims, pairs, lhs_dilation=stride, dimension_numbers=numbers
        )
    return _spread(x, kernel, stride, padding, tuple(sizes))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _spread(x, kernel, stride, padding, sizes):
    """A transposed convolution as one matrix product, whose results for each tap of the window are shifted and added."""
    dims, window, features = len(stride), kernel.shape[:-2], kernel.shape[-1]
    taps = jnp.moveaxis(kernel, -2, 0).reshape(x.shape[-1], -1)
    shares = (x.reshape(-1, x.shape[-1]) @ taps).reshape(*x.shape[:-1], *window, features)
    counts = [-(-n // s) for n, s in zip(sizes, stride, strict=True)]

    def of_phase(phase):
        """Output pixels stride * q + phase: the sum of the taps that fall on them."""
        total = jnp.zeros((x.shape[0], *counts, features), x.dtype)
        first = [(f + p) % s for f, p, s in zip(phase, padding, stride, strict=True)]
        for tap in np.ndindex(*(len(range(f, k, s)) for f, k, s in zip(first, window, stride, strict=True))):
            at = tuple(f + t * s for f, t, s in zip(first, tap, stride, strict=True))
            low = [t - (f + p) // s for t, f, p, s in zip(tap, phase, padding, stride, strict=True)]
            pairs = [(i, c - n - i) for i, c, n in zip(low, counts, x.shape[1:-1], strict=True)]
            total += _crop_or_pad(shares[(..., *at, slice(None))], pairs)
        return total

    y = jnp.stack([of_phase(phase) for phase in np.ndindex(*stride)])
    y = y.reshape(*stride, x.shape[0], *counts, features)
    order = [dims, *(axis for i in range(dims) for axis in (dims + 1 + i, i)), 2 * dims + 1]
    y = y.transpose(order).reshape(
        x.shape[0], *(c * s for c, s in zip(counts, stride, strict=True)), features
    )
    return y[(slice(None), *(slice(n) for n in sizes))]


def _spread_forward(x, kernel, stride, padding, sizes):
    return _spread(x, kernel, stride, padding, sizes), (x, kernel)


def _spread_backward(stride, padding, sizes, kept, dy):
    """Both gradients are products with what each input pixel was spread over."""
    x, kernel = kept
    window, (fan_in, features) = kernel.shape[:-2], kernel.shape[-2:]
    last = [s * (n - 1) for s, n in zip(stride, x.shape[1:-1], strict=True)]
    ends = zip(last, window, padding, sizes, strict=True)
    dy = _crop_or_pad(dy, [(p, e + k - p - n) for e, k, p, n in ends])
    cuts = [
        tuple(slice(t, t + e + 1, s) for t, e, s in zip(tap, last, stride, strict=True))
        for tap in np.ndindex(*window)
    ]
    seen = jnp.concatenate([dy[:, *cut] for cut in cuts], -1).reshape(-1, len(cuts) * features)
    dx = seen @ jnp.moveaxis(kernel, -2, -1).reshape(-1, fan_in)
    taps = (x.reshape(-1, fan_in).T @ seen).reshape(fan_in, *window, features)
    return dx.reshape(x.shape), jnp.moveaxis(taps, 0, -2)


_spread.defvjp(_spread_forward, _spread_backward)


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
