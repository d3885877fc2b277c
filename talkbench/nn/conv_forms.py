"""Convolutions in the forms that are quick on a CPU; `conv` says when they are used.

Arrays are channels last, kernels (*window, in, out). XLA's CPU backend has slow paths that an accelerator hasn't: direct 3-D
convolutions (three to eight times slower than a sum of depth-shifted 2-D ones), gradients of kernels, of `lhs_dilation`
(transposed convolutions) and of `feature_group_count`, few channels on either side.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn import winograd

LARGEST_COPY = 2**24  # floats; a kernel's gradient copies pictures, shifted, in pieces of at most this size
FEW_IN, FEW_OUT = 3, 32  # channels; a strided convolution of up to as many has a form of its own
LARGEST_SPREAD = 2**26  # floats; above it a transposed convolution is one XLA convolution on a CPU too


def crop_or_pad(x: jax.Array, pairs: Sequence[tuple[int, int]]) -> jax.Array:
    """Zero padding of the spatial axes where a negative number crops."""
    config = [(0, 0, 0), *((low, high, 0) for low, high in pairs), (0, 0, 0)]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), config)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _plane(x, kernel, pairs):
    """A 2-D convolution of stride 1, by fewer multiplications where it is wide and nothing is differentiated.

    (There the shorter form has more to compile and to keep than it saves.) The kernel's gradient is one matrix product: of
    the input, shifted sideways, with the output's gradient, shifted up and down. XLA's CPU backend makes of it a convolution
    with a window as large as the picture: two to three times slower.
    """
    if winograd.pays(x.shape, kernel.shape, pairs):
        return winograd.convolve(x, kernel, pairs, _bordered)
    return _bordered(x, kernel, pairs)


def _bordered(x, kernel, pairs):
    """A convolution of stride 1; XLA's takes up to three times as long without padding as with some that is cut off again."""
    side = 0 if any(map(any, pairs)) else kernel.shape[1] // 2
    if not side:
        return direct(x, kernel, (1, 1), pairs, (1, 1))
    y = direct(x, kernel, (1, 1), (pairs[0], (side, side)), (1, 1))
    return y[:, :, side:-side]


def _plane_forward(x, kernel, pairs):
    return _bordered(x, kernel, pairs), (x, kernel)


def _plane_backward(pairs, kept, dy):
    x, kernel = kept
    kh, kw, fan_in, features = kernel.shape
    # Written out: as the transpose of the convolution it takes a slow path of XLA's inside of loops.
    around = [(k - 1 - low, k - 1 - high) for k, (low, high) in zip((kh, kw), pairs, strict=True)]
    dx = direct(dy, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), (1, 1), around, (1, 1))

    def product(part):
        x, dy = part
        x = crop_or_pad(x, pairs)
        across = jnp.concatenate([x[:, :, j : j + dy.shape[2]] for j in range(kw)], -1)
        down = jnp.concatenate([crop_or_pad(dy, ((i, kh - 1 - i), (0, 0))) for i in range(kh)], -1)
        return across.reshape(-1, kw * fan_in).T @ down.reshape(-1, kh * features)

    pieces = _pieces(len(x), -(-max(kw * x.size, kh * dy.size) // LARGEST_COPY))
    if pieces == 1:
        total = product((x, dy))
    else:
        parts = [a.reshape(pieces, -1, *a.shape[1:]) for a in (x, dy)]
        start = jnp.zeros((kw * fan_in, kh * features), dy.dtype)
        total = jax.lax.scan(lambda total, part: (total + product(part), None), start, parts)[0]
    return dx, total.reshape(kw, fan_in, kh, features).transpose(2, 0, 1, 3)


_plane.defvjp(_plane_forward, _plane_backward)


def _pieces(count: int, least: int) -> int:
    """The smallest number of equal pieces of `count` rows, at least `least` if there are as many rows."""
    return next(n for n in range(min(least, count), count + 1) if count % n == 0)


def quick(x, kernel, stride, pairs, dilation, groups=1):
    """A convolution in the form that is quick on a CPU; arguments and values of `direct`."""
    if groups > 1:
        return _grouped(x, kernel, stride, pairs, dilation, groups)
    window = kernel.shape[:-2]
    if len(window) == 3 and window[0] > 1 and stride[0] == 1:
        return _depth_shifted(x, kernel, stride[1:], pairs, dilation)
    if len(window) == 2 and not _pointwise(window, pairs):
        return _flat(x, kernel, stride, pairs, dilation)
    return direct(x, kernel, stride, pairs, dilation)


def _flat(x, kernel, stride, pairs, dilation):
    if set(stride) != {1}:
        few = kernel.shape[2] <= FEW_IN and kernel.shape[3] <= FEW_OUT and set(dilation) == {1}
        return (_strided if few else direct)(x, kernel, stride, pairs, dilation)
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
    x = crop_or_pad(x, filled)
    rows, columns = x.shape[1] // down, x.shape[2] // across
    x = x.reshape(batch, rows, down, columns, across, -1).transpose(0, 2, 4, 1, 3, 5)
    y = _plane(x.reshape(-1, rows, columns, x.shape[-1]), kernel, ((0, 0), (0, 0)))
    y = y.reshape(batch, down, across, *y.shape[1:]).transpose(0, 3, 1, 4, 2, 5)
    y = y.reshape(batch, y.shape[1] * down, y.shape[3] * across, -1)
    return y[:, :height, :width]


def _pointwise(window, pairs) -> bool:
    return set(window) == {1} and not any(map(any, pairs))


def direct(x, kernel, stride, pairs, dilation, groups=1):
    """A convolution as one of XLA's, or as a matrix product where the window is one pixel.

    Args:
        x: (N, *spatial, I). kernel: (*window, I // groups, O). stride, dilation: a number for each spatial axis.
        pairs: (low, high) padding of each axis.
    """
    if groups == 1 and _pointwise(kernel.shape[:-2], pairs):
        strided = x[(slice(None), *(slice(None, None, s) for s in stride))]
        return jnp.einsum("...i,io->...o", strided, kernel.reshape(kernel.shape[-2:]))
    spatial = "DHW"[-(x.ndim - 2) :]
    numbers = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    return jax.lax.conv_general_dilated(
        x, kernel, stride, pairs, rhs_dilation=dilation, dimension_numbers=numbers, feature_group_count=groups
    )


def _strided(x, kernel, stride, pairs, dilation):
    """A strided convolution as a plain one of pictures whose channels are the pixels of a stride: a stem for colours, on which
    XLA's CPU convolution is up to five times slower.
    """
    *window, fan_in, features = kernel.shape
    taps = [-(-k // s) for k, s in zip(window, stride, strict=True)]
    sizes = [
        (n + low + high - k) // s + t
        for n, (low, high), k, s, t in zip(x.shape[1:3], pairs, window, stride, taps, strict=True)
    ]
    fill = [
        (low, m * s - n - low) for n, m, s, (low, _) in zip(x.shape[1:3], sizes, stride, pairs, strict=True)
    ]
    (rows, columns), (down, across) = sizes, stride
    x = crop_or_pad(x, fill).reshape(len(x), rows, down, columns, across, fan_in)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(len(x), rows, columns, -1)
    extra = [(0, t * s - k) for t, s, k in zip(taps, stride, window, strict=True)]
    kernel = jnp.pad(kernel, (*extra, (0, 0), (0, 0))).reshape(
        taps[0], down, taps[1], across, fan_in, features
    )
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5).reshape(*taps, -1, features)
    return _plane(x, kernel, ((0, 0), (0, 0)))


# Of rows (or columns) 2 i and 2 i + 1 of a doubled picture: what the kernel's three weights mean for the two rows of the
# picture itself that they see.
_FOLDED = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)


def upsampled(x, kernel):
    """A convolution, 3 wide and padded by 1, of a picture with each pixel doubled, without doubling any: windows two pixels
    wide, whose channels are the four pixels that become of one. 4/9 of the multiplications, and less to copy.

    Args, result: as of `conv.conv_upsampled`.
    """
    *_, height, width, _ = x.shape
    folded = jnp.einsum(
        "pas,qbt,...stco->...abcpqo", _FOLDED, _FOLDED, kernel.astype(jnp.float32), precision=jax.lax.Precision.HIGHEST
    )  # fmt: skip
    folded = folded.reshape(*folded.shape[:-3], -1).astype(kernel.dtype)
    dims = x.ndim - 2
    y = quick(x, folded, (1,) * dims, ((1, 1),) * dims, (1,) * dims)
    y = y.reshape(*y.shape[:-1], 2, 2, -1)
    rows = [
        jnp.stack([y[..., p : p + height, q : q + width, p, q, :] for q in range(2)], -2) for p in range(2)
    ]
    y = jnp.stack(rows, -4)  # (..., H, 2, W, 2, O)
    return y.reshape(*y.shape[:-5], 2 * height, 2 * width, y.shape[-1])


def _depth_shifted(x, kernel, stride, pairs, dilation):
    """A 3-D convolution as a sum over the kernel's depth of 2-D convolutions of all slices."""
    x = crop_or_pad(x, (pairs[0], (0, 0), (0, 0)))
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
        x = crop_or_pad(x, pairs)
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
        quick(part, weight, stride, pairs, dilation)
        for part, weight in zip(jnp.split(x, groups, -1), jnp.split(kernel, groups, -1), strict=True)
    ]
    return jnp.concatenate(parts, -1)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def spread(x, kernel, stride, padding, sizes):
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
            total += crop_or_pad(shares[(..., *at, slice(None))], pairs)
        return total

    y = jnp.stack([of_phase(phase) for phase in np.ndindex(*stride)])
    y = y.reshape(*stride, x.shape[0], *counts, features)
    order = [dims, *(axis for i in range(dims) for axis in (dims + 1 + i, i)), 2 * dims + 1]
    y = y.transpose(order).reshape(
        x.shape[0], *(c * s for c, s in zip(counts, stride, strict=True)), features
    )
    return y[(slice(None), *(slice(n) for n in sizes))]


def _spread_forward(x, kernel, stride, padding, sizes):
    return spread(x, kernel, stride, padding, sizes), (x, kernel)


def _spread_backward(stride, padding, sizes, kept, dy):
    """Both gradients are products with what each input pixel was spread over."""
    x, kernel = kept
    window, (fan_in, features) = kernel.shape[:-2], kernel.shape[-2:]
    last = [s * (n - 1) for s, n in zip(stride, x.shape[1:-1], strict=True)]
    ends = zip(last, window, padding, sizes, strict=True)
    dy = crop_or_pad(dy, [(p, e + k - p - n) for e, k, p, n in ends])
    cuts = [
        tuple(slice(t, t + e + 1, s) for t, e, s in zip(tap, last, stride, strict=True))
        for tap in np.ndindex(*window)
    ]
    seen = jnp.concatenate([dy[:, *cut] for cut in cuts], -1).reshape(-1, len(cuts) * features)
    dx = seen @ jnp.moveaxis(kernel, -2, -1).reshape(-1, fan_in)
    taps = (x.reshape(-1, fan_in).T @ seen).reshape(fan_in, *window, features)
    return dx.reshape(x.shape), jnp.moveaxis(taps, 0, -2)


spread.defvjp(_spread_forward, _spread_backward)
